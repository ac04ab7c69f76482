"""Draw a seeded sample of frames from the training speech, as a stream: what pipelines.fit_codebook looks at.

Only utterances of the split "train" are ever read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipelines.speech_batches import CARRIED, decoded_batches, waveform_of
from s2st import audio
from s2st.config import UserError
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig, load_encoder
from s2st.schemas import MANIFEST
from stages import cluster, datasets
from stages.console import tell


@dataclass(frozen=True)
class Sampling:
    """What is drawn, and by how many workers."""

    features: FeaturesConfig
    encoder: str | None  # folder
    num_frames: int  # of whole utterances; all there are, if the corpus has fewer
    seed: int
    batch_seconds: float
    max_workers: int
    num_gpus: float  # of each worker


@dataclass(frozen=True)
class Sample:
    """Frames of whole utterances, one after the other."""

    frames: np.ndarray  # (N, D) float32
    starts: np.ndarray  # (N,) bool: an utterance begins
    num_utterances: int
    hours: float


class Features:
    """Features of manifest rows, all frames of a batch in one array."""

    def __init__(self, features: FeaturesConfig, encoder: str | None, batch_seconds: float):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = load_encoder(encoder, features).to(device) if encoder else None
        self.extractor = FeatureExtractor(features, model, batch_seconds)

    def __call__(self, table: pa.Table) -> Iterator[dict[str, np.ndarray]]:
        """Take rows of BATCHES and give {"frame": (N, D), "start": (N,)}, start for the first of an utterance."""
        rows = [row for batch in table["batch"].to_pylist() for row in batch]
        for row in rows:
            if row["reason"] is not None:
                tell(f"utterance {row['utterance_id']} is left out of the sample: {row['reason']}")
        rows = [row for row in rows if row["reason"] is None]
        features = self.extractor([waveform_of(row) for row in rows])
        if features:
            starts = np.zeros(sum(map(len, features)), bool)
            starts[np.cumsum([0, *map(len, features[:-1])])] = True  # decoded audio has a frame at least
            yield {"frame": np.concatenate(features), "start": starts}


def sample_frames(sampling: Sampling, manifest: str) -> Sample:
    """Stream frames of the drawn utterances into one array; what is in memory is that array and a block.

    Raises UserError if no utterance of the split "train" can be decoded.
    """
    rate = sampling.features.frames_per_second
    table = datasets.read_table(manifest, MANIFEST, ["utterance_id", "split", "num_samples"])
    chosen = choose_utterances(table, sampling.num_frames, rate, sampling.seed)
    speech = datasets.read_shards(manifest, MANIFEST, [*CARRIED, "audio"], chosen["utterance_id"].combine_chunks())
    stream = decoded_batches(speech, sampling.batch_seconds).map_batches(
        Features,
        fn_constructor_args=(sampling.features, sampling.encoder, sampling.batch_seconds),
        batch_format="pyarrow",
        batch_size=1,
        **cluster.pool(sampling.max_workers, sampling.num_gpus),
    )
    seconds = sum(chosen["num_samples"].to_pylist()) / audio.SAMPLE_RATE
    # no utterance has more frames than its seconds say; what is left over is cut off, as is the end of the last one
    starts = np.zeros(min(sampling.num_frames, int(seconds * rate) + 1), bool)
    frames, filled = np.empty((0, 0), np.float32), 0
    for batch in stream.iter_batches(batch_size=None, batch_format="numpy"):
        block = batch["frame"][: len(starts) - filled]
        if not filled:
            frames = np.empty((len(starts), block.shape[1]), np.float32)
        frames[filled : filled + len(block)] = block
        starts[filled : filled + len(block)] = batch["start"][: len(block)]
        filled += len(block)
    if not filled:
        raise UserError(f"{manifest} has no training speech that can be used; look at its rows, and at its _rejects")
    return Sample(frames[:filled], starts[:filled], len(chosen), seconds / 3600)


def choose_utterances(manifest: pa.Table, num_frames: int, frames_per_second: int, seed: int) -> pa.Table:
    """Draw whole utterances of the split "train", as fairseq does, until they have num_frames frames."""
    training = manifest.filter(pc.equal(manifest["split"], "train")).sort_by("utterance_id")
    shuffled = training.take(np.random.default_rng(seed).permutation(len(training)))
    frames = np.cumsum(shuffled["num_samples"].to_numpy() / audio.SAMPLE_RATE * frames_per_second)
    return shuffled.slice(0, int(np.searchsorted(frames, num_frames)) + 1)
