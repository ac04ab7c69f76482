"""Speech for the workers with models: decoded apart from them, and packed into batches by seconds."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from s2st import audio
from s2st.schemas import MANIFEST, UNITS
from stages import datasets, exactly_once
from stages.stage import Counts

CARRIED = ("utterance_id", "sentence_id", "lang", "split", "speaker", "num_samples")
SAMPLE_BYTES = 2  # on the way to a worker: recordings have 16 bits
SHARD_BATCHES = 4  # that a worker takes at once
DECODER_CPUS = 0.5  # other than a worker's, or Ray would put decoder and model into one process

DECODED = pa.struct(
    [
        *(MANIFEST.field(name) for name in CARRIED),
        ("samples", pa.large_binary()),  # int16
        ("reason", pa.string()),  # why there are none
    ]
)
BATCHES = pa.schema([("batch", pa.list_(DECODED))])  # a row is a batch for the model


def decoded_batches(
    speech: ray.data.Dataset, batch_seconds: float, shard_batches: int = SHARD_BATCHES
) -> ray.data.Dataset:
    """Turn rows of MANIFEST (CARRIED and audio) into rows of BATCHES, in blocks of so many batches."""
    shard_seconds = shard_batches * batch_seconds
    speech.context.target_max_block_size = int(shard_seconds * audio.SAMPLE_RATE * SAMPLE_BYTES)
    return speech.map_batches(
        Decoder(batch_seconds), batch_size=None, batch_format="pyarrow", zero_copy_batch=True, num_cpus=DECODER_CPUS
    )


class Decoder:
    """Takes manifest rows, decodes them and packs them into batches by seconds."""

    def __init__(self, batch_seconds: float):
        self.batch_samples = batch_seconds * audio.SAMPLE_RATE

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Turn rows of MANIFEST into rows of BATCHES, as batches get full."""
        table = table.sort_by("num_samples")  # utterances of similar length pad each other little
        batch: list[dict[str, Any]] = []
        for index in range(len(table)):
            row = table.slice(index, 1).to_pylist()[0]
            if batch and row["num_samples"] * (len(batch) + 1) > self.batch_samples:
                yield pa.table({"batch": [batch]}, schema=BATCHES)
                batch = []
            batch.append(decoded(row))
        if batch:
            yield pa.table({"batch": [batch]}, schema=BATCHES)


def decoded(row: dict[str, Any]) -> dict[str, Any]:
    """Turn a row of MANIFEST into one of DECODED."""
    kept = {name: row[name] for name in CARRIED}
    try:
        waveform = audio.decode(row["audio"]["bytes"])
    except audio.AudioError as error:
        return {**kept, "samples": b"", "reason": str(error)}
    return {**kept, "num_samples": len(waveform), "samples": audio.to_int16(waveform).tobytes(), "reason": None}


def waveform_of(row: dict[str, Any]) -> np.ndarray:
    """Give the waveform (N,) of a row of DECODED."""
    waveform = np.frombuffer(row["samples"], np.int16).astype(np.float32)
    waveform /= 32768
    return waveform


def write_units(stream: Callable[[], ray.data.Dataset], manifest: str, output: str) -> Counts:
    """Write the units of a manifest's recordings, exactly once, and count them; see `exactly_once.write`."""
    rows_in = datasets.count(manifest, MANIFEST)
    exactly_once.write(stream, rows_in, output, UNITS)
    samples = datasets.read_table(output, UNITS, ["num_samples"])["num_samples"]
    num_rejects = len(datasets.rejects(output))
    datasets.check_nothing_lost(output, rows_in, len(samples), num_rejects)
    hours = (pc.sum(samples).as_py() or 0) / audio.SAMPLE_RATE / 3600
    return Counts(rows_in, len(samples), num_rejects, round(hours, 4))
