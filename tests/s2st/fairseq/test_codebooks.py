import io
import os
import pickle
import sys
import types
import warnings

import faiss
import joblib
import numpy as np
import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.fairseq import codebooks, joblib_files
from s2st.models.codebook import Codebook, CodebookConfig

CENTROIDS = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)


@pytest.fixture
def sklearn_of_any_age(monkeypatch):
    """A MiniBatchKMeans that only holds attributes, in a module of scikit-learn's that need not be there."""

    def make(module):
        names = module.split(".")
        for depth in range(1, len(names) + 1):
            name = ".".join(names[:depth])
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        kind = type("MiniBatchKMeans", (types.SimpleNamespace,), {"__module__": module})
        kind.__reduce_ex__ = object.__reduce_ex__  # by its attributes, as scikit-learn's
        sys.modules[module].MiniBatchKMeans = kind
        return kind

    return make


def read(path) -> np.ndarray:
    codebook = codebooks.read(str(path))
    assert codebook.config == CodebookConfig(*codebook.centroids.shape)
    return codebook.centroids.numpy()


@pytest.mark.parametrize("module", ["sklearn.cluster._kmeans", "sklearn.cluster.k_means_"])
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)])
def test_a_km_bin_is_read_without_scikit_learn(tmp_path, sklearn_of_any_age, module, compress, monkeypatch):
    kind = sklearn_of_any_age(module)
    state = np.random.RandomState(0)
    model = kind(
        n_clusters=30,
        init="k-means++",
        random_state_=state,
        inertia_=np.float64(3.5),
        cluster_centers_=CENTROIDS,
        labels_=None,
        counts_=np.arange(30),
    )
    joblib.dump(model, tmp_path / "km.bin", compress=compress)
    monkeypatch.undo()
    np.testing.assert_array_equal(read(tmp_path / "km.bin"), CENTROIDS)


@pytest.mark.parametrize("compress", [3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)])
def test_a_file_that_unpacks_without_end_or_is_cut_off_is_refused(tmp_path, monkeypatch, compress):
    joblib.dump(np.zeros((1000, 1000)), tmp_path / "km.bin", compress=compress)
    data = (tmp_path / "km.bin").read_bytes()
    (tmp_path / "half.bin").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="half.bin is no km.bin of fairseq: EOFError: it is cut off"):
        codebooks.read(str(tmp_path / "half.bin"))
    monkeypatch.setattr(joblib_files, "MAX_BYTES", 1 << 16)
    with pytest.raises(UserError, match="for your safety: it unpacks to 65536 bytes or more"):
        codebooks.read(str(tmp_path / "km.bin"))


def test_orders_types_and_old_files_are_understood(tmp_path, sklearn_of_any_age, monkeypatch):
    kind = sklearn_of_any_age("sklearn.cluster._kmeans")
    for centroids in (np.asfortranarray(CENTROIDS), CENTROIDS.astype(np.float64), CENTROIDS.astype(">f4")):
        joblib.dump(kind(cluster_centers_=centroids), tmp_path / "km.bin")
        np.testing.assert_array_equal(read(tmp_path / "km.bin"), CENTROIDS)
        for protocol in (2, 4, 5):  # pickle alone, without joblib
            (tmp_path / "km.pkl").write_bytes(pickle.dumps(kind(cluster_centers_=centroids), protocol))
            np.testing.assert_array_equal(read(tmp_path / "km.pkl"), CENTROIDS)
    # joblib before 1.2 did not align arrays, and scikit-learn had its own
    wrapper = joblib.numpy_pickle.NumpyArrayWrapper.__init__
    monkeypatch.setattr(
        joblib.numpy_pickle.NumpyArrayWrapper,
        "__init__",
        lambda *args, **kwargs: wrapper(*args, **{**kwargs, "numpy_array_alignment_bytes": None}),
    )
    joblib.dump(kind(cluster_centers_=CENTROIDS), tmp_path / "km.bin")
    np.testing.assert_array_equal(read(tmp_path / "km.bin"), CENTROIDS)


class Malicious:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("where", ["alone", "attribute", "array of objects", "compressed"])
def test_nothing_that_a_pickle_asks_for_is_run(tmp_path, sklearn_of_any_age, monkeypatch, where):
    kind = sklearn_of_any_age("sklearn.cluster._kmeans")
    ran = tmp_path / "ran"
    for function, arguments in (
        (eval, (f"open({str(ran)!r}, 'w').close()",)),
        (os.system, (f"touch {ran}",)),
        (open, (str(ran), "w")),
    ):
        evil = Malicious(function, *arguments)
        if where == "alone":
            joblib.dump(evil, tmp_path / "km.bin")
        elif where == "array of objects":
            joblib.dump(kind(cluster_centers_=np.array([[evil]], dtype=object)), tmp_path / "km.bin")
        else:
            compress = 3 if where == "compressed" else 0
            model = kind(cluster_centers_=CENTROIDS, random_state=evil)
            joblib.dump(model, tmp_path / "km.bin", compress=compress)
        with pytest.raises(UserError, match="km.bin is not read, for your safety"):
            codebooks.read(str(tmp_path / "km.bin"))
        assert not ran.exists()


