"""Which recordings make a parallel corpus: one split a sentence, all pairs of its recordings, and filters.

A pair is two numbers of recordings, and whatever is done to pairs is done to arrays of numbers: a million
recordings are a matter of seconds.

Shapes: N recordings, S sentences, L languages, D directions, P pairs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st.config import UserError
from s2st.corpora.corpus import SPLITS, place

TRAIN, VALIDATION, TEST = range(3)  # numbers of SPLITS; the higher has the better claim to a sentence
FILTERS = ("min_seconds", "max_seconds", "max_ratio", "heard_targets", "target_speakers", "max_pairs_per_sentence")
CAPPED, KEPT = 5, 6  # a verdict on a pair is the number of the filter that takes it, or KEPT
BATCH_PAIRS = 1 << 21  # judged at once


@dataclass(frozen=True)
class PairingConfig:
    directions: tuple[str, ...] = ()  # such as hi-en; none means every ordered pair of the languages
    max_pairs_per_sentence: int | None = None  # of a direction, in all splits; none: all recordings x all recordings
    heard_targets: bool = False  # only targets by voices of the training split, where one of them reads the sentence
    target_speakers: dict[str, str] = field(default_factory=dict)  # the one voice of a language that targets have
    validation_share: float = 0.1  # of the sentences that come without a split; the rest is for training
    min_seconds: float = 1.0  # of both recordings of a pair, in training and validation
    max_seconds: float = 30.0
    # The longer recording over the shorter. Of the shipped human sample's sentences from 1 s on, 99 in 100 stay
    # below 3: above it, one recording is most likely cut off or says something else.
    max_ratio: float = 3.0
    seed: int = 0  # of the splits, of the choice among too many pairs, and of the order of rows

    def __post_init__(self) -> None:
        check_directions(self.directions)
        if not 0 <= self.validation_share < 1:
            raise ValueError("validation_share must be at least 0, and below 1 to leave a rest to train on")
        if self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds={self.min_seconds} is above max_seconds={self.max_seconds}; lower it")
        if self.max_ratio < 1:
            raise ValueError(f"max_ratio={self.max_ratio} takes every pair; give 1 or more")
        if self.max_pairs_per_sentence is not None and self.max_pairs_per_sentence < 1:
            raise ValueError("max_pairs_per_sentence must be 1 or more; leave it out for all pairs")


@dataclass(frozen=True)
class Recordings:
    """What pairing reads, in the order of splits, sentences, languages and names, whatever the order of the units."""

    table: pa.Table  # (N,) utterance_id, sentence_id, lang, split, codebook, and row: the place among the units
    languages: list[str]
    first: np.ndarray  # (S, L) the first recording of a sentence in a language
    counts: np.ndarray  # (S, L) ... and how many there are
    sentence: np.ndarray  # (N,)
    split: np.ndarray  # (N,)
    seconds: np.ndarray  # (N,)
    is_heard: np.ndarray  # (N,) false for a voice that heard_targets refuses as a target
    is_chosen: np.ndarray  # (N,) false for a voice that target_speakers refuses


@dataclass(frozen=True)
class Pairs:
    """The pairs that are kept, and what became of all."""

    source: np.ndarray  # (P,) numbers of recordings
    target: np.ndarray  # (P,)
    verdicts: np.ndarray  # (D, KEPT + 1) counts
    met: np.ndarray  # (N,) a set of bits: all verdicts that the pairs of a recording met


def parse_directions(directions: tuple[str, ...], languages: list[str]) -> list[tuple[str, str]]:
    """Turn "hi-en" into ("hi", "en"); none given means all. Raises UserError for a language that is not there."""
    if not directions:
        return [(a, b) for a in languages for b in languages if a != b]
    parsed: list[tuple[str, str]] = []
    for direction in directions:
        source, _, target = direction.partition("-")
        for lang in (source, target):
            if lang not in languages:
                raise UserError(
                    f"direction '{direction}': the units have no language '{lang}' (found: {', '.join(languages)})"
                )
        parsed.append((source, target))
    return parsed


def split_sentences(rows: pa.Table, config: PairingConfig) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Give every sentence one split: its own, or one by a hash where its corpus gives none.

    A sentence in two splits leaks. It stays where honest figures need it most, in test before validation before
    train; its other recordings come back as rejects.
    """
    if unknown := sorted(set(pc.unique(rows["split"]).to_pylist()) - {*SPLITS, ""}):
        raise UserError(f"the units have a split '{unknown[0]}'; name it {', '.join(SPLITS)}, or leave it empty")
    own = pc.fill_null(pc.index_in(rows["split"], pa.array(SPLITS)), -1).to_numpy()
    encoded = rows["sentence_id"].combine_chunks().dictionary_encode()
    sentence = encoded.indices.to_numpy()
    best = np.full(len(encoded.dictionary), -1)
    np.maximum.at(best, sentence, own)
    for i in np.flatnonzero(best < 0):
        there = place(encoded.dictionary[i].as_py(), config.seed)
        best[i] = VALIDATION if there < config.validation_share else TRAIN
    misplaced = (own >= 0) & (own != best[sentence])
    rejects = [
        {**row, "reason": f"the sentence is in two splits, and is kept in {SPLITS[split]} alone"}
        for row, split in zip(rows.filter(misplaced).to_pylist(), best[sentence][misplaced], strict=True)
    ]
    splits = pa.array(SPLITS).take(pa.array(best[sentence]))
    return rows.set_column(rows.schema.get_field_index("split"), "split", splits).filter(~misplaced), rejects


