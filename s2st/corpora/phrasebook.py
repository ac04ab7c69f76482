"""The phrasebook: parallel everyday sentences of a grammar, spoken by espeak-ng. Needs no download.

Splits go by sentence, for all languages and voices at once. Test and validation sentences are new ways to
combine words that training sentences hold; the unseen voices speak the test sentences only.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
import soundfile

from s2st.config import UserError
from s2st.corpora import espeak, phrasebook_grammar
from s2st.corpora.corpus import SPLITS, Recording, Shard
from s2st.corpora.phrasebook_grammar import Sentence, content_words, sentences, stop_words, template_of

__all__ = ["Phrasebook", "PhrasebookConfig", "PhrasebookShard", "content_words", "stop_words", "template_of"]

# Variants of espeak's voices: of 60 that an English recogniser heard, among the clearest.
# Two lists, so that a voice never moves from unseen to seen when a setting grows.
SEEN_VARIANTS = (
    *("m7", "f5", "m6", "Annie", "max", "f2", "Mike", "m4"),
    *("f1", "pablo", "m8", "ian", "Henrique", "victor", "m1", "Diogo"),
)
UNSEEN_VARIANTS = ("m3", "steph", "m5", "f3")
SENTENCES_PER_SHARD = 100
RATE_SPREAD = 0.05  # renderings after the first: up to 5% faster or slower
PITCH_SPREAD = 3  # ... and up to 3 of espeak's 100 steps higher or lower


@dataclass(frozen=True)
class PhrasebookConfig:
    languages: tuple[str, ...] = ("en", "hi")  # of en, hi, ko
    num_sentences: int = 2_500  # in all splits together
    num_test: int = 100  # sentences
    num_validation: int = 100  # sentences
    train_voices: int = 1  # voices a language, in all splits
    unseen_voices: int = 1  # further voices a language, in the test split only
    renderings: int = 1  # of a training sentence by each voice; all but the first vary in speed and pitch
    seed: int = 0  # draws the sentences and splits them

    def __post_init__(self) -> None:
        if min(self.num_test, self.num_validation, self.unseen_voices) < 0:
            raise UserError("num_test, num_validation and unseen_voices must not be negative")
        if min(self.train_voices, self.renderings) < 1:
            raise UserError("train_voices and renderings must be at least 1")
        if self.num_sentences <= self.num_test + self.num_validation:
            raise UserError(
                f"num_sentences ({self.num_sentences}) must exceed num_test + num_validation "
                f"({self.num_test + self.num_validation}), or nothing is left to train on"
            )
        for name, asked, known in (
            ("train_voices", self.train_voices, SEEN_VARIANTS),
            ("unseen_voices", self.unseen_voices, UNSEEN_VARIANTS),
        ):
            if asked > len(known):
                raise UserError(f"{name} is {asked}, but the phrasebook has {len(known)} such voices")


@dataclass(frozen=True)
class PhrasebookShard(Shard):
    """Some sentences of a split, all spoken by one voice."""

    lang: str
    split: str
    variant: str
    first: int  # place of the shard's first sentence in its split
    renderings: int

    @property
    def voice(self) -> str:
        """Name of the voice for espeak-ng."""
        return espeak.voice_of(self.lang, self.variant)


class Phrasebook:
    """The corpus of the phrasebook; see s2st.corpora.corpus for what a corpus is."""

    def __init__(self, config: PhrasebookConfig) -> None:
        self.config = config

    def shards(self) -> list[PhrasebookShard]:
        """List what to speak: languages x splits x voices x runs of sentences."""
        self._check()
        splits = self.splits()
        return [
            shard
            for lang in self.config.languages
            for split in SPLITS
            for variant in self.variants(split)
            for shard in self._shards_of(lang, split, variant, len(splits[split]))
        ]

    def read(self, shard: PhrasebookShard) -> Iterator[Recording]:
        """Speak the sentences of a shard, each `shard.renderings` times."""
        planned = self._plan(shard)
        waveforms = espeak.speak(shard.voice, [line for _, _, line in planned])
        for (sentence, utterance_id, _), samples in zip(planned, waveforms, strict=True):
            yield _recording(shard, sentence, utterance_id, samples)

    def read_phones(self, shard: PhrasebookShard) -> Iterator[tuple[Recording, list[espeak.Phone]]]:
        """Speak a shard as `read` does, the same samples, and give the phones of each recording with their times."""
        planned = self._plan(shard)
        spoken = espeak.speak_phones(shard.voice, [line for _, _, line in planned])
        for (sentence, utterance_id, _), (samples, phones) in zip(planned, spoken, strict=True):
            yield _recording(shard, sentence, utterance_id, samples), phones

    def splits(self) -> dict[str, tuple[Sentence, ...]]:
        """Get the sentences of each split; a larger num_sentences only adds to training."""
        config = self.config
        drawn = phrasebook_grammar.draw(config.num_sentences, config.seed)
        held_out = config.num_test + config.num_validation
        return {
            "train": drawn[held_out:],
            "validation": drawn[config.num_test : held_out],
            "test": drawn[: config.num_test],
        }

    def variants(self, split: str) -> tuple[str, ...]:
        """Get the voice variants that speak a split; those of training first."""
        unseen = UNSEEN_VARIANTS[: self.config.unseen_voices] if split == "test" else ()
        return SEEN_VARIANTS[: self.config.train_voices] + unseen

    def _plan(self, shard: PhrasebookShard) -> list[tuple[Sentence, str, espeak.Line]]:
        """List the recordings of a shard in the order in which they are spoken: sentence, name, what to say."""
        count = shard.rows // shard.renderings
        planned = []
        for sentence in self.splits()[shard.split][shard.first : shard.first + count]:
            for rendering in range(shard.renderings):
                utterance_id = f"{sentence.sentence_id}-{shard.lang}-{shard.variant}-{rendering}"
                planned.append((sentence, utterance_id, vary(sentence.say(shard.lang), utterance_id, rendering)))
        return planned

    def _shards_of(self, lang: str, split: str, variant: str, total: int) -> Iterator[PhrasebookShard]:
        renderings = self.config.renderings if split == "train" else 1
        for first in range(0, total, SENTENCES_PER_SHARD):
            count = min(SENTENCES_PER_SHARD, total - first)
            source = f"{split} sentences {first} to {first + count - 1} by espeak-{lang}-{variant}"
            yield PhrasebookShard(source, count * renderings, lang, split, variant, first, renderings)

    def _check(self) -> None:
        known = phrasebook_grammar.languages()
        for lang in self.config.languages:
            if lang not in known:
                raise UserError(f"the phrasebook has no language '{lang}'; it has {', '.join(known)}")
        if len(set(self.config.languages)) < len(self.config.languages):
            raise UserError(f"a language is named twice in {', '.join(self.config.languages)}")
        if self.config.num_sentences > len(sentences()):
            raise UserError(f"num_sentences is {self.config.num_sentences}, but the phrasebook has {len(sentences())}")
        missing = {*self.variants("train"), *self.variants("test")} - espeak.variants()
        if missing:
            raise UserError(f"espeak-ng lacks the voice variants {', '.join(sorted(missing))}; {espeak.INSTALL}")


def _recording(shard: PhrasebookShard, sentence: Sentence, utterance_id: str, samples: np.ndarray) -> Recording:
    """Make the recording of a sentence of a shard from int16 samples (N,)."""
    return Recording(
        utterance_id=utterance_id,
        sentence_id=sentence.sentence_id,
        lang=shard.lang,
        split=shard.split,
        speaker=f"espeak-{shard.lang}-{shard.variant}",
        text=sentence.text(shard.lang),
        audio=encode(samples) if len(samples) else b"",
        reject=None if len(samples) else "espeak-ng said nothing",
    )


def vary(text: str, utterance_id: str, rendering: int) -> espeak.Line:
    """Make a line to speak: rendering 0 as it is, the others with speed and pitch drawn from their id."""
    if rendering == 0:
        return espeak.Line(text)
    random = Random(hashlib.sha256(utterance_id.encode()).digest())
    return espeak.Line(
        text,
        rate=round(espeak.NORMAL_RATE * random.uniform(1 - RATE_SPREAD, 1 + RATE_SPREAD)),
        pitch=espeak.NORMAL_PITCH + random.randint(-PITCH_SPREAD, PITCH_SPREAD),
    )


def encode(samples: np.ndarray) -> bytes:
    """Encode int16 samples (N,) at espeak's rate as WAV: quicker than FLAC, and ingest encodes again."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, espeak.SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