def test_a_pickle_changes_nothing_of_the_reader(tmp_path):
    """One that sets an attribute of a class, and would leave it there for the next file."""
    state = pickle.dumps((None, {"cluster_centers_": 1}), 4)[2:-1]
    (tmp_path / "km.bin").write_bytes(b"\x80\x04csklearn.cluster\nKMeans\n" + state + b"b.")
    with pytest.raises(UserError, match="attributes to what is no object of its own"):
        codebooks.read(str(tmp_path / "km.bin"))


def test_npy_goes_both_ways(tmp_path):
    np.save(tmp_path / "kmeans_10k.npy", CENTROIDS)
    codebook = codebooks.read(str(tmp_path / "kmeans_10k.npy"))
    assert codebook.config == CodebookConfig(30, 8)
    codebooks.write(str(tmp_path / "ours.npy"), codebook)
    np.testing.assert_array_equal(np.load(tmp_path / "ours.npy", allow_pickle=False), CENTROIDS)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("km.bin", b"", "is no km.bin"),
        ("km.bin", b"these are words", "is no km.bin"),
        ("km.bin", pickle.dumps({"a": 1}), "holds no centroids"),
        ("km.bin", b"\x78\x9c no zlib", "is no km.bin"),
        ("c.npy", b"\x93NUMPY cut", "is not a whole .npy"),
        ("c.index", b"IxPT cut", "is no whole index of faiss"),
    ],
)
def test_other_files_are_refused_in_a_sentence(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        codebooks.read(str(tmp_path / name))


def test_arrays_that_are_no_centroids_are_refused(tmp_path):
    for array in (CENTROIDS[0], CENTROIDS.astype(int), np.full((3, 2), np.nan, np.float32)):
        np.save(tmp_path / "c.npy", array)
        with pytest.raises(UserError, match=r"c.npy (holds no centroids|has centroids that are not finite)"):
            codebooks.read(str(tmp_path / "c.npy"))
    np.save(tmp_path / "c.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"is not a whole .npy of numbers"):
        codebooks.read(str(tmp_path / "c.npy"))
    with pytest.raises(UserError, match="cannot read .*nothing.bin"):
        codebooks.read(str(tmp_path / "nothing.bin"))


def test_a_scaled_codebook_is_not_written(tmp_path):
    codebook = Codebook(CodebookConfig(30, 8))
    codebook.std.fill_(2.0)
    with pytest.raises(UserError, match="normalize=false"):
        codebooks.write(str(tmp_path / "c.npy"), codebook)


def test_without_scikit_learn_a_km_bin_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs scikit-learn"):
        codebooks.write(str(tmp_path / "km.bin"), Codebook(CodebookConfig(30, 8)))


FACTORIES = ["OPQ4_8,IVF16_HNSW8,PQ4x4fsr", "OPQ4_16,IVF16_HNSW32,PQ4x8", "IVF16,Flat", "PCA8,IVF16,PQ4x4"]


@pytest.mark.parametrize("factory", FACTORIES)
def test_units_of_a_faiss_index_are_its_lists(tmp_path, factory, capfd):
    generator = np.random.default_rng(0)
    features = (generator.normal(size=(1500, 6)) @ generator.normal(size=(6, 16))).astype(np.float32) + 3
    index = faiss.index_factory(16, factory)
    index.train(features)
    faiss.write_index(index, str(tmp_path / "mhubert.index"))
    codebook = codebooks.read(str(tmp_path / "mhubert.index"))

    x, lists = features, index
    if isinstance(index, faiss.IndexPreTransform):
        x, lists = index.chain.at(0).apply(features), faiss.downcast_index(index.index)
    _, expected = lists.quantizer.search(x, 1)
    units = codebook(torch.from_numpy(features)).numpy()
    assert (units == expected[:, 0]).mean() > 0.99  # the graph of HNSW misses some
    distances = np.square(x[:, None] - lists.quantizer.reconstruct_n(0, 16)).sum(-1)
    assert (units == distances.argmin(1)).mean() > 0.998  # ties of rounding
    checkpoint.save(str(tmp_path / "codebook"), codebook)
    loaded, _ = checkpoint.load(str(tmp_path / "codebook"), "codebook")
    np.testing.assert_array_equal(loaded(torch.from_numpy(features)).numpy(), units)


def test_an_index_without_lists_is_refused(tmp_path):
    faiss.write_index(faiss.IndexFlatL2(4), str(tmp_path / "flat.index"))
    with pytest.raises(UserError, match="IndexFlatL2; units need an inverted file"):
        codebooks.read(str(tmp_path / "flat.index"))


def test_what_is_read_is_quiet(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, CENTROIDS)
    (tmp_path / "c.npy").write_bytes(buffer.getvalue())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codebooks.read(str(tmp_path / "c.npy"))
