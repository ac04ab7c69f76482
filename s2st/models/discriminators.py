"""Discriminators of HiFi-GAN (Kong et al. 2020): by period and by scale.

Shapes: B batch, N samples, C channels, P period.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

LEAK = 0.1


@dataclass(frozen=True)
class DiscriminatorConfig:
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)  # () for none by period
    num_scales: int = 3  # each at half the rate of the one before; 0 for none by scale
    width: float = 1.0  # multiplies every number of channels; in steps of 1/8, so that groups divide them

    def __post_init__(self) -> None:
        if self.width <= 0 or (8 * self.width) % 1:
            raise ValueError(f"width={self.width} does not divide into convolution groups: use a multiple of 0.125")
        if not self.periods and not self.num_scales:
            raise ValueError("periods is empty and num_scales is 0: keep at least one discriminator")


class PeriodDiscriminator(nn.Module):
    """Sees every P-th sample as one column of a picture."""

    def __init__(self, period: int, width: float) -> None:
        super().__init__()
        self.period = period
        channels = [1, *(int(count * width) for count in (32, 128, 512, 1024, 1024))]
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv2d(channels[i], channels[i + 1], (5, 1), (3 if i < 4 else 1, 1), padding=(2, 0)))
            for i in range(5)
        )
        self.conv_post = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """waveform (B, N) -> scores (B, M), feature maps of every layer."""
        missing = -waveform.shape[1] % self.period
        x = F.pad(waveform.unsqueeze(1), (0, missing), mode="reflect")
        return _score(x.unflatten(2, (-1, self.period)), self.convs, self.conv_post)


class ScaleDiscriminator(nn.Module):
    """Sees the waveform averaged down `num_halvings` times."""

    def __init__(self, num_halvings: int, width: float) -> None:
        super().__init__()
        self.num_halvings = num_halvings
        # As in the reference, the first scale, which hears the raw waveform, is normalised by its spectrum.
        norm = weight_norm if num_halvings else spectral_norm
        channels = [1, *(int(count * width) for count in (128, 128, 256, 512, 1024, 1024, 1024))]
        kernels = (15, 41, 41, 41, 41, 41, 5)
        strides = (1, 2, 2, 4, 4, 1, 1)
        groups = (1, 4, 16, 16, 16, 16, 1)
        self.convs = nn.ModuleList(
            norm(nn.Conv1d(channels[i], channels[i + 1], kernel, stride, padding=kernel // 2, groups=group))
            for i, (kernel, stride, group) in enumerate(zip(kernels, strides, groups, strict=True))
        )
        self.conv_post = norm(nn.Conv1d(channels[-1], 1, 3, padding=1))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """waveform (B, N) -> scores (B, M), feature maps of every layer."""
        x = waveform.unsqueeze(1)
        for _ in range(self.num_halvings):
            x = F.avg_pool1d(x, kernel_size=4, stride=2, padding=2)
        return _score(x, self.convs, self.conv_post)


class Discriminators(nn.Module):
    """All period and scale discriminators."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        by_period = [PeriodDiscriminator(period, config.width) for period in config.periods]
        by_scale = [ScaleDiscriminator(i, config.width) for i in range(config.num_scales)]
        self.discriminators = nn.ModuleList([*by_period, *by_scale])

    def forward(self, waveform: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """waveform (B, N) -> scores (B, M) of each discriminator, feature maps of all layers of all."""
        results = [discriminator(waveform) for discriminator in self.discriminators]
        return [scores for scores, _ in results], [feature for _, features in results for feature in features]


def _score(x: Tensor, convs: nn.ModuleList, conv_post: nn.Module) -> tuple[Tensor, list[Tensor]]:
    features = []
    for conv in convs:
        x = F.leaky_relu(conv(x), LEAK)
        features.append(x)
    x = conv_post(x)
    return x.flatten(1), [*features, x]
