"""What a vocoder learns from and is judged by: waveforms with their units.

Segments are cut on the data workers, and only the stretch of a recording that is needed is decoded. Shapes: B batch,
S units of a segment, T of the longest utterance, L of it reduced; a unit has HOP samples.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from s2st import audio
from s2st.schemas import MANIFEST
from s2st.units import reduce
from trainers.examples import Collate, Examples, JoinUnits, Packing, examples, pad
from trainers.loudness import amplify
from trainers.voices import Voices

SHORTEST_FRAMES = 8  # that the spectral losses can compare
JUDGED = 8  # utterances in a batch of the validation split
JUDGED_FRAMES = 500  # of an utterance, at most: 10 s

Row = dict[str, Any]  # of MANIFEST, with its units and gain


def training_examples(
    manifest: str, rows: pa.Table, voices: Voices, segment_frames: int, batch_size: int
) -> Examples | None:
    """Open the training split: a batch has a random segment of each of some utterances, and all their units.

    {segment_units (B, S), segment_waveform (B, S * HOP), units (B, T), lengths (B,)}, and what `Voices.tensors` gives.
    """

    def collate(rows: list[Row], random: np.random.Generator) -> dict[str, Tensor]:
        segments = [cut(row, segment_frames, random) for row in rows]
        padded, lengths = pad([np.asarray(row["units"], dtype=np.int64) for row in rows])
        return {
            "segment_units": torch.from_numpy(np.stack([units for units, _ in segments])),
            "segment_waveform": torch.from_numpy(np.stack([waveform for _, waveform in segments])),
            "units": padded,
            "lengths": lengths,
            **voices.tensors(rows),
        }

    return _open(manifest, rows, "train", batch_size, collate)


def validation_examples(manifest: str, rows: pa.Table, voices: Voices) -> Examples | None:
    """Open the validation split: utterances, from their beginning; very short ones are left out.

    {units (B, T), lengths (B,), waveform (B, T * HOP), reduced (B, L), durations (B, L) zero past the end,
    reduced_lengths (B,)}, and what `Voices.tensors` gives.
    """

    def collate(rows: list[Row], random: np.random.Generator) -> dict[str, Tensor]:
        utterances = [stretch(row, 0, min(num_units(row), JUDGED_FRAMES)) for row in rows]
        padded, lengths = pad([units for units, _ in utterances])
        runs = [reduce(units) for units, _ in utterances]
        reduced, reduced_lengths = pad([units for units, _ in runs])
        return {
            "units": padded,
            "lengths": lengths,
            "waveform": pad([waveform for _, waveform in utterances])[0],
            "reduced": reduced,
            "durations": pad([durations for _, durations in runs])[0],
            "reduced_lengths": reduced_lengths,
            **voices.tensors(rows),
        }

    long_enough = pc.greater_equal(rows["num_samples"], SHORTEST_FRAMES * audio.HOP)
    long_enough = pc.and_(long_enough, pc.greater_equal(pc.list_value_length(rows["units"]), SHORTEST_FRAMES))
    return _open(manifest, rows.filter(long_enough), "validation", JUDGED, collate)


def _open(manifest: str, rows: pa.Table, split: str, batch_size: int, collate: Collate) -> Examples | None:
    columns = ["utterance_id", "lang", "speaker", "audio", "num_samples"]
    join, packing = JoinUnits(rows, "gain"), Packing(batch_size)
    return examples(manifest, MANIFEST, columns, {"split": split}, packing, lambda row: 1, collate, join)


def cut(row: Row, frames: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut the same random stretch of units (frames,) and waveform (frames * HOP,) from an utterance.

    A shorter utterance is repeated until it is long enough, as the reference does.
    """
    start = int(random.integers(max(1, num_units(row) - frames + 1)))
    units, waveform = stretch(row, start, min(frames, num_units(row)))
    return np.resize(units, frames), np.resize(waveform, frames * audio.HOP)


def stretch(row: Row, start: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Give units (frames,), int64, and waveform (frames * HOP,), float32, of an utterance from unit `start` on."""
    waveform = audio.decode_part(row["audio"]["bytes"], start * audio.HOP, frames * audio.HOP)
    return np.asarray(row["units"][start : start + frames], dtype=np.int64), amplify(waveform, row["gain"])


def num_units(row: Row) -> int:
    """Count the units of an utterance that have all of their samples."""
    return min(len(row["units"]), row["num_samples"] // audio.HOP)
