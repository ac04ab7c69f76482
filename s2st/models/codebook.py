"""Codebook: give each feature frame the number of its nearest k-means centroid.

Shapes: K units, D features, P dimensions in which distances are measured: D, or fewer after a projection.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from s2st.models.search import Search, centroid_index

MAX_UNITS = 2**16  # units are stored as uint16
FRAMES_AT_ONCE = 4096  # of a recording, whose distances to all centroids are in memory together


@dataclass(frozen=True)
class CodebookConfig:
    num_units: int  # K
    feature_dim: int  # D
    projected_dim: int = 0  # P, where features are projected first, as mHuBERT-147's are; 0 for none
    search: Search = "exact"  # hnsw and ivf look at likely centroids only: faster on a CPU where there are thousands

    def __post_init__(self) -> None:
        if not 1 <= self.num_units <= MAX_UNITS:
            raise ValueError(f"num_units={self.num_units} must be from 1 to {MAX_UNITS:,}, since units have 16 bits")


class Codebook(nn.Module):
    """k-means centroids. Features are scaled by `mean` and `std` first; as made, these change nothing."""

    centroids: Tensor
    mean: Tensor
    std: Tensor
    projection: Tensor

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centroids", torch.zeros(config.num_units, config.projected_dim or config.feature_dim))
        self.register_buffer("mean", torch.zeros(config.feature_dim))
        self.register_buffer("std", torch.ones(config.feature_dim))
        if config.projected_dim:
            self.register_buffer("projection", torch.zeros(config.projected_dim, config.feature_dim))
        self._index: Any = None  # of faiss, made at the first search; centroids do not change after it

    def forward(self, features: Tensor) -> Tensor:
        """features (..., D) -> units (...) int64, 0..K-1.

        The nearest centroid, of equally near ones that of the lowest number; with an approximate search nearly always.
        """
        if self.config.search != "exact":
            return self._search(self.measured(features))
        parts = features.reshape(-1, features.shape[-1]).split(FRAMES_AT_ONCE)
        units = [self._distances(self.measured(part)).argmin(-1) for part in parts]
        return torch.cat(units).view(features.shape[:-1])

    def measured(self, features: Tensor) -> Tensor:
        """Scale and project: features (..., D) -> (..., P) float32, where distances to centroids are measured."""
        with torch.autocast(features.device.type, enabled=False):
            x = (features.float() - self.mean) / self.std
            return x @ self.projection.T if self.config.projected_dim else x

    def units_and_doubt(self, features: Tensor, error: float) -> tuple[Tensor, Tensor]:
        """Give units, and which may be others if features are off by an `error`, as a share of their norm.

        features (N, D) -> units (N,) int64, doubtful (N,) bool: frames that near to the boundary of the two nearest
        cells. For exact search.
        """
        if self.config.num_units == 1:
            return self(features), torch.zeros(len(features), dtype=torch.bool, device=features.device)
        units, doubtful = [], []
        for part in features.split(FRAMES_AT_ONCE):
            distances, nearest = self._distances(self.measured(part)).topk(2, largest=False)
            apart = (self.centroids[nearest[:, -1]] - self.centroids[nearest[:, 0]]).norm(dim=-1)
            to_boundary = (distances[:, -1] - distances[:, 0]) / (2 * apart)
            units.append(nearest[:, 0])
            # of two equal centroids, the boundary is nowhere (NaN), and which one came first is chance
            doubtful.append(~(to_boundary >= error * (part.float() / self.std).norm(dim=-1)))
        return torch.cat(units), torch.cat(doubtful)

    def _distances(self, x: Tensor) -> Tensor:
        """||x - c||^2 without ||x||^2, which is the same for all centroids: (N, P) -> (N, K)."""
        with torch.autocast(x.device.type, enabled=False):
            return torch.addmm(self.centroids.square().sum(-1), x, self.centroids.T, alpha=-2)

    def _search(self, x: Tensor) -> Tensor:
        """Find units (...) of x (..., P) with faiss, on the CPU."""
        if self._index is None:
            self._index = centroid_index(self.centroids.cpu().numpy(), self.config.search)
        flat = x.reshape(-1, x.shape[-1]).contiguous().cpu().numpy()
        _, units = self._index.search(flat, 1)
        return torch.from_numpy(units).view(x.shape[:-1]).to(x.device)
