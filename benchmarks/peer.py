"""fairseq's own scripts from recordings to units, unmodified, each a process that is measured."""

import importlib.util
import sys
from pathlib import Path

from benchmarks import usage
from benchmarks.usage import Usage
from s2st.config import UserError


def module(name: str, *arguments: object) -> list[str]:
    """Make the command line of a module."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def examples() -> Path:
    """Find fairseq's scripts; they are part of its package."""
    package = importlib.util.find_spec("fairseq")
    if package is None or package.origin is None:
        raise UserError("the benchmark runs fairseq's scripts, and fairseq is not installed: pip install -e '.[dev]'")
    return Path(package.origin).parent / "examples"


def _run(script: str, output: Path, *arguments: object) -> Usage:
    command = module("benchmarks.fairseq_script", examples() / script, *arguments)
    return usage.run(command, output.with_suffix(".log"))


def manifest(wavs: Path, output: Path) -> Usage:
    """Write train.tsv."""
    arguments = (wavs, "--dest", output, "--ext", "wav", "--valid-percent", 0)
    return _run("wav2vec/wav2vec_manifest.py", output, *arguments)


def mfcc_features(output: Path) -> Usage:
    """Write features/train_0_1.npy."""
    return _run("hubert/simple_kmeans/dump_mfcc_feature.py", output, output, "train", 1, 0, output / "features")


def hubert_features(output: Path, checkpoint: Path, layer: int) -> Usage:
    """Write features/train_0_1.npy."""
    script = "hubert/simple_kmeans/dump_hubert_feature.py"
    return _run(script, output, output, "train", checkpoint, layer, 1, 0, output / "features")


def kmeans(output: Path, num_units: int) -> Usage:
    """Write km.bin."""
    arguments = (output / "features", "train", 1, output / "km.bin", num_units)
    return _run("hubert/simple_kmeans/learn_kmeans.py", output, *arguments)


def labels(output: Path) -> Usage:
    """Write labels/train_0_1.km."""
    arguments = (output / "features", "train", output / "km.bin", 1, 0, output / "labels")
    return _run("hubert/simple_kmeans/dump_km_label.py", output, *arguments)
