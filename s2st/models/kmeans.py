"""Fit k-means centroids to frames that lie in memory once: greedy k-means++, then Lloyd's iterations with faiss.

faiss.Kmeans starts from frames drawn at random, or by plain k-means++, and ends higher than scikit-learn's best of 20
starts where frames lie in groups; the greedy start ends lower (of HuBERT's frames
see units.kmeans_inertia in benchmarks/).

Shapes: N frames, K units, D dimensions.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from s2st.models.search import Search, centroid_index

CANDIDATES = 16  # frames that compete to be the next first centroid
GREEDY_UNITS = 1000  # up to so many are chosen one by one
PART = 65_536  # frames whose sum is float32


@dataclass(frozen=True)
class Clustering:
    """Centroids and what they do to the frames that they were fitted to."""

    centroids: np.ndarray  # (K, D) float32
    units: np.ndarray  # (N,) int64, the nearest centroid of each frame
    inertias: list[float]  # mean squared distance to it, before each iteration and after the last


def fit(
    frames: np.ndarray, num_units: int, iterations: int, seed: int, search: Search = "exact", restarts: int = 1
) -> Clustering:
    """Fit centroids to frames (N, D), N >= K, float32; of several starts the best is kept."""
    starts = (_fit(frames, num_units, iterations, np.random.default_rng([seed, i]), search) for i in range(restarts))
    return min(starts, key=lambda clustering: clustering.inertias[-1])


def _fit(
    frames: np.ndarray, num_units: int, iterations: int, generator: np.random.Generator, search: Search
) -> Clustering:
    centroids = first_centroids(_start_sample(frames, num_units, generator), num_units, generator)
    inertias: list[float] = []
    before = np.empty(0)
    while True:
        distances, units = (found[:, 0] for found in centroid_index(centroids, search).search(frames, 1))
        inertias.append(float(distances.clip(min=0).mean(dtype=np.float64)))
        if len(inertias) > iterations or np.array_equal(units, before):
            return Clustering(centroids, units, inertias)
        centroids, before = _means(frames, units, distances, num_units), units


def _start_sample(frames: np.ndarray, num_units: int, generator: np.random.Generator) -> np.ndarray:
    """Draw frames to choose the first centroids from: 30 a unit, or 3 where there are many."""
    wanted = max(30 * min(num_units, GREEDY_UNITS), 3 * num_units)
    if wanted >= len(frames):
        return frames
    return frames[np.sort(generator.choice(len(frames), wanted, replace=False))]


def first_centroids(frames: np.ndarray, num_units: int, generator: np.random.Generator) -> np.ndarray:
    """Choose K frames that lie far from each other: k-means++.

    The next one is the best of 16 that are drawn by their distance to those before. Beyond 1,000 units, where this
    would take longer than all that follows, some are drawn at once and all of them taken.
    """
    norms = np.einsum("nd,nd->n", frames, frames)
    centroids = np.empty((num_units, frames.shape[1]), np.float32)
    centroids[0] = frames[generator.integers(len(frames))]
    nearest = _closer(centroids[:1], frames, norms, np.full(len(frames), np.inf, np.float32))[0]
    at_once = -(-num_units // GREEDY_UNITS)
    for unit in range(1, num_units, at_once):
        taken = centroids[unit : unit + at_once]
        reached = np.cumsum(nearest, dtype=np.float64)
        places = generator.random(len(taken) if at_once > 1 else CANDIDATES) * reached[-1]
        # where every frame is taken all distances are 0, and the last frame comes again
        drawn = np.searchsorted(reached, places, side="right").clip(max=len(frames) - 1)
        closer = _closer(frames[drawn], frames, norms, nearest)
        if at_once == 1:
            best = closer.sum(axis=1).argmin()
            drawn, closer = drawn[[best]], closer[[best]]
        taken[:], nearest = frames[drawn], closer.min(axis=0)
    return centroids


def _closer(points: np.ndarray, frames: np.ndarray, norms: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Give what `nearest` (N,), squared distances of frames (N, D), would be with each of points (P, D): (P, N)."""
    distances = points @ frames.T
    distances *= -2
    distances += norms
    distances += np.einsum("pd,pd->p", points, points)[:, None]
    return np.minimum(distances, nearest, out=distances).clip(min=0, out=distances)


def _means(frames: np.ndarray, units: np.ndarray, distances: np.ndarray, num_units: int) -> np.ndarray:
    """Give the means (K, D) of the frames of each unit; a unit without frames moves to one far from its own."""
    dim = frames.shape[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nothing writes to it
        points = torch.from_numpy(frames)
    sums = torch.zeros(num_units, dim, dtype=torch.float64)
    for start in range(0, len(frames), PART):
        part = slice(start, start + PART)
        sums += torch.zeros(num_units, dim).index_add_(0, torch.from_numpy(units[part]), points[part])
    counts = np.bincount(units, minlength=num_units)
    centroids = (sums.numpy() / counts.clip(min=1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        centroids[empty] = frames[np.argsort(-distances, kind="stable")[: len(empty)]]
    return centroids