def arrange(rows: pa.Table, languages: list[str], config: PairingConfig) -> Recordings:
    """Sort the recordings, so that those of a sentence and language stand together, and number them.

    Raises UserError if one of target_speakers says nothing in their language.
    """
    names = ("split", "sentence_id", "lang", "utterance_id")
    rows = rows.sort_by([(name, "ascending") for name in names]).combine_chunks()
    ids = rows["sentence_id"]
    sentence = np.cumsum(np.concatenate([[False], pc.not_equal(ids[1:], ids[:-1]).to_numpy()]))
    lang = pc.index_in(rows["lang"], pa.array(languages)).to_numpy()
    cell = sentence * len(languages) + lang
    num_cells = (sentence[-1] + 1) * len(languages)
    counts = np.bincount(cell, minlength=num_cells)
    split = pc.index_in(rows["split"], pa.array(SPLITS)).to_numpy()
    is_heard, is_chosen = np.ones((2, len(rows)), bool)
    if config.heard_targets:  # no vocoder can speak with a voice that it never heard
        heard = pc.is_in(rows["speaker"], pc.unique(rows["speaker"].filter(split == TRAIN))).to_numpy()
        is_heard = heard | (np.bincount(cell[heard], minlength=num_cells) == 0)[cell]
    for language, speaker in config.target_speakers.items():
        spoken = pc.equal(rows["lang"], language).to_numpy()
        theirs = spoken & pc.equal(rows["speaker"], speaker).to_numpy()
        if not theirs.any():
            raise UserError(f"target_speakers: the units have no speaker '{speaker}' of '{language}'")
        is_chosen &= theirs | ~spoken
    shape = (-1, len(languages))
    first, counts = (np.cumsum(counts) - counts).reshape(shape), counts.reshape(shape)
    seconds = rows["seconds"].to_numpy()
    return Recordings(rows, languages, first, counts, sentence, split, seconds, is_heard, is_chosen)


def make_pairs(recordings: Recordings, directions: list[tuple[str, str]], config: PairingConfig) -> Pairs:
    """Pair each recording of a sentence with each of it in the other language, and filter, some sentences at a time."""
    langs = np.array([[recordings.languages.index(lang) for lang in direction] for direction in directions])
    random = np.random.default_rng(config.seed)
    verdicts = np.zeros((len(directions), KEPT + 1), np.int64)
    met = np.zeros(len(recordings.table), np.uint8)
    kept = []
    for sentences in batches(recordings, langs):
        source, target, group = all_pairs(recordings, sentences, langs)
        verdict = judge(recordings, source, target, config)
        if config.max_pairs_per_sentence is not None:
            cap(verdict, group, config.max_pairs_per_sentence, random)
        counted = np.bincount(group % len(directions) * (KEPT + 1) + verdict, minlength=verdicts.size)
        verdicts += counted.reshape(verdicts.shape)
        for side in (source, target):
            np.bitwise_or.at(met, side, np.left_shift(1, verdict).astype(np.uint8))
        kept.append(np.stack([source, target])[:, verdict == KEPT])
    source, target = np.concatenate(kept, axis=1)
    return Pairs(source, target, verdicts, met)


