"""Speak recordings again from their units, to judge a vocoder alone: with predicted durations or the recording's."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.schemas import RESYNTHESES, UNITS
from s2st.speech_to_units import describe_units
from s2st.units import reduce
from s2st.voice import Voice, check_speaks_reduced
from stages import cluster, datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

LONGEST_SECONDS = 60  # of a recording: to align what is spoken with it takes memory by its square


@dataclass(frozen=True)
class ResynthesizeConfig:
    splits: tuple[str, ...] = ("test",)  # that are spoken, held out from the training
    # predicted: the vocoder hears reduced units, as a translator gives them; recorded: all units, one for each 20 ms
    durations: Literal["predicted", "recorded"] = "predicted"
    batch_rows: int = resource(16)  # recordings spoken at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU

    def __post_init__(self) -> None:
        if not self.splits or set(self.splits) - {"validation", "test"}:
            raise ValueError(f"splits={list(self.splits)} must be validation, test, or both: those held out")


class Resynthesizer:
    """Takes rows of UNITS and speaks them in the voices of their speakers, those it does not know in its default."""

    def __init__(self, vocoder: str, predicted: bool, output: str):
        """Rows without units, or with too many, are set aside beside the dataset `output`."""
        self.predicted, self.output = predicted, output
        self.voice = Voice.load(vocoder, "cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of UNITS into rows of RESYNTHESES, one batch a voice."""
        rejects = []
        known = self.voice.info.get("speakers", [])
        alike: dict[tuple[str, str | None], list[dict[str, Any]]] = defaultdict(list)
        for row in table.to_pylist():
            if reason := reason_against(row["units"]):
                rejects.append({**row, "reason": reason})
            else:
                alike[row["lang"], row["speaker"] if row["speaker"] in known else None].append(row)
        datasets.set_aside(rejects, self.output)
        done = [spoken for (lang, speaker), some in alike.items() for spoken in self._speak(some, lang, speaker)]
        return pa.Table.from_pylist(done, schema=RESYNTHESES)

    def _speak(self, rows: list[dict[str, Any]], lang: str, speaker: str | None) -> list[dict[str, Any]]:
        full = [np.asarray(row["units"], np.int64) for row in rows]
        reduced = [reduce(units) for units in full]
        said = [units for units, _ in reduced] if self.predicted else full
        done = []
        for row, (units, true), (waveform, durations) in zip(
            rows, reduced, self.voice.speak(said, lang, full=not self.predicted, speaker=speaker), strict=True
        ):
            done.append(
                {
                    **{name: row[name] for name in ("utterance_id", "sentence_id", "lang", "split", "speaker")},
                    "units": units,
                    "true_durations": true,
                    "durations": durations if self.predicted else true,
                    "predicted": self.predicted,
                    "audio": audio.encode(waveform),
                    "seconds": len(waveform) / audio.SAMPLE_RATE,
                }
            )
        return done


def reason_against(units: list[int]) -> str:
    """Say why units (T,) are not spoken; nothing if they are."""
    if not units:
        return "it has no units"
    longest = LONGEST_SECONDS * audio.UNITS_PER_SECOND
    return f"it is longer than {LONGEST_SECONDS} s, which are judged as one" if len(units) > longest else ""


def check_inputs(config: ResynthesizeConfig, step: Step) -> None:
    """Raise UserError if the vocoder predicts no durations, or speaks other units or none of the splits' languages."""
    if config.durations == "predicted":
        check_speaks_reduced(step.input("vocoder"))
    info = checkpoint.vocoder_info(step.input("vocoder"))
    table = datasets.read_table(step.input("units"), UNITS, ["codebook"])
    if others := set(table["codebook"].to_pylist()) - {info["units"]}:
        kind = describe_units(others.pop())
        raise UserError(f"section '{step.name}': the vocoder does not speak these units of {kind}; name its own")
    if not num_chosen(config, step):
        raise UserError(
            f"section '{step.name}': no recording of the splits {', '.join(config.splits)} is in a language of the "
            f"vocoder ({', '.join(info['languages'])})"
        )


def chosen(config: ResynthesizeConfig, step: Step) -> pc.Expression:
    """Make the test of whether a row is of these splits and in a language that the vocoder speaks."""
    languages = checkpoint.vocoder_info(step.input("vocoder"))["languages"]
    return pc.field("split").isin(config.splits) & pc.field("lang").isin(languages)


def num_chosen(config: ResynthesizeConfig, step: Step) -> int:
    """Count the recordings to be spoken."""
    return len(datasets.read_table(step.input("units"), UNITS, ["split"], where=chosen(config, step)))


def run(config: ResynthesizeConfig, step: Step) -> Counts:
    """Speak every recording of the splits on the workers, but those that cannot be."""
    wanted = chosen(config, step)
    spoken = (
        datasets.read(step.input("units"), UNITS)
        .map_batches(lambda table: table.filter(wanted), batch_format="pyarrow")
        .map_batches(
            Resynthesizer,
            fn_constructor_args=(step.input("vocoder"), config.durations == "predicted", step.output),
            batch_format="pyarrow",
            batch_size=config.batch_rows,
            **cluster.pool(config.max_workers, config.num_gpus),
        )
    )
    datasets.write(spoken, step.output)
    rows_in, num_rejects = num_chosen(config, step), len(datasets.rejects(step.output))
    seconds = datasets.read_table(step.output, RESYNTHESES, ["seconds"])["seconds"].to_pylist()
    datasets.check_nothing_lost(step.output, rows_in, len(seconds), num_rejects)
    return Counts(rows_in, len(seconds), num_rejects, round(sum(seconds) / 3600, 4))


STAGE = Stage(
    ResynthesizeConfig,
    run,
    reads={"units": Input(UNITS), "vocoder": Input()},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.resynthesize")
