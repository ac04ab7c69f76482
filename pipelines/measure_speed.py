"""Measure how long models take to translate speech: on one thread of a CPU, one recording after the other.

All kinds of models go the whole way here, from waveform to waveform, with the search that they have as made.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow.compute as pc
import torch

from s2st import audio, storage, translators
from s2st.config import UserError
from s2st.model_folder import read_model_folder
from s2st.pairing import source_languages
from s2st.schemas import MANIFEST
from s2st.translator import SpeechTranslator
from stages import datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

SPEEDS = "_speeds.json"


@dataclass(frozen=True)
class MeasureSpeedConfig:
    split: Literal["train", "validation", "test"] = "test"
    recordings: int = 20  # of each direction, the first of the split

    def __post_init__(self) -> None:
        if self.recordings < 1:
            raise ValueError(f"recordings={self.recordings} must be at least 1")


def check_inputs(config: MeasureSpeedConfig, step: Step) -> None:
    """Raise UserError for a model that is not on this machine, or that hears a language without recordings."""
    spoken = set(_recordings(config, step, ["lang"])["lang"].to_pylist())
    for section, folder in zip(step.inputs["models"], step.input_list("models"), strict=True):
        if translators.describe(folder)["model"] == "hosted":
            raise UserError(f"section '{step.name}': {section} is a hosted service, whose time costs money; remove it")
        if missing := sorted(set(source_languages(read_model_folder(folder)["directions"])) - spoken):
            raise UserError(
                f"section '{step.name}': {section} hears '{missing[0]}', of which the split '{config.split}' has no "
                "recording; choose another split or manifest"
            )


def run(config: MeasureSpeedConfig, step: Step) -> Counts:
    """Translate, and write {section: {direction: figures}} into _speeds.json."""
    known = _recordings(config, step, ["utterance_id", "lang"]).sort_by("utterance_id").to_pylist()
    speeds: dict[str, dict[str, Any]] = {}
    with one_thread():
        for section, folder in zip(step.inputs["models"], step.input_list("models"), strict=True):
            translator = translators.load(folder)
            speeds[section] = {}
            for source, to in spoken_directions(translator):
                ids = [row["utterance_id"] for row in known if row["lang"] == source][: config.recordings]
                waveforms = waveforms_of(step, ids)
                speeds[section][f"{source}-{to}"] = measure(translator, waveforms, source, to)
            tell(f"{step.name}: {section} is measured")
    storage.write_json(f"{step.output}/{SPEEDS}", speeds)
    return Counts(len(speeds), len(speeds), unit="models")


def waveforms_of(step: Step, ids: list[str]) -> list[Any]:
    """Read the waveforms (N,) of some recordings."""
    chosen = pc.field("utterance_id").isin(ids)
    rows = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "audio"], chosen)
    return [audio.decode(row["audio"]["bytes"]) for row in rows.sort_by("utterance_id").to_pylist()]


def _recordings(config: MeasureSpeedConfig, step: Step, columns: list[str]) -> Any:
    return datasets.read_table(step.input("manifest"), MANIFEST, columns, pc.field("split") == config.split)


def spoken_directions(translator: SpeechTranslator) -> list[tuple[str, str]]:
    """Give the directions whose target the translator speaks, as pairs of languages."""
    pairs = [(source, to) for source, _, to in (direction.partition("-") for direction in translator.directions)]
    return [pair for pair in pairs if pair[1] in translator.languages]


def measure(translator: SpeechTranslator, waveforms: list[Any], source: str, to: str) -> dict[str, float]:
    """Translate waveforms (N,) one by one; the first goes twice, as what a first call prepares is not counted.

    Time is that of the process, which other work on the machine leaves as it is.
    """
    translator.translate(waveforms[0], to, source)
    begin = time.process_time()
    for waveform in waveforms:
        translator.translate(waveform, to, source)
    cpu_seconds = time.process_time() - begin
    speech_seconds = sum(map(len, waveforms)) / audio.SAMPLE_RATE
    return {
        "recordings": len(waveforms),
        "speech_seconds": speech_seconds,
        "cpu_seconds": cpu_seconds,
        "cpu_seconds_per_second": cpu_seconds / speech_seconds,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch compute on one thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


STAGE = Stage(
    MeasureSpeedConfig,
    run,
    reads={"manifest": Input(MANIFEST), "models": Input(many=True)},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.measure_speed")
