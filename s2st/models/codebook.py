"""Codebook: give each feature frame the number of its nearest k-means centroid.

Shapes: K units, D features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class CodebookConfig:
    num_units: int  # K
    feature_dim: int  # D


class Codebook(nn.Module):
    """k-means centroids. Features are scaled by `mean` and `std` first; as made, these change nothing."""

    centroids: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centroids", torch.zeros(config.num_units, config.feature_dim))
        self.register_buffer("mean", torch.zeros(config.feature_dim))
        self.register_buffer("std", torch.ones(config.feature_dim))

    def forward(self, features: Tensor) -> Tensor:
        """features (..., D) -> units (...) int64, 0..K-1; of equally near centroids the lowest number."""
        return self._distances(self._scaled(features)).argmin(-1)

    def doubtful(self, features: Tensor, error: float) -> Tensor:
        """Tell which frames may get another unit if their features are off by an `error`, as a share of their norm.

        features (..., D) -> (...) bool: frames that lie this near to the boundary of the two nearest cells.
        """
        x = self._scaled(features)
        distances, nearest = self._distances(x).topk(min(2, self.config.num_units), largest=False)
        apart = (self.centroids[nearest[..., -1]] - self.centroids[nearest[..., 0]]).norm(dim=-1)
        to_boundary = (distances[..., -1] - distances[..., 0]) / (2 * apart)
        return to_boundary < error * x.norm(dim=-1)

    def _scaled(self, features: Tensor) -> Tensor:
        return (features.float() - self.mean) / self.std

    def _distances(self, x: Tensor) -> Tensor:
        """||x - c||^2 without ||x||^2, which is the same for all centroids: (..., D) -> (..., K)."""
        with torch.autocast(x.device.type, enabled=False):
            return self.centroids.square().sum(-1) - 2 * (x @ self.centroids.T)
