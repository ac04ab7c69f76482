"""How good discrete units are, measured without a translator: what they tell of phones, and of voices.

Phones (Hsu et al. 2021, HuBERT, IV-D): with n(p, u) frames of phone p that have unit u, N frames in all, and
P(p, u) = n(p, u) / N,

    PNMI           = I(phone; unit) / H(phone) = sum P(p, u) log [P(p, u) / (P(p) P(u))] / -sum P(p) log P(p)
    phone purity   = sum over units of max over phones of P(p, u)
    cluster purity = sum over phones of max over units of P(p, u)

PNMI is the share of the uncertainty about a frame's phone that its unit takes away. Phone purity is the share of frames
that are right if each unit is read as its most frequent phone, cluster purity the same of phones read as units. More
units raise the first two and lower the third, and a sample of few frames raises all: compare codebooks of one size on
the same speech.

Voices: the distance of two utterances is the edit distance of their reduced units over the length of the longer one, so
it is between 0 and 1. Of one sentence, read by two voices, it should be small; two sentences in one voice say what is
large.

Shapes: N frames, P phones, U units.
"""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jiwer
import numpy as np

from s2st.units import reduce

MAX_PAIRS = 5000  # of voices that are compared, drawn where there are more


@dataclass(frozen=True)
class PhoneScores:
    """What units tell of the phones, each from 0 to 1."""

    pnmi: float
    phone_purity: float
    cluster_purity: float


@dataclass(frozen=True)
class Reading:
    """A sentence, read by a voice."""

    sentence_id: str
    speaker: str
    units: np.ndarray  # (N,), one a frame


@dataclass(frozen=True)
class VoiceScores:
    """Mean unit distances, from 0 to 1."""

    num_pairs: int
    same_sentence: float  # of two voices
    other_sentence: float  # of one voice: what no more than chance gives


def phones_at(samples: np.ndarray, phones: Sequence[str], starts: Sequence[int]) -> np.ndarray:
    """Name the phone at each of samples (N,): (N,), str. Phones start at `starts`, ascending, the first at 0."""
    return np.asarray(phones)[np.searchsorted(starts, samples, side="right") - 1]


def phone_scores(phones: np.ndarray, units: np.ndarray) -> PhoneScores:
    """Score the units (N,) of frames whose phones (N,) are known; raises ValueError for fewer than two phones."""
    if len(phones) != len(units):
        raise ValueError(f"{len(phones)} frames have phones, but {len(units)} have units; give both for each frame")
    _, phone_places = np.unique(phones, return_inverse=True)
    _, unit_places = np.unique(units, return_inverse=True)
    joint = np.zeros((phone_places.max(initial=-1) + 1, unit_places.max(initial=-1) + 1))  # (P, U)
    np.add.at(joint, (phone_places, unit_places), 1)
    if len(joint) < 2:
        raise ValueError("the frames are of one phone or none, which units cannot tell from others")
    of_phones, of_units = entropy_bits(joint.sum(1)), entropy_bits(joint.sum(0))
    return PhoneScores(
        pnmi=(of_phones + of_units - entropy_bits(joint)) / of_phones,
        phone_purity=float(joint.max(0).sum() / len(units)),
        cluster_purity=float(joint.max(1).sum() / len(units)),
    )


def phones_of_units(phones: np.ndarray, units: np.ndarray) -> dict[int, dict[str, int]]:
    """Count the frames of each unit by their phone, the most frequent first, of phones (N,) and units (N,)."""
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for unit, phone in zip(units.tolist(), phones.tolist(), strict=True):
        counts[unit][phone] += 1
    return {unit: dict(of_phones.most_common()) for unit, of_phones in sorted(counts.items())}


def entropy_bits(counts: np.ndarray | Sequence[int]) -> float:
    """Entropy of what occurs so often, in bits; two to the power of it is the perplexity. 0 where nothing occurs."""
    occurring = np.asarray(counts, np.float64)
    occurring = occurring[occurring > 0]
    shares = occurring / occurring.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no -0.0 of a single one


def unit_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Edit distance of the reduced units of two utterances over the length of the longer one; 0 of two empty ones."""
    one, other = reduce(first)[0], reduce(second)[0]
    edits = jiwer.process_words(" ".join(map(str, one)), " ".join(map(str, other)))
    return (edits.substitutions + edits.deletions + edits.insertions) / max(1, len(one), len(other))


def voice_scores(readings: Iterable[Reading], seed: int = 0) -> VoiceScores | None:
    """Compare readings of one language: each sentence in all pairs of voices, the first reading of each by a voice.

    Of more than MAX_PAIRS pairs, so many are drawn. Each reading of a pair is also compared with one of another
    sentence in its voice, drawn at random, which gives `other_sentence`. None where no sentence has two voices or each
    voice reads one sentence alone.
    """
    by_sentence: dict[str, dict[str, Reading]] = defaultdict(dict)
    by_voice: dict[str, list[Reading]] = defaultdict(list)
    places: dict[tuple[str, str], int] = {}  # of the reading of a sentence among those of its voice
    for reading in readings:
        if reading.speaker not in by_sentence[reading.sentence_id]:
            by_sentence[reading.sentence_id][reading.speaker] = reading
            places[reading.sentence_id, reading.speaker] = len(by_voice[reading.speaker])
            by_voice[reading.speaker].append(reading)
    pairs = _pairs([list(voices.values()) for _, voices in sorted(by_sentence.items())], seed)
    draw = random.Random(seed)
    chance = []
    for reading in itertools.chain.from_iterable(pairs):
        alike = by_voice[reading.speaker]
        if len(alike) > 1:
            place = draw.randrange(len(alike) - 1)
            place += place >= places[reading.sentence_id, reading.speaker]  # any but itself
            chance.append(unit_distance(reading.units, alike[place].units))
    if not chance:
        return None
    same = [unit_distance(one.units, other.units) for one, other in pairs]
    return VoiceScores(len(pairs), float(np.mean(same)), float(np.mean(chance)))


def _pairs(by_sentence: Sequence[Sequence[Reading]], seed: int) -> list[tuple[Reading, Reading]]:
    """Pair the readings of each sentence; of too many pairs, draw MAX_PAIRS without holding all."""
    pairs = itertools.chain.from_iterable(itertools.combinations(readings, 2) for readings in by_sentence)
    total = sum(math.comb(len(readings), 2) for readings in by_sentence)
    if total <= MAX_PAIRS:
        return list(pairs)
    drawn = set(random.Random(seed).sample(range(total), MAX_PAIRS))
    return [pair for place, pair in enumerate(pairs) if place in drawn]
