"""Codebooks of others: fairseq's `km.bin`, seamless's `.npy`, the faiss index of mHuBERT-147.

A `km.bin` is scikit-learn's MiniBatchKMeans as joblib dumps it, which we read without either (joblib_files).

Shapes: K units, D features.
"""

import importlib.util
import io
import pickle
from typing import Any

import numpy as np
import torch

from s2st import storage
from s2st.config import UserError
from s2st.fairseq import joblib_files
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.search import Search

EXPORTS = {"seamless": "centroids.npy", "fairseq": "km.bin"}  # what each reads


def read(address: str, search: Search = "exact") -> Codebook:
    """Read a codebook from a `.npy`, an `.index` of faiss, or else a `km.bin`, at a path or a bucket address.

    Raises UserError if the file cannot be read or holds no centroids.
    """
    try:
        data = storage.read_bytes(address)
    except (OSError, ValueError) as error:  # ValueError: an address of an unknown kind
        raise UserError(f"cannot read {address}: {error}; give the path of a km.bin, .npy or .index") from None
    if address.endswith(".index"):
        return _read_index(data, address, search)
    centroids = _read_npy(data, address) if data.startswith(b"\x93NUMPY") else _read_kmeans(data, address)
    if not isinstance(centroids, np.ndarray) or centroids.ndim != 2 or centroids.dtype.kind != "f":
        raise UserError(f"{address} holds no centroids: a table (units, features) of decimal numbers is needed")
    return _codebook(centroids, address, search)


def write(address: str, codebook: Codebook) -> None:
    """Write the centroids as a `.npy` (K, D), or else as a `km.bin` for fairseq, which needs scikit-learn.

    Raises UserError for a codebook that scales or projects features: these files have centroids only.
    """
    if codebook.config.projected_dim or bool((codebook.std != 1).any()):
        raise UserError(
            f"cannot write {address}: the codebook scales or projects features, and such files have centroids only; "
            f"fit one with normalize=false"
        )
    centroids = (codebook.centroids + codebook.mean).cpu().numpy()
    buffer = io.BytesIO()
    if address.endswith(".npy"):
        np.save(buffer, centroids, allow_pickle=False)
    else:
        _dump_kmeans(buffer, centroids, address)
    storage.write_bytes(address, buffer.getvalue())


def _codebook(centroids: np.ndarray, address: str, search: Search, projection: np.ndarray | None = None) -> Codebook:
    num_units, dim = centroids.shape
    if not np.isfinite(centroids).all():
        raise UserError(f"{address} has centroids that are not finite; take a file that is whole")
    try:
        if projection is None:
            config = CodebookConfig(num_units, dim, search=search)
        else:
            config = CodebookConfig(num_units, projection.shape[1], dim, search)
    except ValueError as error:
        raise UserError(f"{address}: {error}") from None
    codebook = Codebook(config)
    codebook.centroids.copy_(torch.from_numpy(centroids.astype(np.float32)))
    if projection is not None:
        codebook.projection.copy_(torch.from_numpy(projection))
    return codebook


def _read_npy(data: bytes, address: str) -> np.ndarray:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{address} is not a whole .npy of numbers: {error}") from None


def _read_kmeans(data: bytes, address: str) -> Any:
    """Give the attribute `cluster_centers_` of what joblib dumped."""
    try:
        return getattr(joblib_files.load(data), "cluster_centers_", None)
    except pickle.UnpicklingError as error:
        raise UserError(f"{address} is not read, for your safety: {error}; take a km.bin, or a .npy") from None
    except Exception as error:  # what bytes of another kind may raise has no end
        raise UserError(f"{address} is no km.bin of fairseq: {type(error).__name__}: {error}") from None


def need_scikit_learn(address: str) -> None:
    """Raise UserError if a km.bin could not be written here: for those who do other things before they write."""
    if importlib.util.find_spec("sklearn") is None:
        raise UserError(
            f"writing {address} for fairseq needs scikit-learn; run: pip install scikit-learn, or leave it out of what "
            "the section writes"
        )


def _dump_kmeans(buffer: io.BytesIO, centroids: np.ndarray, address: str) -> None:
    """Write a MiniBatchKMeans as fairseq's learn_kmeans.py leaves it."""
    need_scikit_learn(address)
    import joblib
    from sklearn.cluster import MiniBatchKMeans

    # Fitted to one frame, since what a fit leaves behind differs by version; then given our centroids.
    model = MiniBatchKMeans(n_clusters=1, n_init=1, compute_labels=False).fit(centroids[:1])
    model.set_params(n_clusters=len(centroids))
    model.cluster_centers_ = centroids
    joblib.dump(model, buffer)


def _read_index(data: bytes, address: str, search: Search) -> Codebook:
    """Take the coarse centroids of an inverted file, and the rotation before it.

    mHuBERT-147's unit is the list that a frame falls into, which its index finds through a graph (HNSW).
    """
    import faiss

    try:
        whole = faiss.deserialize_index(np.frombuffer(data, np.uint8))  # owns all that is below
    except RuntimeError:
        raise UserError(f"{address} is no whole index of faiss; take the .index of mHuBERT-147") from None
    lists: Any = faiss.downcast_index(whole)
    projection: np.ndarray | None = None
    offset: np.ndarray | float = 0.0
    if isinstance(lists, faiss.IndexPreTransform):
        chain: Any = lists.chain
        for i in range(chain.size()):
            step = faiss.downcast_VectorTransform(chain.at(i))
            if not isinstance(step, faiss.LinearTransform):
                raise UserError(f"{address} has a {type(step).__name__}, and only rotations are known here")
            matrix = faiss.vector_to_array(step.A).reshape(step.d_out, step.d_in)
            projection = matrix if projection is None else matrix @ projection
            offset = matrix @ offset if isinstance(offset, np.ndarray) else np.zeros(step.d_out, np.float32)
            if step.have_bias:
                offset = offset + faiss.vector_to_array(step.b)
        lists = faiss.downcast_index(lists.index)
    if not isinstance(lists, faiss.IndexIVF) or lists.quantizer.metric_type != faiss.METRIC_L2:
        raise UserError(f"{address} is a {type(lists).__name__}; units need an inverted file (IVF) of L2 distances")
    # ||Px + b - c|| = ||Px - (c - b)||
    return _codebook(lists.quantizer.reconstruct_n(0, lists.nlist) - offset, address, search, projection)
