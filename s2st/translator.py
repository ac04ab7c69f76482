"""Speech to speech on one device, without a cluster: waveform -> units -> units -> waveform."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from s2st import checkpoint, storage
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.decoding import translate_units
from s2st.models.transformer import store_by_columns
from s2st.models.unit_transformer import UnitTransformer
from s2st.models.unit_vocoder import UnitVocoder
from s2st.speech_to_units import SpeechToUnits
from s2st.units import reduce


@dataclass(frozen=True)
class Translation:
    """One translated utterance."""

    waveform: np.ndarray  # (N,), float32 in [-1, 1], 16 kHz
    source_units: np.ndarray  # reduced
    units: np.ndarray  # of the translation, reduced
    durations: np.ndarray  # of each of `units`, in frames of 20 ms


class Voice:
    """A unit vocoder and the numbers of its speakers and languages."""

    def __init__(self, vocoder: UnitVocoder, info: dict[str, Any]):
        vocoder.remove_weight_norm()
        self.vocoder, self.info = vocoder, info

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "Voice":
        """Read a vocoder from the folder that its trainer wrote."""
        vocoder, info = checkpoint.load(folder, *checkpoint.VOCODERS)
        return cls(vocoder.to(device), info)  # type: ignore[arg-type]

    def speak(self, sequences: Sequence[np.ndarray], lang: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give the waveform (N,) and durations (L,) of each sequence of reduced units (L,) of one language."""
        if not sequences:
            return []
        device = next(self.vocoder.parameters()).device
        lengths = torch.tensor([len(units) for units in sequences])
        padded = torch.zeros(len(sequences), max(1, int(lengths.max())), dtype=torch.long)
        for row, units in zip(padded, sequences, strict=True):
            row[: len(units)] = torch.from_numpy(np.asarray(units, dtype=np.int64))
        waveform, num_samples, durations = self.vocoder.speak(
            padded.to(device), lengths.to(device), **self._condition(lang, len(sequences), device)
        )
        return [
            (waveform[i, : int(num_samples[i])].cpu().numpy(), durations[i, : len(units)].cpu().numpy())
            for i, units in enumerate(sequences)
        ]

    def _condition(self, lang: str, count: int, device: torch.device) -> dict[str, torch.Tensor]:
        numbers = {}
        if self.vocoder.num_speakers:
            numbers["speaker"] = self.info["speakers"].index(self.info["default_speakers"][lang])
        if self.vocoder.num_languages:
            numbers["language"] = self.info["languages"].index(lang)
        return {name: torch.full((count,), number, device=device) for name, number in numbers.items()}


class Translator:
    """A model folder that `pipelines.assemble` made, loaded."""

    def __init__(
        self,
        speech_to_units: SpeechToUnits,
        translator: UnitTransformer,
        voices: dict[str, Voice],
        directions: Sequence[str],
    ):
        self.speech_to_units, self.translator, self.voices = speech_to_units, translator, voices
        store_by_columns(translator)
        self.directions = tuple(directions)

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "Translator":
        """Read all parts of a model folder; raises UserError if it is none, or its parts know different units."""
        model = read_model_folder(folder)
        speech_to_units = SpeechToUnits.load(f"{folder}/codebook", device)
        translator, info = checkpoint.load(f"{folder}/translator", "unit_transformer")
        by_name = {name: Voice.load(f"{folder}/vocoders/{name}", device) for name in set(model["vocoders"].values())}
        voices = {lang: by_name[name] for lang, name in model["vocoders"].items()}
        for part, units in [
            ("translator", info["units"]),
            *((f"vocoders/{n}", v.info["units"]) for n, v in by_name.items()),
        ]:
            if units != speech_to_units.fingerprint:
                raise UserError(
                    f"{folder}/{part} was trained on units {units}, but {folder}/codebook makes "
                    f"{speech_to_units.fingerprint}; put parts of one training together"
                )
        return cls(speech_to_units, translator.to(device), voices, model["directions"])  # type: ignore[arg-type]

    def source_language(self, to: str, source: str | None = None) -> str:
        """Check a direction; without `source`, give the one language that is translated to `to`."""
        return pick_source(self.directions, set(self.voices), to, source)

    def units(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give the reduced units of each waveform."""
        return [reduce(units)[0] for units in self.speech_to_units(waveforms)]

    def translate(self, waveform: np.ndarray, to: str, source: str | None = None, beam: int = 5) -> Translation:
        """Translate a waveform (N,), mono, 16 kHz, float32 in [-1, 1], to the language `to`."""
        source = self.source_language(to, source)
        units = self.units([waveform])[0]
        return self.translate_units([units], [source], to, beam)[0]

    def translate_units(
        self, sequences: Sequence[np.ndarray], sources: Sequence[str], to: str, beam: int = 5
    ) -> list[Translation]:
        """Translate reduced units to one language and speak them."""
        targets = [to] * len(sequences)
        found = translate_units(self.translator, sequences, sources, targets, SearchOptions(beam=beam))
        hypotheses = [best for best, *_ in found]
        spoken = self.voices[to].speak([hypothesis.units for hypothesis in hypotheses], to)
        return [
            Translation(waveform, source_units, hypothesis.units, durations)
            for source_units, hypothesis, (waveform, durations) in zip(sequences, hypotheses, spoken, strict=True)
        ]


def read_model_folder(folder: str) -> dict[str, Any]:
    """Read model.json of a model folder: {"units", "directions", "vocoders": {language: name}}."""
    try:
        return storage.read_json(f"{folder}/model.json")
    except FileNotFoundError:
        raise UserError(
            f"there is no model in {folder} (no model.json); 'make demo' puts one into runs/demo/model"
        ) from None


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
