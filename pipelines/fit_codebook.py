"""Learn what the units are: k-means (faiss) on a seeded sample of the frames of the training speech.

Only utterances of the split "train" are ever read, and a run has one codebook for all splits: `dump_units` takes it for
training and validation alike. Nothing here can fit a second one to validation, whose units would be others.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow.compute as pc
import ray
import torch

from pipelines.frame_sample import Sampling, sample_frames
from s2st import storage
from s2st.config import UserError
from s2st.evaluation import codebook_report
from s2st.fairseq import codebooks
from s2st.feature_extractor import BATCH_SECONDS, FeatureExtractor, FeaturesConfig, check_encoder, load_encoder
from s2st.models import kmeans
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.search import Search
from s2st.schemas import MANIFEST
from s2st.speech_to_units import SpeechToUnits
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

CHECKED_FRAMES = 20_000  # that centroids from a file are tried on
NUM_UNITS = 100  # where none are asked for
BLOCK = 4096  # frames looked at at once: with 10,000 units their distances are 160 MB


@dataclass(frozen=True)
class FitCodebookConfig:
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    num_units: int | None = None  # centroids to fit; none: NUM_UNITS, or the number of the centroids given
    centroids: str | None = None  # km.bin, .npy or .index (path or bucket) to take instead of fitting
    search: Search = "exact"  # how a frame finds its centroid, here and in dump_units; hnsw and ivf for thousands
    normalize: bool = False  # scale each dimension to mean 0 and standard deviation 1 first
    num_frames: int = 200_000  # of whole utterances, drawn from the training set
    iterations: int = 20  # of Lloyd's algorithm
    restarts: int = 1  # the best of so many starts is kept
    seed: int = 0
    exports: tuple[Literal["fairseq", "seamless"], ...] = ()  # also written: km.bin, centroids.npy
    batch_seconds: float = resource(BATCH_SECONDS)  # of speech in one padded batch; a GPU takes more
    max_workers: int = resource(2)  # feature extractors at once
    num_gpus: float = resource(0.0)  # of each, and of k-means; fractions share a GPU

    def __post_init__(self) -> None:
        if self.num_units is None and not self.centroids:
            object.__setattr__(self, "num_units", NUM_UNITS)  # so that records tell the number that was taken
        if self.centroids and self.num_units is not None:
            raise ValueError(
                f"num_units={self.num_units} is of centroids that are fitted, and {self.centroids} has its own number; "
                f"remove num_units, or set it to null"
            )
        for name in ("num_frames", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.num_units is not None:
            CodebookConfig(self.num_units, 1)  # says what is wrong with num_units
            if self.num_frames < self.num_units:
                raise ValueError(f"num_frames={self.num_frames} cannot make {self.num_units} units; raise num_frames")
        if self.normalize and (self.centroids or self.exports):
            raise ValueError("normalize=true goes with neither centroids nor exports: their files know no scale")


def check(config: FitCodebookConfig, step: Step) -> None:
    """Raise UserError if the features do not go with the inputs or the centroids, or copies could not be written."""
    kind = f"section '{step.name}': features of kind {config.features.kind}"
    if config.features.needs_encoder and not step.inputs.get("encoder"):
        raise UserError(f"{kind} need the input 'encoder'; name the section that makes it")
    if step.inputs.get("encoder") and not config.features.needs_encoder:
        raise UserError(f"{kind} need no encoder; remove the input 'encoder'")
    if config.centroids:
        storage.need_file(config.centroids, f"{step.name}.centroids")
        check_centroids(config, config.features.dim, f"section '{step.name}'")
    if "fairseq" in config.exports:
        codebooks.need_scikit_learn(f"{step.output}/{codebooks.EXPORTS['fairseq']}")


def check_inputs(config: FitCodebookConfig, step: Step) -> None:
    """Raise UserError if the encoder has no such features, the centroids are of others, or there is no training."""
    dim = config.features.dim
    if config.features.needs_encoder:
        dim = check_encoder(step.input("encoder"), config.features, f"section '{step.name}'")
    if config.centroids:
        check_centroids(config, dim, f"section '{step.name}'")
    splits = datasets.read_table(step.input("manifest"), MANIFEST, ["split"])["split"]
    if not pc.any(pc.equal(splits, "train")).as_py():
        raise UserError(f"{step.input('manifest')} has no training split, and a codebook is fitted on nothing else")


def check_centroids(config: FitCodebookConfig, dim: int | None, where: str) -> None:
    """Raise UserError if there are no centroids in their file, or those of frames that have not `dim` features.

    Before the encoder is there, `dim` is not known.
    """
    assert config.centroids is not None
    found = codebooks.read(config.centroids, config.search).config
    if dim is not None and found.feature_dim != dim:
        raise UserError(
            f"{where}: {config.centroids} has centroids of {found.feature_dim} features, but a frame has {dim}; "
            f"take the features or the encoder that they were fitted on"
        )
    if found.projected_dim and config.exports:
        raise UserError(f"{where}: {config.centroids} projects features, and exports cannot tell this; remove exports")


def run(config: FitCodebookConfig, step: Step) -> Counts:
    """Sample frames on the workers, fit the centroids (or read them), and write the codebook and report.html."""
    encoder = step.input("encoder") if config.features.needs_encoder else None
    given = codebooks.read(config.centroids, config.search) if config.centroids else None
    sample = sample_frames(sampling_of(config, encoder), step.input("manifest"))
    if given is None:
        codebook, clustering = fit(config, sample.frames, step.name)
    else:
        codebook, clustering = given, apply(given, sample.frames)
    report = codebook_report.describe(
        f"Codebook {step.name}",
        clustering.units,
        sample.starts,
        codebook.config.num_units,
        clustering.inertias,
        1000 / config.features.frames_per_second,
    )
    model = load_encoder(encoder, config.features) if encoder else None
    info = {**report.figures, "inertias": clustering.inertias, "centroids": config.centroids}
    SpeechToUnits(FeatureExtractor(config.features, model), codebook).save(step.output, info)
    storage.write_bytes(f"{step.output}/report.html", codebook_report.render(report).encode())
    for name in config.exports:
        codebooks.write(f"{step.output}/{codebooks.EXPORTS[name]}", codebook)
    return Counts(sample.num_utterances, codebook.config.num_units, 0, round(sample.hours, 4), "centroids")


def sampling_of(config: FitCodebookConfig, encoder: str | None) -> Sampling:
    """Say which frames to draw: centroids from a file are tried on fewer."""
    return Sampling(
        config.features,
        encoder,
        min(config.num_frames, CHECKED_FRAMES) if config.centroids else config.num_frames,
        config.seed,
        config.batch_seconds,
        config.max_workers,
        config.num_gpus,
    )


def fit(config: FitCodebookConfig, frames: np.ndarray, name: str) -> tuple[Codebook, kmeans.Clustering]:
    """Fit centroids to frames (N, D), which normalize=true scales where they are."""
    num_units = config.num_units
    assert num_units is not None  # there are no centroids from a file
    if len(frames) < num_units:
        raise UserError(
            f"section '{name}': {len(frames)} frames cannot make {num_units} units; "
            f"lower num_units or bring more speech"
        )
    codebook = Codebook(CodebookConfig(num_units, frames.shape[1], search=config.search))
    if config.normalize:
        mean, std = standardize(frames)
        codebook.mean.copy_(torch.from_numpy(mean))
        codebook.std.copy_(torch.from_numpy(std))
    arguments = (frames, num_units, config.iterations, config.seed, config.search, config.restarts)
    if config.num_gpus:  # a step of its own sees no GPU: Ray shows them to those who ask
        clustering = ray.get(ray.remote(num_gpus=config.num_gpus)(kmeans.fit).remote(*arguments))
    else:
        clustering = kmeans.fit(*arguments)
    codebook.centroids.copy_(torch.tensor(clustering.centroids))  # from a task, an array is read-only
    return codebook, clustering


def standardize(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale frames (N, D) in place, block by block; gives the mean (D,) and standard deviation (D,) that they had."""
    blocks = [frames[start : start + BLOCK] for start in range(0, len(frames), BLOCK)]
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / len(frames)
    for block in blocks:
        block -= mean.astype(np.float32)
    variance = sum(np.square(block).sum(axis=0, dtype=np.float64) for block in blocks) / len(frames)
    std = np.sqrt(variance).clip(min=1e-5).astype(np.float32)
    for block in blocks:
        block /= std
    return mean.astype(np.float32), std


@torch.inference_mode()
def apply(codebook: Codebook, frames: np.ndarray) -> kmeans.Clustering:
    """Give what centroids that were not fitted here do to frames (N, D)."""
    units, total = [], 0.0
    for block in torch.from_numpy(frames).split(BLOCK):
        units.append(codebook(block))
        total += float((codebook.measured(block) - codebook.centroids[units[-1]]).double().square().sum())
    found = torch.cat(units).numpy()
    return kmeans.Clustering(codebook.centroids.numpy(), found, [total / len(found)])


STAGE = Stage(
    FitCodebookConfig,
    run,
    reads={"manifest": Input(MANIFEST), "encoder": Input(optional=True)},
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.fit_codebook")
