"""Let a unit language model speak: it goes on from the beginning of recordings, and says what it likes without one.

As GSLM's prompted and unprompted generation (Lakhotia et al. 2021). Beside it are the recordings' own units in the same
voice, so that what the vocoder costs is not taken for the model's fault. `listen/` has some of each as WAV.

continuations:
  stage: pipelines.continue_speech
  units: units
  language_model: language_model
  vocoder: vocoder
"""

import io
import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
import soundfile
import torch

from pipelines.listening import spread
from s2st import audio, checkpoint, storage
from s2st.config import UserError
from s2st.continuation import SamplingOptions, continue_units
from s2st.decoding import UnitHypothesis
from s2st.models.unit_lm import UnitLm
from s2st.schemas import CONTINUATIONS, UNIT, UNITS
from s2st.units import reduce
from s2st.voice import Voice, check_speaks_reduced
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

PROMPTS = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("kind", pa.string()),  # as in CONTINUATIONS
        ("num_prompt_units", pa.int64()),
        ("units", pa.list_(UNIT)),  # reduced: the true ones, or no more than the prompt
    ]
)


@dataclass(frozen=True)
class ContinueSpeechConfig:
    split: Literal["validation", "test"] = "test"
    prompt_seconds: float = 3.0  # of a recording, which the model goes on from
    min_seconds: float = 6.0  # recordings that are shorter are left out
    num_samples: int = 50  # utterances without a prompt
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0  # of what is drawn
    listen: int = resource(4)  # recordings, and samples, to be heard as WAV
    batch_rows: int = resource(16)  # utterances drawn and spoken at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU

    def __post_init__(self) -> None:
        if self.prompt_seconds <= 0 or self.num_samples < 0:
            raise ValueError(
                f"prompt_seconds={self.prompt_seconds} must be above 0, num_samples={self.num_samples} 0 or more"
            )
        if self.min_seconds <= self.prompt_seconds:
            raise ValueError(
                f"min_seconds={self.min_seconds} must be above prompt_seconds={self.prompt_seconds}: something has to "
                "be left to go on with"
            )


class Continuer:
    """Takes prompts and gives utterances with their audio."""

    def __init__(self, language_model: str, vocoder: str, config: ContinueSpeechConfig):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model, info = checkpoint.load(language_model, "unit_lm")
        assert isinstance(model, UnitLm)
        self.model, self.lang = model.to(device), info["lang"]
        self.voice, self.config = Voice.load(vocoder, device), config

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of PROMPTS into rows of CONTINUATIONS."""
        rows = table.to_pylist()
        utterances = self._utterances(rows)
        spoken = self.voice.speak([utterance.units for utterance in utterances], self.lang)
        return pa.Table.from_pylist(
            [
                {
                    **row,
                    "lang": self.lang,
                    "units": utterance.units,
                    "durations": durations,
                    "finished": utterance.finished,
                    "loops": utterance.loops,
                    "audio": audio.encode(waveform),
                    "prompt_samples": int(durations[: row["num_prompt_units"]].sum()) * audio.HOP,
                    "num_samples": len(waveform),
                }
                for row, utterance, (waveform, durations) in zip(rows, utterances, spoken, strict=True)
            ],
            CONTINUATIONS,
        )

    def _utterances(self, rows: list[dict[str, Any]]) -> list[UnitHypothesis]:
        """Go on from the prompts; true units stay as they are."""
        units = [np.asarray(row["units"], np.int32) for row in rows]
        drawn = [place for place, row in enumerate(rows) if row["kind"] != "true"]
        seeds = [zlib.crc32(f"{self.config.seed} {rows[place]['utterance_id']}".encode()) for place in drawn]
        found = continue_units(self.model, [units[place] for place in drawn], seeds, self.config.sampling)
        utterances = [UnitHypothesis(row, 0.0, finished=True, loops=False) for row in units]
        for place, utterance in zip(drawn, found, strict=True):
            utterances[place] = utterance
        return utterances


def check_inputs(config: ContinueSpeechConfig, step: Step) -> None:
    """Raise UserError unless model, vocoder and units are of one kind and language, and a recording is long enough."""
    vocoder, info = checkpoint.vocoder_info(step.input("vocoder")), language_model_info(step)
    check_speaks_reduced(step.input("vocoder"))
    if vocoder["units"] != info["units"]:
        raise UserError(f"section '{step.name}': the vocoder does not speak the language model's units; name its own")
    if info["lang"] not in vocoder["languages"]:
        raise UserError(f"section '{step.name}': the vocoder does not speak '{info['lang']}', the language model's own")
    check_units(step, info)
    prompts = prompts_of(config, step)
    if not len(prompts):
        raise UserError(
            f"section '{step.name}': no recording in '{info['lang']}' of the split '{config.split}' has "
            f"min_seconds={config.min_seconds}; lower it and prompt_seconds"
        )
    most = checkpoint.read_config(step.input("language_model"), "unit_lm")["config"]["max_positions"] - 1
    if (longest := pc.max(prompts["num_prompt_units"]).as_py()) >= most:
        raise UserError(
            f"section '{step.name}': a prompt of {longest} units leaves nothing of the {most} that the language model "
            "has positions for; lower prompt_seconds"
        )


def language_model_info(step: Step) -> dict[str, Any]:
    """Read what the step's language model is of: {"units", "lang"}."""
    return checkpoint.read_config(step.input("language_model"), "unit_lm")["info"]


