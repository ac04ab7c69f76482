"""Unit HiFi-GAN: the waveform of a unit sequence by transposed convolutions.

HiFi-GAN V1 (Kong et al. 2020) on embedded units, as in Polyak et al. 2021, "Speech resynthesis from discrete
disentangled self-supervised representations". The defaults are the layers of fairseq's CodeHiFiGAN. With
`istft_hop` the last stages give way to an inverse STFT (iSTFTNet, Kaneko et al. 2022), much cheaper on a CPU;
we take cosine and sine of the phase as it comes, without iSTFTNet's sine before them.

Layers compute on (B, C, 1, T) with channels last in memory, for which processors have faster convolutions than
for (B, C, T). Weights keep the shapes of one-dimensional convolutions.

Shapes: B batch, T unit frames (50 Hz), N = T * HOP samples, C channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from s2st.audio import HOP, UNITS_PER_SECOND
from s2st.models.fourier_convolution import FourierConvolution
from s2st.models.unit_vocoder import ISTFT_REACH, UnitVocoder, UnitVocoderConfig, inverse_stft, zero_outside

LEAK = 0.1  # slope of the leaky ReLUs; the last one keeps PyTorch's 0.01, as the reference does
WASTE = 0.03  # share that may be computed twice for windows that a processor's cache holds


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
        if not all(self.resblock_dilations):
            raise ValueError("resblock_dilations has an empty row: give at least one dilation for each kernel")
        if self.initial_channels % 2 ** len(self.upsample_rates):
            times = len(self.upsample_rates)
            raise ValueError(f"initial_channels={self.initial_channels} cannot be halved {times} times: use 512 or 256")


class Conv(nn.Conv1d):
    """A convolution that keeps the length."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, dilation=dilation, padding=(kernel - 1) * dilation // 2)
        self.fourier: FourierConvolution | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, 1, T) -> (B, O, 1, T)."""
        if self.fourier is None or torch.is_autocast_enabled(x.device.type):
            padding, dilation = (0, *self.padding), (1, *self.dilation)
            return F.conv2d(x, self.weight.unsqueeze(2), self.bias, padding=padding, dilation=dilation)
        return self.fourier(x.squeeze(2).transpose(1, 2)).transpose(1, 2).unsqueeze(2)

    def use_fourier(self) -> None:
        """Convolve by Fourier transforms from now on, if that pays; the weight no longer matters then."""
        kernel, channels = self.kernel_size[0], min(self.in_channels, self.out_channels)
        # Measured with AVX-512: at less, the transforms take as long as what they save.
        if kernel >= 7 and kernel * channels >= 700 and self.bias is not None:
            self.fourier = FourierConvolution(self.weight, self.bias, self.dilation[0])


class Upsample(nn.ConvTranspose1d):
    """A transposed convolution that makes `rate` frames of one."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, rate: int) -> None:
        super().__init__(in_channels, out_channels, kernel, rate, padding=(kernel - rate) // 2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, C, 1, T) -> (B, O, 1, T * rate)."""
        stride, padding = (1, *self.stride), (0, *self.padding)
        return F.conv_transpose2d(x, self.weight.unsqueeze(2), self.bias, stride, padding)


class ResBlock(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(weight_norm(Conv(channels, channels, kernel, dilation)) for dilation in dilations)
        self.convs2 = nn.ModuleList(weight_norm(Conv(channels, channels, kernel)) for _ in dilations)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, C, 1, T), mask (B, 1, 1, T) -> (B, C, 1, T)."""
        for conv1, conv2 in zip(self.convs1, self.convs2, strict=True):
            hidden = zero_outside(conv1(F.leaky_relu(x, LEAK)), mask)
            x = zero_outside(conv2(F.leaky_relu_(hidden, LEAK)), mask).add_(x)
        return x


class UnitHifigan(UnitVocoder):
    def __init__(self, config: UnitHifiganConfig) -> None:
        super().__init__(config)
        self.config = config
        # Layers start as PyTorch makes them. The reference draws some from N(0, 0.01), but only after weight
        # norm took their values, so that its draw is never used.
        channels = config.initial_channels
        self.conv_pre = weight_norm(Conv(config.input_dim, channels, 7))
        self.upsamples = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for rate, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
            self.upsamples.append(weight_norm(Upsample(channels, channels // 2, kernel, rate)))
            channels //= 2
            for size, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilations, strict=True):
                self.resblocks.append(ResBlock(channels, size, dilations))
        self.num_whole = len(self.upsamples)  # stages that see the whole sequence, not a second at a time
        self.conv_post = weight_norm(Conv(channels, 4 * config.istft_hop + 2 if config.istft_hop else 1, 7))

    @property
    def context(self) -> int:
        """Frames on each side of a frame that its samples depend on."""
        return self._reach(0) + self.conv_pre.padding[0]

    def prepare_to_speak(self) -> None:
        """Fold weight norm; on a CPU, convolve by Fourier transforms where that pays, and stay within its cache."""
        super().prepare_to_speak()
        if self.conv_pre.weight.device.type == "cpu":
            for module in self.modules():
                if isinstance(module, Conv):
                    module.use_fourier()
            shares = [2 * self._reach(i) / self._window(i) for i in range(len(self.upsamples))]
            self.num_whole = sum(share > WASTE for share in shares)

    def generate(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """features (B, input_dim, T), mask (B, 1, T) -> (B, N)."""
        mask = None if mask is None else mask.unsqueeze(2)
        x = zero_outside(self.conv_pre(features.unsqueeze(2).contiguous(memory_format=torch.channels_last)), mask)
        if mask is not None or self.num_whole == len(self.upsamples):
            return self._finish(x, mask, 0)
        for stage in range(self.num_whole):
            x, _ = self._upsample(x, None, stage)
        size, reach = self._window(self.num_whole), self._reach(self.num_whole)
        made, scale = [], HOP * UNITS_PER_SECOND // size
        for start in range(0, x.shape[3], size):
            first = max(0, start - reach)
            samples = self._finish(x[..., first : start + size + reach], None, self.num_whole)
            made.append(samples[:, (start - first) * scale : (start - first + size) * scale])
        return torch.cat(made, dim=1)

    def _finish(self, x: Tensor, mask: Tensor | None, stage: int) -> Tensor:
        """Go from the input of a stage to samples (B, N)."""
        for i in range(stage, len(self.upsamples)):
            x, mask = self._upsample(x, mask, i)
        x = self.conv_post(F.leaky_relu(x)).squeeze(2)
        if self.config.istft_hop:
            return inverse_stft(x.transpose(1, 2), self.config.istft_hop, None if mask is None else mask.squeeze(2))
        return x.squeeze(1).tanh()

    def _upsample(self, x: Tensor, mask: Tensor | None, stage: int) -> tuple[Tensor, Tensor | None]:
        """Pass a stage: x (B, C, 1, T), mask (B, 1, 1, T) -> (B, C / 2, 1, T * rate), mask of that length."""
        mask = None if mask is None else mask.repeat_interleave(self.config.upsample_rates[stage], dim=3)
        x = zero_outside(self.upsamples[stage](F.leaky_relu(x, LEAK)), mask)
        num_blocks = len(self.config.resblock_kernel_sizes)
        first, *others = self.resblocks[stage * num_blocks : (stage + 1) * num_blocks]
        total = first(x, mask)
        for block in others:
            total = total.add_(block(x, mask))
        return total.div_(num_blocks), mask

    def _window(self, stage: int) -> int:
        """Frames of a second at the input of a stage."""
        return UNITS_PER_SECOND * math.prod(self.config.upsample_rates[:stage])

    def _reach(self, stage: int) -> int:
        """Frames on each side of a frame at the input of a stage that its samples depend on."""
        config = self.config
        kernels = zip(config.resblock_kernel_sizes, config.resblock_dilations, strict=True)
        block = max(sum((kernel - 1) * (dilation + 1) // 2 for dilation in row) for kernel, row in kernels)
        reach = self.conv_post.padding[0] + (ISTFT_REACH if config.istft_hop else 0)
        upsamples = zip(config.upsample_rates[stage:], config.upsample_kernel_sizes[stage:], strict=True)
        for rate, kernel in reversed(list(upsamples)):
            reach = math.ceil((reach + block + (kernel - rate) // 2) / rate)
        return reach
