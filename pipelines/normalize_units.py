"""Give speech the units that one speaker would have said: by a speech normaliser, a HuBERT fine-tuned to units.

Lee et al. 2022. The units are of the codebook that the normaliser learned, so pairs may take them as targets, and
vocoders of those units say them.
"""

from dataclasses import dataclass

import pyarrow as pa
import ray.data
import torch

from pipelines.speech_batches import CARRIED, SHARD_BATCHES, decoded_batches, waveform_of, write_units
from s2st import audio, checkpoint
from s2st.config import UserError, build
from s2st.feature_extractor import BATCH_SECONDS
from s2st.models.hubert_ctc import HubertCtcConfig
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_symbols import SpeechToSymbols
from s2st.speech_to_units import frames_per_second
from s2st.units import reduce
from stages import cluster, datasets, exactly_once
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

WRITTEN = exactly_once.with_reason(UNITS)


@dataclass(frozen=True)
class NormalizeUnitsConfig:
    batch_seconds: float = resource(BATCH_SECONDS)  # of speech in one padded batch; a GPU takes more
    shard_batches: int = resource(SHARD_BATCHES)  # that a worker takes at once, and that a kill can undo
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


class Normalizer:
    """Takes batches and gives units, and the rejects among them."""

    def __init__(self, folder: str, batch_seconds: float):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.speech_to_symbols = SpeechToSymbols.load(folder, device, batch_seconds)
        model = self.speech_to_symbols.model
        self.origin = {
            "encoder": checkpoint.fingerprint(model),
            "layer": model.config.encoder.num_layers,
            "codebook": self.speech_to_symbols.info["codebook"],
        }

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of BATCHES into rows of UNITS with a reason."""
        rows = [row for batch in table["batch"].to_pylist() for row in batch]
        good = [row for row in rows if row["reason"] is None]
        for row, units in zip(good, self.speech_to_symbols.units(list(map(waveform_of, good))), strict=True):
            if len(units):
                row.update(units=units, durations=reduce(units)[1])
            else:
                row.update(reason="the normaliser hears no unit in it")
        return pa.Table.from_pylist([{**row, **self.origin} for row in rows], schema=WRITTEN)


def check_inputs(config: NormalizeUnitsConfig, step: Step) -> None:
    """Raise UserError unless the model hears units, in frames of their rate."""
    folder = step.input("normalizer")
    found = checkpoint.read_config(folder, "hubert_ctc")
    if found["info"].get("labels") != "units":
        raise UserError(f"section '{step.name}': {folder} hears letters; name a model that was trained on units")
    rate = frames_per_second(found["info"]["codebook"])
    hop = build(HubertCtcConfig, found["config"], folder).encoder.hop
    if rate * hop != audio.SAMPLE_RATE:
        raise UserError(
            f"section '{step.name}': the units have {rate} frames a second, but {folder} makes one of {hop} samples; "
            f"train on units of {audio.SAMPLE_RATE // hop}"
        )


def run(config: NormalizeUnitsConfig, step: Step) -> Counts:
    """Stream the manifest through a pool of workers into Parquet."""
    manifest = step.input("manifest")

    def stream() -> ray.data.Dataset:
        speech = datasets.read_shards(manifest, MANIFEST, [*CARRIED, "audio"])
        return decoded_batches(speech, config.batch_seconds, config.shard_batches).map_batches(
            Normalizer,
            fn_constructor_args=(step.input("normalizer"), config.batch_seconds),
            batch_size=1,
            batch_format="pyarrow",
            zero_copy_batch=True,
            **cluster.pool(config.max_workers, config.num_gpus),
        )

    return write_units(stream, manifest, step.output)


STAGE = Stage(
    NormalizeUnitsConfig,
    run,
    reads={"manifest": Input(MANIFEST), "normalizer": Input()},
    resumes=True,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.normalize_units")
