"""The parts of the k-means benchmark that need our library, each a process: frames, fit, score.

python -m benchmarks.kmeans_parts frames|fit|score FOLDER [NUMBER]
"""

import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.agreement import inertia
from pipelines.fit_codebook import FitCodebookConfig, fit
from s2st import audio
from s2st.fairseq import codebooks
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig, load_encoder

LAYER = 6
GROUPS = 150  # of the synthetic frames, some large and some small


def hubert_frames(folder: Path, count: int) -> np.ndarray:
    """Give frames (count, 768) of the recordings in folder/wavs, by HuBERT with random weights."""
    extractor = FeatureExtractor(FeaturesConfig("hubert", LAYER), load_encoder(str(folder / "hubert"), "hubert"))
    paths = sorted((folder / "wavs").rglob("*.wav"))
    return np.concatenate(extractor([audio.decode(path.read_bytes()) for path in paths]))[:count]


def grouped_frames(count: int, dim: int = 768) -> np.ndarray:
    """Give frames (count, dim) that lie in groups, which k-means can miss."""
    generator = np.random.default_rng(0)
    middles = generator.normal(size=(GROUPS, dim))
    group = generator.choice(GROUPS, count, p=generator.dirichlet(np.full(GROUPS, 0.5)))
    return (middles[group] + generator.normal(size=(count, dim))).astype(np.float32)


def write_frames(folder: Path, count: int) -> None:
    """Write both kinds of frames as fairseq's dump_hubert_feature.py does."""
    for kind, frames in (("hubert", hubert_frames(folder, count)), ("groups", grouped_frames(count))):
        target = folder / f"{kind}_frames"
        target.mkdir()
        np.save(target / "train_0_1.npy", frames)
        (target / "train_0_1.len").write_text(f"{len(frames)}\n")


def main() -> None:
    """Run a part."""
    part, folder = sys.argv[1], Path(sys.argv[2])
    if part == "frames":
        write_frames(folder, int(sys.argv[3]))
        return
    frames = np.load(folder / "train_0_1.npy")
    if part == "fit":
        codebook, _ = fit(FitCodebookConfig(num_units=int(sys.argv[3])), frames, "benchmark")
        codebooks.write(str(folder / "ours.npy"), codebook)
        return
    files = {"ours": folder / "ours.npy", "peer": folder / "km.bin"}
    print(json.dumps({name: inertia(codebooks.read(str(path)), frames) for name, path in files.items()}))


if __name__ == "__main__":
    main()
