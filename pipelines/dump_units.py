"""Give each frame of speech the number of its nearest centroid: audio -> features -> units in one stream."""

from dataclasses import dataclass

import pyarrow as pa
import ray.data
import torch

from s2st import audio
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import BATCH_SECONDS, SpeechToUnits
from s2st.units import reduce
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

CARRIED = ("utterance_id", "sentence_id", "lang", "split", "speaker", "num_samples")


@dataclass(frozen=True)
class DumpUnitsConfig:
    batch_seconds: float = resource(BATCH_SECONDS)  # of speech in one padded batch; a GPU takes more
    batch_rows: int = resource(64)  # utterances that a worker takes at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


class UnitDumper:
    """Takes manifest rows and gives units; what cannot be used goes beside the output."""

    def __init__(self, codebook: str, output: str, batch_seconds: float):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.speech_to_units = SpeechToUnits.load(codebook, device, batch_seconds)
        self.origin, self.output = self.speech_to_units.origin, output

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of MANIFEST into rows of UNITS."""
        waveforms, rows, rejects = [], [], []
        for row in table.to_pylist():
            try:
                waveforms.append(audio.decode(row["audio"]["bytes"]))
                rows.append({name: row[name] for name in CARRIED})
            except audio.AudioError as error:
                rejects.append({**row, "reason": str(error)})
        datasets.set_aside(rejects, self.output)
        for row, units in zip(rows, self.speech_to_units(waveforms), strict=True):
            row.update(units=units, durations=reduce(units)[1], **self.origin)
        return pa.Table.from_pylist(rows, schema=UNITS)


def run(config: DumpUnitsConfig, step: Step) -> Counts:
    """Stream the manifest through a pool of workers into Parquet."""
    manifest = step.input("manifest")
    units = datasets.read(manifest, MANIFEST, [*CARRIED, "audio"]).map_batches(
        UnitDumper,
        fn_constructor_args=(step.input("codebook"), step.output, config.batch_seconds),
        batch_format="pyarrow",
        batch_size=config.batch_rows,
        num_gpus=config.num_gpus or None,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=config.max_workers),
    )
    datasets.write(units, step.output)
    rows_in, rows_out = datasets.count(manifest, MANIFEST), datasets.count(step.output, UNITS)
    num_rejects = len(datasets.rejects(step.output))
    datasets.check_nothing_lost(step.output, rows_in, rows_out, num_rejects)
    samples = datasets.read_table(step.output, UNITS, ["num_samples"])["num_samples"].to_pylist()
    return Counts(rows_in, rows_out, num_rejects, round(sum(samples) / audio.SAMPLE_RATE / 3600, 4))


STAGE = Stage(DumpUnitsConfig, run, reads={"manifest": Input(MANIFEST), "codebook": Input()})

if __name__ == "__main__":
    main("pipelines.dump_units")
