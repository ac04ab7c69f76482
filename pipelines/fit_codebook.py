"""Learn what the units are: k-means (faiss) on a seeded sample of the frames of the training speech."""

from dataclasses import dataclass, field

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
import torch

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.schemas import MANIFEST
from s2st.speech_to_units import BATCH_SECONDS, FeatureExtractor, FeaturesConfig, SpeechToUnits
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource


@dataclass(frozen=True)
class FitCodebookConfig:
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    num_units: int = 100  # centroids
    normalize: bool = False  # scale each dimension to mean 0 and standard deviation 1 first
    num_frames: int = 200_000  # of whole utterances, drawn from the training set
    iterations: int = 30  # of Lloyd's algorithm
    restarts: int = 1  # the best of so many starts is kept
    seed: int = 0
    batch_seconds: float = resource(BATCH_SECONDS)  # of speech in one padded batch; a GPU takes more
    max_workers: int = resource(2)  # feature extractors at once
    num_gpus: float = resource(0.0)  # of each; fractions share a GPU


class Features:
    """Features of manifest rows, all frames of a batch in one array."""

    def __init__(self, features: FeaturesConfig, encoder: str | None, batch_seconds: float):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = checkpoint.load(encoder, "hubert")[0].to(device) if encoder else None
        self.extractor = FeatureExtractor(features, model, batch_seconds)

    def __call__(self, table: pa.Table) -> dict[str, np.ndarray]:
        """Take rows with audio and give {"frame": (N, D)}."""
        waveforms = [audio.decode(value["bytes"]) for value in table["audio"].to_pylist()]
        return {"frame": np.concatenate(self.extractor(waveforms))}


def run(config: FitCodebookConfig, step: Step) -> Counts:
    """Sample frames on the workers, fit the centroids here."""
    encoder = step.input("encoder") if step.input_list("encoder") else None
    if (config.features.kind == "hubert") != (encoder is not None):
        raise UserError(f"section '{step.name}': kind={config.features.kind} and encoder={encoder} contradict")
    if encoder is not None:
        num_layers = checkpoint.read_config(encoder, "hubert")["config"]["num_layers"]
        if config.features.layer > num_layers:
            raise UserError(f"section '{step.name}': layer={config.features.layer}, but {encoder} has {num_layers}")
    rows, hours, frames = sample_frames(config, step, encoder)
    codebook, inertia = fit(config, frames, step.name)
    model = checkpoint.load(encoder, "hubert")[0] if encoder else None
    used = len({unit for part in torch.from_numpy(frames).split(100_000) for unit in codebook(part).unique().tolist()})
    info = {"num_frames": len(frames), "inertia": inertia, "used_units": used}
    SpeechToUnits(FeatureExtractor(config.features, model), codebook).save(step.output, info)
    return Counts(rows, config.num_units, 0, round(hours, 4))


def sample_frames(config: FitCodebookConfig, step: Step, encoder: str | None) -> tuple[int, float, np.ndarray]:
    """Give the number of utterances sampled, their hours, and their frames (N, D), about num_frames."""
    manifest = step.input("manifest")
    chosen = choose_utterances(
        config, datasets.read_table(manifest, MANIFEST, ["utterance_id", "split", "num_samples"])
    )
    if not len(chosen):
        raise UserError(f"{manifest} has no training split, and a codebook is fitted on nothing else")
    speech = datasets.read(manifest, MANIFEST, ["utterance_id", "audio"])
    frames = datasets.only(speech, chosen["utterance_id"].combine_chunks()).map_batches(
        Features,
        fn_constructor_args=(config.features, encoder, config.batch_seconds),
        batch_format="pyarrow",
        batch_size=64,
        num_gpus=config.num_gpus or None,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=config.max_workers),
    )
    blocks = [batch["frame"] for batch in frames.iter_batches(batch_size=None, batch_format="numpy")]
    hours = sum(chosen["num_samples"].to_pylist()) / audio.SAMPLE_RATE / 3600
    return len(chosen), hours, np.concatenate([block for block in blocks if len(block)])


def choose_utterances(config: FitCodebookConfig, manifest: pa.Table) -> pa.Table:
    """Draw whole training utterances, as fairseq does, until they have num_frames frames."""
    rate = 100 if config.features.kind == "mfcc" else audio.UNITS_PER_SECOND
    training = manifest.filter(pc.equal(manifest["split"], "train")).sort_by("utterance_id")
    shuffled = training.take(np.random.default_rng(config.seed).permutation(len(training)))
    frames = np.cumsum(shuffled["num_samples"].to_numpy() / audio.SAMPLE_RATE * rate)
    return shuffled.slice(0, int(np.searchsorted(frames, config.num_frames)) + 1)


def fit(config: FitCodebookConfig, frames: np.ndarray, name: str) -> tuple[Codebook, float]:
    """Fit centroids to frames (N, D); returns the codebook and the mean squared distance to it."""
    if len(frames) < config.num_units:
        raise UserError(
            f"section '{name}': {len(frames)} frames cannot make {config.num_units} units; "
            f"lower num_units or bring more speech"
        )
    codebook = Codebook(CodebookConfig(config.num_units, frames.shape[1]))
    if config.normalize:
        codebook.mean.copy_(torch.from_numpy(frames.mean(axis=0)))
        codebook.std.copy_(torch.from_numpy(frames.std(axis=0)).clamp_min(1e-5))
    points = (frames - codebook.mean.numpy()) / codebook.std.numpy()
    kmeans = faiss.Kmeans(
        points.shape[1],
        config.num_units,
        niter=config.iterations,
        nredo=config.restarts,
        seed=config.seed,
        gpu=torch.cuda.is_available() and faiss.get_num_gpus() > 0,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    kmeans.train(np.ascontiguousarray(points, dtype=np.float32))
    codebook.centroids.copy_(torch.from_numpy(kmeans.centroids))
    return codebook, float(kmeans.obj[-1] / len(points))


STAGE = Stage(FitCodebookConfig, run, reads={"manifest": Input(MANIFEST), "encoder": Input(optional=True)})

if __name__ == "__main__":
    main("pipelines.fit_codebook")