def batches(recordings: Recordings, langs: np.ndarray) -> list[np.ndarray]:
    """Cut the sentences into runs that have about BATCH_PAIRS pairs each."""
    pairs = (recordings.counts[:, langs[:, 0]] * recordings.counts[:, langs[:, 1]]).sum(axis=1)
    batch = np.cumsum(pairs) // BATCH_PAIRS
    return np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(batch)) + 1)


def all_pairs(
    recordings: Recordings, sentences: np.ndarray, langs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the sources, the targets and the groups of all pairs; a group is a sentence in a direction."""
    num_sources, num_targets = (recordings.counts[sentences][:, side].ravel() for side in langs.T)
    first_source, first_target = (recordings.first[sentences][:, side].ravel() for side in langs.T)
    sizes = num_sources * num_targets
    group = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(group)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    source, target = np.divmod(within, num_targets[group])
    return first_source[group] + source, first_target[group] + target, group


def judge(recordings: Recordings, source: np.ndarray, target: np.ndarray, config: PairingConfig) -> np.ndarray:
    """Tell of each pair (P,) the first filter that takes it, or KEPT."""
    seconds = recordings.seconds[source], recordings.seconds[target]
    shorter, longer = np.minimum(*seconds), np.maximum(*seconds)
    # the test set is judged whole: a figure must not depend on filters, or it could be improved by them
    filtered = recordings.split[source] != TEST
    takes = [
        filtered & (shorter < config.min_seconds),
        filtered & (longer > config.max_seconds),
        filtered & (longer > config.max_ratio * shorter),
        ~recordings.is_heard[target],
        ~recordings.is_chosen[target],
    ]
    return np.select(takes, range(CAPPED), KEPT)


def cap(verdict: np.ndarray, group: np.ndarray, most: int, random: np.random.Generator) -> None:
    """Leave a random `most` of the kept pairs of each group."""
    kept = np.flatnonzero(verdict == KEPT)
    kept = kept[np.lexsort([random.random(len(kept)), group[kept]])]
    first = np.flatnonzero(np.diff(group[kept], prepend=-1))
    rank = np.arange(len(kept)) - np.repeat(first, np.diff(first, append=len(kept)))
    verdict[kept[rank >= most]] = CAPPED


def unpaired(recordings: Recordings, pairs: Pairs) -> list[dict[str, Any]]:
    """Give the recordings that end in no pair, each with its reason."""
    lonely = np.flatnonzero((pairs.met & (1 << KEPT)) == 0)
    rows = recordings.table.take(lonely).to_pylist()
    num_languages = (recordings.counts > 0).sum(axis=1)[recordings.sentence[lonely]]
    for row, met, languages in zip(rows, pairs.met[lonely].tolist(), num_languages, strict=True):
        took = ", ".join(name for i, name in enumerate(FILTERS) if met & (1 << i))
        nowhere = "another language" if languages == 1 else "the directions asked for"
        row["reason"] = f"its pairs were taken by {took}" if took else f"no partner in {nowhere}"
    return rows


def check_directions(directions: Sequence[str]) -> None:
    """Raise ValueError unless each direction is two different languages with a hyphen between, and none comes twice."""
    for number, direction in enumerate(directions):
        source, _, target = direction.partition("-")
        if not source or not target:
            raise ValueError(f"'{direction}' is no direction; write two languages with - between them, like hi-en")
        if source == target or direction in directions[:number]:
            raise ValueError(f"direction '{direction}' goes nowhere or is named twice; name two languages, once")


def source_languages(directions: Iterable[str]) -> list[str]:
    """Give the language that each direction begins with: "en-hi" into "en"."""
    return [direction.partition("-")[0] for direction in directions]


def target_languages(directions: Iterable[str]) -> list[str]:
    """Give the language that each direction leads into: "en-hi" into "hi"."""
    return [direction.partition("-")[2] for direction in directions]


def pair_directions(pairs: pa.Table) -> pa.ChunkedArray:
    """Name the direction of each pair of a table: "en-hi"."""
    return pc.binary_join_element_wise(pairs["source_lang"], pairs["target_lang"], "-")
