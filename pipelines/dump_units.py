"""Give each frame of speech the number of its nearest centroid: audio -> features -> units in one stream.

No features are written anywhere.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray.data
import torch

from pipelines.speech_batches import CARRIED, SHARD_BATCHES, decoded_batches, waveform_of, write_units
from s2st import audio, storage
from s2st.config import UserError
from s2st.feature_extractor import BATCH_SECONDS
from s2st.precision import has_bf16
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import SpeechToUnits, read_features
from s2st.units import reduce
from stages import cluster, datasets, exactly_once
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

CHECKED_SECONDS = 300.0  # of speech, of which bf16's units are compared with fp32's
WRITTEN = exactly_once.with_reason(UNITS)


@dataclass(frozen=True)
class DumpUnitsConfig:
    bf16: bool = False  # faster where the processor has it; the share of units that it changes is measured and told
    batch_seconds: float = resource(BATCH_SECONDS)  # of speech in one padded batch; a GPU takes more
    shard_batches: int = resource(SHARD_BATCHES)  # that a worker takes at once, and that a kill can undo
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


class UnitDumper:
    """Takes batches and gives units, and the rejects among them."""

    def __init__(self, codebook: str, batch_seconds: float, bf16: bool = False):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.speech_to_units = SpeechToUnits.load(codebook, device, batch_seconds, bf16)
        self.origin = self.speech_to_units.origin
        if bf16 and not has_bf16(torch.device(device)):
            tell("bf16 is not used: this processor is faster in fp32")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of BATCHES into rows of UNITS with a reason."""
        rows = [row for batch in table["batch"].to_pylist() for row in batch]
        good = [row for row in rows if row["reason"] is None]
        for row, units in zip(good, self.speech_to_units(list(map(waveform_of, good))), strict=True):
            row.update(units=units, durations=reduce(units)[1])
        return pa.Table.from_pylist([{**row, **self.origin} for row in rows], schema=WRITTEN)


def check_inputs(config: DumpUnitsConfig, step: Step) -> None:
    """Raise UserError if the settings do not go with the codebook."""
    if config.bf16 and not read_features(step.input("codebook")).needs_encoder:
        raise UserError(f"section '{step.name}': bf16 is for features of an encoder, and these are none; remove it")


def run(config: DumpUnitsConfig, step: Step) -> Counts:
    """Stream the manifest through a pool of workers into Parquet."""
    manifest = step.input("manifest")

    def stream() -> ray.data.Dataset:
        return units_of(config, step, datasets.read_shards(manifest, MANIFEST, [*CARRIED, "audio"]), config.bf16)

    counts = write_units(stream, manifest, step.output)
    if config.bf16:
        tell(measure_bf16(config, step))
    return counts


def units_of(config: DumpUnitsConfig, step: Step, speech: ray.data.Dataset, bf16: bool) -> ray.data.Dataset:
    """Make the stream of WRITTEN rows of the columns of a manifest that are needed."""
    return decoded_batches(speech, config.batch_seconds, config.shard_batches).map_batches(
        UnitDumper,
        fn_constructor_args=(step.input("codebook"), config.batch_seconds, bf16),
        batch_size=1,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **cluster.pool(config.max_workers, config.num_gpus),
    )


def measure_bf16(config: DumpUnitsConfig, step: Step) -> str:
    """Make the units of some utterances again in fp32; writes and says which share of their frames differs."""
    table = datasets.read_table(step.output, UNITS, ["utterance_id", "num_samples", "units"]).sort_by("utterance_id")
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    seconds = np.cumsum(shuffled["num_samples"].to_numpy()) / audio.SAMPLE_RATE
    sample = shuffled.slice(0, int(np.searchsorted(seconds, CHECKED_SECONDS)) + 1)
    chosen = sample["utterance_id"].combine_chunks()
    speech = datasets.read_shards(step.input("manifest"), MANIFEST, [*CARRIED, "audio"], chosen)
    exact = units_of(config, step, speech, bf16=False)
    expected = {row["utterance_id"]: np.asarray(row["units"]) for row in exact.take_all()}
    changed = frames = 0
    for row in sample.to_pylist():
        changed += int((np.asarray(row["units"]) != expected[row["utterance_id"]]).sum())
        frames += len(row["units"])
    share = changed / max(1, frames)
    storage.write_json(f"{step.output}/_bf16.json", {"frames": frames, "changed": changed, "share": share})
    return f"{step.name}: bf16: true changes {share:.2%} of the units ({changed} of {frames} frames, a sample)"


STAGE = Stage(
    DumpUnitsConfig,
    run,
    reads={"manifest": Input(MANIFEST), "codebook": Input()},
    resumes=True,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.dump_units")
