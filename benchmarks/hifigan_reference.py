"""A training step of unit HiFi-GAN as the code of its paper takes it: what `benchmarks.vocoder` holds ours against.

fairseq trains no vocoder: its generator is fairseq's, the discriminators are written here from the sizes in HiFi-GAN
(Kong et al. 2020, table 4 and 5 of its appendix) and speech-resynthesis. As there, real and generated speech go through
every discriminator apart, the generator's turn computes gradients for the discriminators' weights too, which nobody
takes, and the older `weight_norm` is used. The log-mel spectrogram is ours, on both sides.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm, weight_norm

from s2st.models.losses import LogMel

LEAK, RATE, BETAS = 0.1, 2e-4, (0.8, 0.99)
MEL_WEIGHT = 45.0
PERIODS = (2, 3, 5, 7, 11)
NUM_SCALES = 3


class Discriminator(nn.Module):
    """Convolutions with leaky ReLUs, and one that gives scores."""

    def __init__(self, period: int | None, convs: list[nn.Module], post: nn.Module) -> None:
        super().__init__()
        self.period, self.convs, self.post = period, nn.ModuleList(convs), post

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x (B, 1, N) -> scores (B, M), feature maps."""
        if self.period:
            x = F.pad(x, (0, -x.shape[2] % self.period), "reflect")
            x = x.view(len(x), 1, -1, self.period)
        maps = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), LEAK)
            maps.append(x)
        x = self.post(x)
        return x.flatten(1), [*maps, x]


def by_period(period: int) -> Discriminator:
    """See every `period`-th sample."""
    sizes = [1, 32, 128, 512, 1024, 1024]
    convs = [
        weight_norm(nn.Conv2d(sizes[i], sizes[i + 1], (5, 1), (3 if i < 4 else 1, 1), padding=(2, 0))) for i in range(5)
    ]
    return Discriminator(period, convs, weight_norm(nn.Conv2d(1024, 1, (3, 1), padding=(1, 0))))


def by_scale(norm: Callable[[nn.Module], nn.Module]) -> Discriminator:
    """See the waveform, or its averages."""
    layers = [  # channels in and out, kernel, stride, groups
        (1, 128, 15, 1, 1),
        (128, 128, 41, 2, 4),
        (128, 256, 41, 2, 16),
        (256, 512, 41, 4, 16),
        (512, 1024, 41, 4, 16),
        (1024, 1024, 41, 1, 16),
        (1024, 1024, 5, 1, 1),
    ]
    convs = [norm(nn.Conv1d(a, b, k, s, padding=k // 2, groups=groups)) for a, b, k, s, groups in layers]
    return Discriminator(None, convs, norm(nn.Conv1d(1024, 1, 3, 1, padding=1)))


class AllDiscriminators(nn.Module):
    """By period and by scale."""

    def __init__(self) -> None:
        super().__init__()
        self.periods = nn.ModuleList(by_period(period) for period in PERIODS)
        self.scales = nn.ModuleList(by_scale(weight_norm if i else spectral_norm) for i in range(NUM_SCALES))

    def forward(self, x: Tensor) -> list[tuple[Tensor, list[Tensor]]]:
        """x (B, 1, N) -> scores and feature maps of each."""
        results = [discriminator(x) for discriminator in self.periods]
        for i, discriminator in enumerate(self.scales):
            x = F.avg_pool1d(x, 4, 2, padding=2) if i else x
            results.append(discriminator(x))
        return results


def reference_step(generator: Any, units: Tensor, real: Tensor) -> Callable[[], None]:
    """Make a step of fairseq's generator on full units (B, T) of real speech (B, N)."""
    discriminators, log_mel = AllDiscriminators().to(real.device), LogMel().to(real.device)
    optimizers = [torch.optim.AdamW(side.parameters(), RATE, BETAS) for side in (generator, discriminators)]
    real = real.unsqueeze(1)

    def step() -> None:
        fake = generator(code=units)
        optimizers[1].zero_grad()
        losses = [
            ((1 - true) ** 2).mean() + (made**2).mean()
            for (true, _), (made, _) in zip(discriminators(real), discriminators(fake.detach()), strict=True)
        ]
        sum(losses).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        loss = MEL_WEIGHT * F.l1_loss(log_mel(fake.squeeze(1)), log_mel(real.squeeze(1)))
        for (_, true_maps), (made, maps) in zip(discriminators(real), discriminators(fake), strict=True):
            loss = loss + ((1 - made) ** 2).mean()
            loss = loss + 2 * sum(F.l1_loss(one, other) for one, other in zip(maps, true_maps, strict=True))
        loss.backward()
        optimizers[0].step()

    return step
