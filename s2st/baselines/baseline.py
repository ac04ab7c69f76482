"""What translators that go through text share: limits, the units of what they say, and their model folders.

A model folder of theirs has a model.json like any other, with {"kind"}, and beside it KIND.json, its settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2st import storage
from s2st.audio import SAMPLE_RATE
from s2st.beam_search import SearchOptions
from s2st.config import Config, UserError, build, to_mapping
from s2st.features.filterbank import check_lengths, num_fbank_frames
from s2st.model_folder import read_model_folder
from s2st.pairing import check_directions, target_languages
from s2st.speech_to_units import SpeechToUnits, units_info
from s2st.translator import SpeechTranslator, Translation
from s2st.units import reduce

NO_UNITS = np.zeros(0, np.int32)


@dataclass(frozen=True)
class Spoken:
    """One utterance on its way through text."""

    source_text: str  # "" where nothing was heard
    text: str  # its translation
    waveform: np.ndarray  # (N,), float32 in [-1, 1], 16 kHz; (0,) if nothing is said


SILENT = Spoken("", "", np.zeros(0, np.float32))


class Baseline(SpeechTranslator):
    """A translator through text; subclasses give `say`."""

    def __init__(self, directions: Sequence[str], max_seconds: float, speech_to_units: SpeechToUnits | None) -> None:
        """Without `speech_to_units`, translations have no units; with it, those that are heard in them."""
        self.directions, self.languages = tuple(directions), frozenset(target_languages(directions))
        self.max_source_frames = num_fbank_frames(int(max_seconds * SAMPLE_RATE))
        self.speech_to_units = speech_to_units

    def say(self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str) -> list[Spoken]:
        """Translate waveforms (N,), each from its source language, and speak."""
        raise NotImplementedError

    def translate_batch(
        self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str, options: SearchOptions | None = None
    ) -> list[Translation]:
        """Translate waveforms; see SpeechTranslator. The parts search as they are set, and `options` change nothing."""
        check_lengths(waveforms, self.max_source_frames)
        spoken = self.say(waveforms, sources, to)
        heard = [(NO_UNITS, NO_UNITS)] * len(spoken)
        if self.speech_to_units is not None:
            heard = [reduce(units) for units in self.speech_to_units([each.waveform for each in spoken])]
        return [
            Translation(
                each.waveform,
                NO_UNITS,
                units,
                durations,
                finished=True,
                loops=False,
                source_text=each.source_text,
                text=each.text,
            )
            for each, (units, durations) in zip(spoken, heard, strict=True)
        ]


def check_settings(directions: Sequence[str], max_seconds: float) -> None:
    """Raise ValueError for settings of a baseline with which nothing could be translated."""
    check_directions(directions)
    if not directions:
        raise ValueError("directions is empty; name one, like en-hi")
    if max_seconds <= 0:
        raise ValueError(f"max_seconds={max_seconds} must be above 0")


def save(folder: str, kind: str, config: Any, **known: Any) -> None:
    """Write model.json, with what is `known` beside the directions, and the settings of a baseline into `folder`.

    Its codebook, if it has one, lies in the folder already.
    """
    units = units_info(f"{folder}/codebook")[0] if has_codebook(folder) else None
    model = {"kind": kind, "units": units, "directions": list(config.directions), "vocoders": {}, **known}
    storage.write_json(f"{folder}/{kind}.json", to_mapping(config))
    storage.write_json(f"{folder}/model.json", model)


def read_settings(folder: str, kind: str, config: type[Config]) -> Config:
    """Read the settings of a baseline; raises UserError if the folder holds none of this kind, or they are wrong."""
    found = read_model_folder(folder).get("kind")
    if found != kind:
        raise UserError(f"{folder} holds no {kind} (its model.json says kind {found}); name the folder of one")
    return build(config, storage.read_json(f"{folder}/{kind}.json"), f"{folder}/{kind}.json")


def has_codebook(folder: str) -> bool:
    """Tell whether a model folder has a codebook."""
    return storage.is_file(f"{folder}/codebook/config.json")


def load_codebook(folder: str, device: str) -> SpeechToUnits | None:
    """Read the codebook of a model folder, if it has one."""
    return SpeechToUnits.load(f"{folder}/codebook", device) if has_codebook(folder) else None