def check_units(step: Step, info: dict[str, Any]) -> None:
    """Raise UserError if the step's units are not those of its language model, of which `info` tells."""
    if {info["units"]} != set(datasets.read_table(step.input("units"), UNITS, ["codebook"])["codebook"].to_pylist()):
        raise UserError(f"section '{step.name}': {step.input('units')} are not the units of its language model")


def prompts_of(config: ContinueSpeechConfig, step: Step) -> pa.Table:
    """Make the rows of PROMPTS of the recordings that are long enough, each with what was truly said."""
    chosen = (pc.field("split") == config.split) & (pc.field("lang") == language_model_info(step)["lang"])
    long = pc.list_value_length(pc.field("units")) >= config.min_seconds * audio.UNITS_PER_SECOND
    table = datasets.read_table(step.input("units"), UNITS, ["utterance_id", "units"], chosen & long)
    rows = []
    for row in table.sort_by("utterance_id").to_pylist():
        units = np.asarray(row["units"])
        prompt = reduce(units[: round(config.prompt_seconds * audio.UNITS_PER_SECOND)])[0]
        for kind, given in (("true", reduce(units)[0]), ("continued", prompt)):
            shared = {"utterance_id": row["utterance_id"], "num_prompt_units": len(prompt)}
            rows.append({**shared, "kind": kind, "units": given})
    return pa.Table.from_pylist(rows, PROMPTS)


def run(config: ContinueSpeechConfig, step: Step) -> Counts:
    """Draw and speak on the workers, and write some to listen to."""
    samples = [
        {"utterance_id": f"sample-{number:04}", "kind": "sampled", "num_prompt_units": 0, "units": []}
        for number in range(1, config.num_samples + 1)
    ]
    asked = pa.concat_tables([prompts_of(config, step), pa.Table.from_pylist(samples, PROMPTS)])
    spoken = (
        ray.data.from_arrow(asked)
        .repartition(target_num_rows_per_block=config.batch_rows)
        .map_batches(
            Continuer,
            fn_constructor_args=(step.input("language_model"), step.input("vocoder"), config),
            batch_format="pyarrow",
            batch_size=config.batch_rows,
            **cluster.pool(config.max_workers, config.num_gpus),
        )
    )
    datasets.write(spoken, step.output, ["kind"])
    rows = datasets.read_table(step.output, CONTINUATIONS).sort_by("utterance_id").to_pylist()
    datasets.check_nothing_lost(step.output, len(asked), len(rows), 0)
    for kind in ("continued", "sampled"):
        alike = [row for row in rows if row["kind"] == kind]
        cut, loops = sum(not row["finished"] for row in alike), sum(row["loops"] for row in alike)
        tell(f"{step.name}: {cut} of {len(alike)} {kind} did not end by themselves and are cut, {loops} of them loop")
    write_sounds(step.output, rows, config.listen)
    hours = sum(row["num_samples"] for row in rows) / audio.SAMPLE_RATE / 3600
    return Counts(len(asked), len(rows), audio_hours=round(hours, 4))


def write_sounds(folder: str, rows: list[dict[str, Any]], count: int) -> None:
    """Write, as WAV, `count` recordings with what the model makes of their beginnings, and as many samples."""
    heard = [spread([row for row in rows if row["kind"] == kind], count) for kind in ("true", "continued", "sampled")]
    for number, row in ((number, row) for alike in heard for number, row in enumerate(alike, 1)):
        data = audio.encode(samples_of(row["audio"]), "WAV")
        storage.write_bytes(f"{folder}/listen/{row['kind']}_{number:02}.wav", data)


def samples_of(sound: bytes) -> np.ndarray:
    """Decode what was spoken -> (N,); a single unit is shorter than what `audio.decode` takes for a recording."""
    return soundfile.read(io.BytesIO(sound), dtype="float32")[0]


STAGE = Stage(
    ContinueSpeechConfig,
    run,
    reads={"units": Input(UNITS), "language_model": Input(), "vocoder": Input()},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.continue_speech")
