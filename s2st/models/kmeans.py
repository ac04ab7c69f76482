"""Fit k-means centroids to frames that lie in memory once: greedy k-means++, then Lloyd's iterations with faiss.

faiss.Kmeans would add centroids to an HNSW graph from all threads at once, which gives other graphs run by run, and
its starts are plainly random or plain k-means++: the greedy one ends lower than sklearn's best of 20 in our benchmark.

Shapes: N frames, K units, D dimensions.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from s2st.models.search import Search, centroid_index

CANDIDATES = 16  # frames that compete to be the next first centroid
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
    """Draw frames to choose the first centroids from: 30 a unit, fewer beyond 1,000 since the choice takes N x K."""
    wanted = max(30 * min(num_units, 1000), 3 * num_units)
    if wanted >= len(frames):
        return frames
    return frames[np.sort(generator.choice(len(frames), wanted, replace=False))]


def first_centroids(frames: np.ndarray, num_units: int, generator: np.random.Generator) -> np.ndarray:
    """Choose K frames, each one far from those before: of 16 drawn by their distance, the one that helps most."""
    norms = np.einsum("nd,nd->n", frames, frames)
    centroids = np.empty((num_units, frames.shape[1]), np.float32)
    centroids[0] = frames[generator.integers(len(frames))]
    nearest = _squared_distances(centroids[:1], frames, norms)[0]
    for unit in range(1, num_units):
        reached = np.cumsum(nearest, dtype=np.float64)
        drawn = np.searchsorted(reached, generator.random(CANDIDATES) * reached[-1], side="right")
        drawn = drawn.clip(max=len(frames) - 1)  # where all frames are taken, the last one again
        closer = np.minimum(_squared_distances(frames[drawn], frames, norms), nearest)
        best = closer.sum(axis=1).argmin()
        centroids[unit], nearest = frames[drawn[best]], closer[best]
    return centroids


def _squared_distances(points: np.ndarray, frames: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Give the squared distances (P, N) of points (P, D) to frames (N, D) with squared norms (N,)."""
    of_points = np.einsum("pd,pd->p", points, points)
    return (of_points[:, None] - 2 * (points @ frames.T) + norms).clip(min=0)


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
