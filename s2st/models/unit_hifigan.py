"""Unit HiFi-GAN: the waveform of a unit sequence by transposed convolutions.

HiFi-GAN V1 (Kong et al. 2020) on embedded units, as in Polyak et al. 2021, "Speech resynthesis from discrete
disentangled self-supervised representations". The defaults are the layers of fairseq's CodeHiFiGAN. With
`istft_hop` the last stages give way to an inverse STFT (iSTFTNet, Kaneko et al. 2022), much cheaper on a CPU;
we take cosine and sine of the phase as it comes, without iSTFTNet's sine before them.

Shapes: B batch, T unit frames (50 Hz), N = T * HOP samples, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from s2st.audio import HOP
from s2st.models.unit_vocoder import UnitVocoder, UnitVocoderConfig, inverse_stft, zero_outside

LEAK = 0.1  # slope of the leaky ReLUs; the last one keeps PyTorch's 0.01, as the reference does


@dataclass(frozen=True)
class UnitHifiganConfig(UnitVocoderConfig):
    upsample_rates: tuple[int, ...] = (5, 4, 4, 2, 2)  # their product, times any istft_hop, is 320
    upsample_kernel_sizes: tuple[int, ...] = (11, 8, 8, 4, 4)  # one per rate, and even or odd like its rate
    initial_channels: int = 512  # halved by every upsampling
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)  # residual blocks side by side after each upsampling
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))  # a row per kernel
    istft_hop: int = 0  # 0: samples by convolution; else by inverse STFT with this hop

    def __post_init__(self) -> None:
        super().__post_init__()
        product = math.prod(self.upsample_rates) * (self.istft_hop or 1)
        if product != HOP:
            raise ValueError(f"upsample_rates and istft_hop make {product} samples a unit: their product must be {HOP}")
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes differ in length: give one kernel for each rate")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(f"upsample_kernel_sizes has {kernel} for rate {rate}: use {rate} plus an even number")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilations):
            raise ValueError(
                "resblock_kernel_sizes and resblock_dilations differ in length: give a row for each kernel"
            )
        if self.initial_channels % 2 ** len(self.upsample_rates):
            times = len(self.upsample_rates)
            raise ValueError(f"initial_channels={self.initial_channels} cannot be halved {times} times: use 512 or 256")


class ResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(_conv(channels, channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(_conv(channels, channels, kernel) for _ in dilations)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, C, T), mask (B, 1, T) -> (B, C, T)."""
        for conv1, conv2 in zip(self.convs1, self.convs2, strict=True):
            hidden = zero_outside(conv1(F.leaky_relu(x, LEAK)), mask)
            x = x + zero_outside(conv2(F.leaky_relu(hidden, LEAK)), mask)
        return x


class UnitHifigan(UnitVocoder):
    def __init__(self, config: UnitHifiganConfig) -> None:
        super().__init__(config)
        self.config = config
        # Layers start as PyTorch makes them. The reference draws some from N(0, 0.01), but only after weight
        # norm took their values, so that its draw is never used.
        channels = config.initial_channels
        self.conv_pre = _conv(config.input_dim, channels, 7)
        self.upsamples = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            upsample = nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2)
            self.upsamples.append(weight_norm(upsample))
            channels //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilations, strict=True):
                self.resblocks.append(ResBlock(channels, size, dilations))
        self.conv_post = _conv(channels, 4 * config.istft_hop + 2 if config.istft_hop else 1, 7)

    def generate(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """features (B, input_dim, T), mask (B, 1, T) -> (B, N)."""
        x = zero_outside(self.conv_pre(features), mask)
        num_blocks = len(self.config.resblock_kernel_sizes)
        for i, (upsample, rate) in enumerate(zip(self.upsamples, self.config.upsample_rates, strict=True)):
            mask = None if mask is None else mask.repeat_interleave(rate, dim=2)
            x = zero_outside(upsample(F.leaky_relu(x, LEAK)), mask)
            blocks = self.resblocks[i * num_blocks : (i + 1) * num_blocks]
            x = sum((block(x, mask) for block in blocks), start=x.new_zeros(())) / num_blocks
        x = self.conv_post(F.leaky_relu(x))
        if self.config.istft_hop:
            return inverse_stft(x.transpose(1, 2), self.config.istft_hop, mask)
        return x.squeeze(1).tanh()


def _conv(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Module:
    """Make a weight-normed convolution that keeps the length."""
    padding = (kernel - 1) * dilation // 2
    return weight_norm(nn.Conv1d(in_channels, out_channels, kernel, dilation=dilation, padding=padding))
