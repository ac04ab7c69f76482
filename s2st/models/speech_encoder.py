"""Speech encoder of HuBERT and wav2vec 2.0: strided convolutions of the waveform, then a Transformer.

Same features as fairseq's, with one difference: padded batches equal single utterances.
Shapes: B batch, N samples, T frames, C channels of the convolutions, D width.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.models.dropout import Dropout
from s2st.models.encoder_layers import (
    Moments,
    NormalizedFirstConvolution,
    PositionalConvolution,
    StridedConvolution,
    TransformerLayer,
)
from s2st.models.recomputation import Kernels, ScaledGradient, convolve_in_parts

CPU_FRAMES, GPU_FRAMES = 96, 20_000  # that the convolutions make at once in inference, of all rows together
MIN_FRAMES = 8
CPU_VALUES = 1 << 23  # of the first convolution's output that are kept for the gradient at once: 32 MB

BASE_CONVOLUTIONS = ((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)


@dataclass(frozen=True)
class EncoderConfig:
    """As made: base.

    Large has conv_norm=layer, width=1024, num_layers=24, num_heads=16, ffn_dim=4096, pre_ln, no dropout of
    any kind, layer_drop=0, feature_grad_mult=1, normalize_waveform; of wav2vec 2.0 also conv_bias.
    """

    conv_layers: tuple[tuple[int, int, int], ...] = BASE_CONVOLUTIONS  # (channels, kernel, stride) of each
    conv_norm: Literal["group", "layer"] = "group"  # over time after the first, or over channels after each
    conv_bias: bool = False  # not of a first convolution before GroupNorm, which takes it out again
    width: int = 768  # of the Transformer
    num_layers: int = 12
    num_heads: int = 12
    ffn_dim: int = 3072
    pre_ln: bool = False  # LayerNorm before attention and feed-forward instead of after
    positional_kernel: int = 128  # frames; tiny models learn faster with 32
    positional_groups: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0  # inside the feed-forward
    layer_drop: float = 0.05  # chance to skip a layer in training; DDP then needs find_unused_parameters
    feature_grad_mult: float = 0.1  # scales the gradient of the convolutions; 0 freezes them
    normalize_waveform: bool = False  # to mean 0 and variance 1 for each utterance (large models)

    def __post_init__(self) -> None:
        if not self.conv_layers:
            raise ValueError("conv_layers is empty; give at least one [channels, kernel, stride]")
        for name in ("num_heads", "positional_groups"):
            if self.width % getattr(self, name):
                raise ValueError(f"width={self.width} must be a multiple of {name}={getattr(self, name)}")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return prod(stride for _, _, stride in self.conv_layers)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees."""
        field = 1
        for _, kernel, stride in reversed(self.conv_layers):
            field = (field - 1) * stride + kernel
        return field

    def samples(self, start: int, stop: int) -> slice:
        """Samples that frames `start` to `stop` see."""
        return slice(start * self.hop, (stop - 1) * self.hop + self.receptive_field)


