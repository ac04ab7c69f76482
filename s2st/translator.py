"""Speech to speech on one device, without a cluster: what all translators do, and the one from units to units."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from s2st import checkpoint
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.decoding import UnitHypothesis, translate_units
from s2st.model_folder import check_units_agree, read_model_folder
from s2st.models.transformer import store_by_columns
from s2st.models.unit_transformer import UnitTransformer
from s2st.speech_to_units import SpeechToUnits
from s2st.units import reduce
from s2st.voice import Voice


@dataclass(frozen=True)
class Translation:
    """One translated utterance."""

    waveform: np.ndarray  # (N,), float32 in [-1, 1], 16 kHz
    source_units: np.ndarray  # reduced; none where a model hears speech itself
    units: np.ndarray  # of the translation, reduced; heard in it where a model speaks spectrograms
    durations: np.ndarray  # of each of `units`, in frames of the units
    finished: bool  # False if the model did not say where to end, and was cut
    loops: bool  # it was cut, and repeats itself to its end
    source_text: str = ""  # that was heard, where a translator goes through text
    text: str = ""  # ... and that was spoken


class SpeechTranslator:
    """What all models that translate speech do; subclasses give `translate_batch`."""

    directions: tuple[str, ...]
    languages: frozenset[str]  # that it speaks
    search = SearchOptions()  # where no options are given

    def translate_batch(
        self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str, options: SearchOptions | None = None
    ) -> list[Translation]:
        """Translate waveforms (N,), mono, 16 kHz, float32 in [-1, 1], each from its source language, to `to`."""
        raise NotImplementedError

    def source_language(self, to: str, source: str | None = None) -> str:
        """Check a direction; without `source`, give the one language that is translated to `to`."""
        return pick_source(self.directions, self.languages, to, source)

    def translate(
        self, waveform: np.ndarray, to: str, source: str | None = None, options: SearchOptions | None = None
    ) -> Translation:
        """Translate one waveform, as `translate_batch`; raises UserError for a direction that the model lacks."""
        return self.translate_batch([waveform], [self.source_language(to, source)], to, options)[0]


@dataclass(frozen=True)
class Parts:
    """What lies in a model folder that `pipelines.assemble` made."""

    speech_to_units: SpeechToUnits
    translator: nn.Module
    voices: dict[str, Voice]  # by language; none where the translator speaks spectrograms
    directions: tuple[str, ...]


class Translator(SpeechTranslator):
    """Waveform -> units -> units of the other language -> waveform."""

    def __init__(
        self,
        speech_to_units: SpeechToUnits,
        translator: UnitTransformer,
        voices: dict[str, Voice],
        directions: Sequence[str],
    ):
        self.speech_to_units, self.translator, self.voices = speech_to_units, translator, voices
        self.directions, self.languages = tuple(directions), frozenset(voices)

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "Translator":
        """Read a model folder; raises UserError as `load_parts` does."""
        parts = load_parts(folder, device, "unit_transformer")
        return cls(parts.speech_to_units, parts.translator, parts.voices, parts.directions)  # type: ignore[arg-type]

    def units(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give the reduced units of each waveform."""
        return [reduce(units)[0] for units in self.speech_to_units(waveforms)]

    def translate_batch(
        self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str, options: SearchOptions | None = None
    ) -> list[Translation]:
        """Translate waveforms by their units; see SpeechTranslator."""
        return self.translate_units(self.units(waveforms), sources, to, options)

    def translate_units(
        self, sequences: Sequence[np.ndarray], sources: Sequence[str], to: str, options: SearchOptions | None = None
    ) -> list[Translation]:
        """Translate reduced units to one language and speak them."""
        for units, source in zip(sequences, sources, strict=True):
            check_units(self.translator, units, source)
        targets = [to] * len(sequences)
        found = translate_units(self.translator, sequences, sources, targets, options or self.search)
        hypotheses = [best for best, *_ in found]
        return speak(self.voices[to], to, hypotheses, sequences)


def check_units(translator: UnitTransformer, units: np.ndarray, source: str) -> None:
    """Raise UserError for reduced units, of the language `source`, that are none or too many for a translator."""
    count, most = len(translator.vocabulary.source_tokens(units, source)), translator.config.max_positions
    if not len(units) or count > most:
        raise UserError(
            f"a source of {len(units)} units ({count} tokens) cannot be translated; the model reads 1 unit to "
            f"{most} tokens"
        )


def speak(
    voice: Voice, to: str, hypotheses: Sequence[UnitHypothesis], source_units: Sequence[np.ndarray]
) -> list[Translation]:
    """Speak what was found in the language `to`."""
    spoken = voice.speak([hypothesis.units for hypothesis in hypotheses], to)
    return [
        Translation(waveform, source, hypothesis.units, durations, hypothesis.finished, hypothesis.loops)
        for source, hypothesis, (waveform, durations) in zip(source_units, hypotheses, spoken, strict=True)
    ]


def load_parts(folder: str, device: str, *kinds: str) -> Parts:
    """Read all parts of a model folder whose translator is of one of these kinds.

    Raises UserError if there is none, or its parts know different units.
    """
    model = read_model_folder(folder)
    speech_to_units = SpeechToUnits.load(f"{folder}/codebook", device)
    translator, info = load_translator(folder, device, *kinds)
    voices = load_voices(folder, device)
    vocoders = {model["vocoders"][lang]: voice.info for lang, voice in voices.items()}
    check_units_agree(folder, speech_to_units.fingerprint, info, vocoders)
    return Parts(speech_to_units, translator, voices, tuple(model["directions"]))


def load_voices(folder: str, device: str) -> dict[str, Voice]:
    """Read the voices of a model folder, by language; languages of one vocoder share it."""
    vocoders = read_model_folder(folder)["vocoders"]
    by_name = {name: Voice.load(f"{folder}/vocoders/{name}", device) for name in set(vocoders.values())}
    return {lang: by_name[name] for lang, name in vocoders.items()}


def load_translator(folder: str, device: str, *kinds: str) -> tuple[nn.Module, dict[str, Any]]:
    """Read the translator of a model folder, made ready to decode on a device, and its info; see `checkpoint.load`."""
    translator, info = checkpoint.load(f"{folder}/translator", *kinds)
    if device == "cpu":
        store_by_columns(translator)
    return translator.to(device), info


def pick_source(directions: Sequence[str], spoken: Set[str], to: str, source: str | None) -> str:
    """Check a direction against those of a model and the languages that it speaks.

    Without `source`, gives the one language that is translated to `to`; raises UserError if there are several,
    or the model does not know the direction.
    """
    sources = [direction.split("-")[0] for direction in directions if direction.split("-")[1] == to]
    if to not in spoken or not sources:
        targets = sorted({direction.split("-")[1] for direction in directions} & spoken)
        raise UserError(f"this model does not speak '{to}'; choose one of {', '.join(targets)}")
    if source is None and len(sources) > 1:
        raise UserError(f"this model translates {', '.join(sources)} to '{to}'; say which one is spoken")
    if source is not None and source not in sources:
        raise UserError(f"this model does not translate '{source}' to '{to}'; it knows {', '.join(directions)}")
    return source or sources[0]
