"""Unit Vocos: the waveform of a unit sequence by ConvNeXt blocks at 50 Hz and one inverse STFT.

Vocos (Siuzdak 2023, "Vocos: closing the gap between time-domain and Fourier-based neural vocoders") on
embedded units. No layer runs faster than the units, which makes it cheap on a CPU. Blocks compute on (B, C, 1, T) with
channels last in memory, where their linear layers need no copies.

Shapes: B batch, T unit frames (50 Hz), N = T * HOP samples, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.audio import HOP
from s2st.models.unit_vocoder import ISTFT_REACH, UnitVocoder, UnitVocoderConfig, inverse_stft, zero_outside


@dataclass(frozen=True)
class UnitVocosConfig(UnitVocoderConfig):
    channels: int = 256
    num_blocks: int = 6
    kernel_size: int = 7  # odd; of the depthwise convolutions, and of the first one
    expansion: int = 3  # width inside a block, in channels

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={self.kernel_size} must be odd: use 5 or 7")


class ConvNeXtBlock(nn.Module):
    def __init__(self, config: UnitVocosConfig) -> None:
        super().__init__()
        channels, kernel = config.channels, config.kernel_size
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, config.expansion * channels)
        self.contract = nn.Linear(config.expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1.0 / config.num_blocks))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, C, 1, T), mask (B, 1, 1, T) -> (B, C, 1, T)."""
        kernel, padding = self.depthwise.weight.unsqueeze(2), (0, *self.depthwise.padding)
        hidden = F.conv2d(x, kernel, self.depthwise.bias, padding=padding, groups=x.shape[1])
        hidden = self.norm(hidden.permute(0, 2, 3, 1))
        hidden = self.contract(F.gelu(self.expand(hidden))) * self.scale
        return x + zero_outside(hidden.permute(0, 3, 1, 2), mask)


class UnitVocos(UnitVocoder):
    def __init__(self, config: UnitVocosConfig) -> None:
        super().__init__(config)
        self.config = config
        self.conv = nn.Conv1d(config.input_dim, config.channels, config.kernel_size, padding=config.kernel_size // 2)
        self.norm = nn.LayerNorm(config.channels)
        self.blocks = nn.ModuleList(ConvNeXtBlock(config) for _ in range(config.num_blocks))
        self.final_norm = nn.LayerNorm(config.channels)
        self.head = nn.Linear(config.channels, 4 * HOP + 2)

    @property
    def context(self) -> int:
        """Frames on each side of a frame that its samples depend on."""
        return (1 + self.config.num_blocks) * (self.config.kernel_size // 2) + ISTFT_REACH

    def generate(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """features (B, input_dim, T), mask (B, 1, T) -> (B, N)."""
        x = self.norm(self.conv(features).transpose(1, 2)).transpose(1, 2).unsqueeze(2)
        outside = None if mask is None else mask.unsqueeze(2)
        x = zero_outside(x, outside)
        for block in self.blocks:
            x = block(x, outside)
        return inverse_stft(self.head(self.final_norm(x.squeeze(2).transpose(1, 2))), HOP, mask)
