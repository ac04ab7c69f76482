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
        with torch.autocast(features.device.type, enabled=False):
            x = (features.float() - self.mean) / self.std
            # ||x - c||^2 without ||x||^2, which is the same for all centroids
            distances = self.centroids.square().sum(-1) - 2 * (x @ self.centroids.T)
        return distances.argmin(-1)