class SpeechEncoder(nn.Module):
    """Waveform -> strided convolutions -> Transformer."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        dims = [1, *(dim for dim, _, _ in config.conv_layers)]
        layer_norm = config.conv_norm == "layer"
        self.convolutions = nn.ModuleList(
            StridedConvolution(in_dim, *layer, config.conv_bias, layer_norm)
            for in_dim, layer in zip(dims, config.conv_layers, strict=False)
        )
        if not layer_norm:
            self.convolutions[0] = NormalizedFirstConvolution(*config.conv_layers[0])
        self.feature_norm = nn.LayerNorm(dims[-1])
        self.feature_projection = nn.Linear(dims[-1], config.width)
        self.positional = PositionalConvolution(config.width, config.positional_kernel, config.positional_groups)
        self.encoder_norm = nn.LayerNorm(config.width)
        self.layers = nn.ModuleList(self._layer() for _ in range(config.num_layers))
        self.dropout = Dropout(config.dropout)

    def _layer(self) -> TransformerLayer:
        config = self.config
        layer = TransformerLayer(
            config.width,
            config.num_heads,
            config.ffn_dim,
            config.pre_ln,
            config.dropout,
            config.attention_dropout,
            config.activation_dropout,
        )
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        return layer

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Count the frames of utterances of `lengths` samples: 0 below the receptive field."""
        frames = (lengths - self.config.receptive_field) // self.config.hop + 1
        return frames.clamp(min=0)

    def extract(
        self, waveform: Tensor, lengths: Tensor, layer: int, statistics: "Statistics | None" = None
    ) -> tuple[Tensor, Tensor]:
        """Output of Transformer layer `layer`, without the last norm of pre-LN models; later layers are not run.

        Layers count from 1, as fairseq counts them for HuBERT. Its readers for wav2vec 2.0 (GSLM's, for one)
        index layer_results from 0: their layer 5 is 6 here.
        waveform (B, N), lengths (B,) in samples -> features (B, T, D), frame_lengths (B,).
        Rows mean nothing past their frame length. `statistics` are those of the recordings that the rows are cut from.
        """
        if not 1 <= layer <= self.config.num_layers:
            raise ValueError(f"layer must be 1 to {self.config.num_layers}, found {layer}")
        features, frame_lengths = self.convolve(waveform, lengths, statistics)
        valid = torch.arange(features.shape[1], device=features.device) < frame_lengths[:, None]
        return self.encode(self.project(features), valid, layer), frame_lengths

    def statistics(self, waveform: Tensor, lengths: Tensor) -> "Statistics":
        """Take from whole recordings what their pieces need: waveform (B, N), lengths (B,) in samples."""
        level = _level(waveform, lengths) if self.config.normalize_waveform else None
        if self.config.conv_norm != "group":
            return Statistics(level, None)
        first = self.convolutions[0]
        return Statistics(level, first.moments(_normalized(waveform, lengths, level), lengths))  # type: ignore[operator]

    def convolve(
        self, waveform: Tensor, lengths: Tensor, statistics: "Statistics | None" = None
    ) -> tuple[Tensor, Tensor]:
        """waveform (B, N), lengths (B,) in samples -> (B, T, C), frame_lengths (B,).

        There is no padding inside, so true frames see true samples only.
        """
        waveform = F.pad(waveform, (0, max(0, self.config.receptive_field - waveform.shape[1])))
        with torch.autocast(waveform.device.type, enabled=False):
            statistics = statistics or self.statistics(waveform, lengths)
            waveform = _normalized(waveform, lengths, statistics.level)
            kernels = self._kernels(statistics.moments, len(waveform))
        frames = (waveform.shape[1] - self.config.receptive_field) // self.config.hop + 1
        if torch.is_grad_enabled() and self.config.feature_grad_mult > 0:
            x = ScaledGradient.apply(self._trained(waveform, kernels, frames), self.config.feature_grad_mult)
        else:
            at_once = CPU_FRAMES if waveform.device.type == "cpu" else GPU_FRAMES
            with torch.no_grad():
                parts = self._parts(frames, at_once // len(waveform))
                x = torch.cat([self._convolve(waveform[:, samples], kernels) for samples, _ in parts], dim=1)
        return x, self.frame_lengths(lengths)

    def _trained(self, waveform: Tensor, kernels: Kernels, frames: int) -> Tensor:
        """Convolve so that there are gradients; large batches on CPUs are convolved again for them, in parts.

        That is less memory for more time: the base model's convolutions alone take about a fifth more (20 s of speech).
        """
        channels, _, stride = self.config.conv_layers[0]
        values = channels * self.config.hop // stride  # of a frame after the first convolution, the largest output
        if waveform.device.type != "cpu" or len(waveform) * frames * values <= CPU_VALUES:
            return self._convolve(waveform, kernels)
        first, *others = self.convolutions
        layers = others if kernels else [first, *others]
        parameters = [parameter for layer in layers for parameter in layer.parameters()]
        return convolve_in_parts(
            self._convolve, waveform, kernels, parameters, self._parts(frames, CPU_VALUES // values)
        )

    def _kernels(self, moments: Moments | None, rows: int) -> Kernels:
        if moments is None:
            return None
        weight, bias = self.convolutions[0].kernels(moments)  # type: ignore[operator]
        return weight.expand(rows, -1, -1), bias.expand(rows, -1, -1)

    def _convolve(self, waveform: Tensor, kernels: Kernels) -> Tensor:
        first, *others = self.convolutions
        x = first(waveform.unsqueeze(-1)) if kernels is None else first(waveform, kernels)
        for layer in others:
            x = layer(x)
        return x

    def _parts(self, frames: int, at_once: int) -> list[tuple[slice, slice]]:
        """Cut (B, N) so that each part gives some frames of its own, and all parts together give all frames.

        The first layers give 640 kB for a frame. Without gradient, parts that stay in a processor's cache take two
        thirds of the time.
        """
        step = max(MIN_FRAMES, at_once)
        ends = ((start, min(start + step, frames)) for start in range(0, frames, step))
        return [(self.config.samples(start, stop), slice(start, stop)) for start, stop in ends]

    def project(self, features: Tensor) -> Tensor:
        """Bring the convolutions' output to the width of the Transformer: (B, T, C) -> (B, T, D)."""
        return self.dropout(self.feature_projection(self.feature_norm(features)))

    def encode(self, x: Tensor, valid: Tensor, layer: int | None = None) -> Tensor:
        """Contextual features after `layer` layers; after all, and the last norm of pre-LN models, if None.

        x (B, T, D), valid (B, T) bool -> (B, T, D).
        """
        x = x * valid.unsqueeze(-1)
        x = x + self.positional(x)
        if not self.config.pre_ln:
            x = self.encoder_norm(x)
        x = self.dropout(x)
        attended = None  # the fastest attention kernels take no mask
        if not valid.all():
            attended = valid.clone()
            attended[:, 0] = True  # a row without any frame must attend to something, or it becomes NaN
            attended = attended[:, None, None]
        for transformer_layer in self.layers[:layer]:
            if self.training and torch.rand(()) < self.config.layer_drop:
                continue
            x = transformer_layer(x, attended)
        return self.encoder_norm(x) if self.config.pre_ln and layer is None else x


class Statistics(NamedTuple):
    """What the convolutions have to know of whole recordings (B of them)."""

    level: tuple[Tensor, Tensor] | None  # mean and standard deviation (B, 1) of the samples, if waveforms are scaled
    moments: Moments | None  # for GroupNorm


def _level(waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each row of (B, N) over its own samples."""
    valid = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
    count = lengths[:, None].clamp(min=1)
    mean = (waveform * valid).sum(1, keepdim=True) / count
    variance = ((waveform - mean) * valid).square().sum(1, keepdim=True) / count
    return mean, torch.sqrt(variance + 1e-5)


def _normalized(waveform: Tensor, lengths: Tensor, level: tuple[Tensor, Tensor] | None) -> Tensor:
    """Bring each row of (B, N) to mean 0 and variance 1; padding becomes 0."""
    if level is None:
        return waveform
    valid = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
    return (waveform - level[0]) / level[1] * valid
