"""How loud recordings are made before a vocoder learns from them.

The reference brings the peak of every file to 0.95. A peak is one sample, and units do not tell it: a click or a
stressed word would make the rest of its recording quieter than the same voice elsewhere, and the vocoder cannot know.
So all recordings of a speaker get one gain, which brings the peak of its loud ones to 0.95: published models, which are
used to peaks of 0.95, hear about the same level, and what a speaker says softly stays soft. Where a speaker of the
manifest is many people with as many microphones, as in FLEURS, which names none, a gain for each recording is better.
"""

from collections import defaultdict
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from s2st import audio, storage
from s2st.schemas import MANIFEST
from stages import datasets

Level = Literal["speaker", "utterance"]
PEAK = 0.95  # after the gain
LOUD = 0.95  # quantile of a speaker's peaks that becomes PEAK: with the highest, one click would make a voice quiet

PEAKS = pa.schema([("utterance_id", pa.string()), ("peak", pa.float64())])


def read_peaks(manifest: str, utterance_ids: pa.Array, file: str) -> pa.Table:
    """Find the highest amplitude of some recordings of a manifest: rows of PEAKS.

    They are decoded by Ray Data, once: `file` keeps what was found, for a training that goes on after a kill.
    """
    if not storage.is_file(file):
        speech = datasets.read_shards(manifest, MANIFEST, ["utterance_id", "audio"], utterance_ids)
        blocks = speech.map_batches(_peaks, batch_format="pyarrow").iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        )
        buffer = pa.BufferOutputStream()
        pyarrow.parquet.write_table(pa.concat_tables(blocks), buffer)
        storage.write_bytes(file, buffer.getvalue().to_pybytes())
    return pyarrow.parquet.read_table(pa.BufferReader(storage.read_bytes(file)))


def _peaks(recordings: pa.Table) -> pa.Table:
    waveforms = (audio.decode(recording["bytes"]) for recording in recordings["audio"].to_pylist())
    peaks = [float(np.abs(waveform).max()) for waveform in waveforms]
    return pa.table([recordings["utterance_id"], pa.array(peaks, pa.float64())], schema=PEAKS)


def with_gains(rows: pa.Table, peaks: pa.Table, level: Level) -> pa.Table:
    """Add the column `gain`, by which waveforms are multiplied, to rows of UNITS of which the peaks are known."""
    found = peaks["peak"].take(pc.index_in(rows["utterance_id"], peaks["utterance_id"])).to_numpy()
    if level == "utterance":
        return rows.append_column("gain", pa.array(PEAK / found))
    gains = speaker_gains(rows, found)
    return rows.append_column("gain", pa.array([gains[speaker] for speaker in rows["speaker"].to_pylist()]))


def speaker_gains(rows: pa.Table, peaks: np.ndarray) -> dict[str, float]:
    """Give the gain of each speaker of rows of UNITS, whose peaks are (R,).

    It is that of its training recordings; of a speaker who has none there, of all others.
    """
    speakers, splits = rows["speaker"].to_pylist(), rows["split"].to_pylist()
    trained = {speaker for speaker, split in zip(speakers, splits, strict=True) if split == "train"}
    heard: dict[str, list[float]] = defaultdict(list)
    for speaker, split, peak in zip(speakers, splits, peaks, strict=True):
        if split == "train" or speaker not in trained:
            heard[speaker].append(peak)
    return {speaker: PEAK / float(np.quantile(own, LOUD, method="higher")) for speaker, own in heard.items()}


def amplify(waveform: np.ndarray, gain: float) -> np.ndarray:
    """Multiply a waveform (N,), float32, by its gain; samples louder than 1 are clipped, as no vocoder makes them."""
    return np.clip(waveform * np.float32(gain), -1, 1)
