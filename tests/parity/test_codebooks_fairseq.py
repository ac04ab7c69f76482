"""Codebooks that go to fairseq's scripts and come from them give the same units on both sides."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from s2st.fairseq import codebooks
from s2st.models.codebook import Codebook, CodebookConfig

joblib = pytest.importorskip("joblib")
pytest.importorskip("sklearn.cluster")
FRAMES = np.random.default_rng(0).normal(size=(3000, 24)).astype(np.float32)


def script(name: str) -> ModuleType:
    """Import one of fairseq's scripts from its examples."""
    package = importlib.util.find_spec("fairseq")
    if package is None or package.origin is None:
        pytest.skip("fairseq is not installed")
    path = Path(package.origin).parent / "examples" / "hubert" / "simple_kmeans" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def filled() -> Codebook:
    codebook = Codebook(CodebookConfig(50, 24))
    codebook.centroids.copy_(torch.from_numpy(FRAMES[:50]))
    return codebook


def ours(codebook: Codebook) -> np.ndarray:
    return codebook(torch.from_numpy(FRAMES)).numpy()


def test_fairseq_labels_with_our_km_bin(tmp_path: Path) -> None:
    dump_km_label = script("dump_km_label")
    codebooks.write(str(tmp_path / "km.bin"), filled())
    np.save(tmp_path / "train_0_1.npy", FRAMES)
    (tmp_path / "train_0_1.len").write_text("1000\n2000\n")
    dump_km_label.dump_label(tmp_path, "train", tmp_path / "km.bin", 1, 0, tmp_path)
    labels = (tmp_path / "train_0_1.km").read_text().split()
    np.testing.assert_array_equal(np.array(labels, int), ours(filled()))


def test_the_quantizer_of_gslm_predicts_with_our_km_bin(tmp_path: Path) -> None:
    """GSLM's quantize_with_kmeans.py loads the file and calls `predict`; so do textlesslib and UTUT."""
    codebooks.write(str(tmp_path / "km.bin"), filled())
    with open(tmp_path / "km.bin", "rb") as file:
        model = joblib.load(file)
    model.verbose = False
    np.testing.assert_array_equal(model.predict(FRAMES), ours(filled()))


def test_what_learn_kmeans_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn_kmeans = script("learn_kmeans")
    np.save(tmp_path / "train_0_1.npy", FRAMES)
    (tmp_path / "train_0_1.len").write_text("1000\n2000\n")
    learn_kmeans.learn_kmeans(
        tmp_path, "train", 1, tmp_path / "km.bin", 50, 0, -1, "k-means++", 5, 10_000, 0.0, 2, 0.0, 100
    )
    apply = script("dump_km_label").ApplyKmeans(tmp_path / "km.bin")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sklearn", "joblib")]:
        monkeypatch.setitem(sys.modules, name, None)  # neither is there any more
    np.testing.assert_array_equal(ours(codebooks.read(str(tmp_path / "km.bin"))), apply(FRAMES))
