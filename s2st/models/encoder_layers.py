"""Layers of speech encoders: convolutions of the waveform, positional convolution, Transformer layer, span masks.

Shapes: B batch, N samples, T frames, C channels of the convolutions, D width of the Transformer.
"""

import functools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.models import dropped_attention
from s2st.models.dropout import Dropout

STRETCHES_AT_ONCE = 1 << 17  # of a waveform, in float64: 40 s of a recording


class Moments(NamedTuple):
    """What GroupNorm over time has to know of a whole recording: moments of the stretches that the kernel sees.

    In float64: speech without high frequencies has nearly singular covariances.
    """

    mean: Tensor  # (B, 1, K)
    covariance: Tensor  # (B, K, K)


class StridedConvolution(nn.Module):
    """Convolution without padding, channels last, then an optional LayerNorm and GELU."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int, stride: int, bias: bool, layer_norm: bool) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(out_dim, in_dim, kernel)))
        self.bias = nn.Parameter(torch.zeros(out_dim)) if bias else None
        self.norm = nn.LayerNorm(out_dim) if layer_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T', C').

        To train, as many taps as the stride, starting at a multiple of it, see the frames as blocks side by side: one
        matrix product without unfolding. On CPUs forward and backward take 0.75 to 0.9 of the time of conv1d's; conv1d
        alone, on parts that a cache holds, takes half the time of the products.
        """
        if not torch.is_grad_enabled():
            y = F.conv1d(x.transpose(1, 2), self.weight, self.bias, self.stride)
            return F.gelu(self.norm(y.transpose(1, 2)))
        kernel = self.weight.shape[2]
        frames = (x.shape[1] - kernel) // self.stride + 1
        products, first = [], 0
        while first < kernel:
            if kernel - first >= self.stride:
                taps = self.weight[:, :, first : first + self.stride]
                seen = x[:, first : first + frames * self.stride].reshape(len(x), frames, -1)
            else:
                taps = self.weight[:, :, first : first + 1]
                seen = x[:, first :: self.stride][:, :frames]
            products.append(seen @ taps.permute(2, 1, 0).flatten(0, 1))
            first += taps.shape[2]
        start = products[0] if self.bias is None else products[0] + self.bias
        return F.gelu(self.norm(sum(products[1:], start)))


class NormalizedFirstConvolution(nn.Module):
    """First convolution of the base model: GroupNorm with one group a channel (over time), then GELU.

    Mean and variance of a convolution's output follow from mean and covariance (10 x 10) of the stretches of
    the waveform that the kernel sees. So normalisation becomes part of each utterance's own kernel, costs no
    pass over the output, and leaves padding out of the statistics. There is no bias: it would only shift the
    mean of a channel, which is taken out.
    """

    def __init__(self, out_dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(out_dim, 1, kernel)))
        self.norm = nn.GroupNorm(out_dim, out_dim)  # holds scale, bias and eps; its forward is not used

    def moments(self, waveform: Tensor, lengths: Tensor) -> Moments:
        """Mean and covariance of what the kernel sees in each row: waveform (B, N), lengths (B,) in samples."""
        kernel = self.weight.shape[2]
        seen = waveform.unfold(1, kernel, self.stride)
        frames = ((lengths - kernel) // self.stride + 1).clamp(min=1)
        count = frames.double()[:, None, None]
        valid = (torch.arange(seen.shape[1], device=seen.device) < frames[:, None]).unsqueeze(-1)
        sums, products = [], []
        for part, there in zip(seen.split(STRETCHES_AT_ONCE, 1), valid.split(STRETCHES_AT_ONCE, 1), strict=True):
            stretches = part.double() * there
            sums.append(stretches.sum(1, keepdim=True))
            products.append(stretches.transpose(1, 2) @ stretches)
        mean = sum(sums[1:], sums[0]) / count
        return Moments(mean, sum(products[1:], products[0]) / count - mean.transpose(1, 2) @ mean)

    def kernels(self, moments: Moments) -> tuple[Tensor, Tensor]:
        """Each row's own kernels (B, K, C) and biases (B, 1, C), normalisation included."""
        weight = self.weight.double().squeeze(1).T
        variance = (weight * (moments.covariance @ weight)).sum(1, keepdim=True).clamp(min=0)
        scale = self.norm.weight * torch.rsqrt(variance + self.norm.eps)
        bias = self.norm.bias - moments.mean @ weight * scale
        return (weight * scale).float(), bias.float()

    def forward(self, waveform: Tensor, kernels: tuple[Tensor, Tensor]) -> Tensor:
        """waveform (B, N), kernels of its rows -> (B, T, C)."""
        weight, bias = kernels
        seen = waveform.unfold(1, weight.shape[1], self.stride)
        if torch.is_grad_enabled():
            return F.gelu(torch.baddbmm(bias, seen, weight))
        # in memory channels come first, as the next convolution takes them
        y = torch.baddbmm(bias.transpose(1, 2), weight.transpose(1, 2), seen.transpose(1, 2))
        return F.gelu(y).transpose(1, 2)


class PositionalConvolution(nn.Module):
    """Grouped convolution over time with weight normalisation per tap, then GELU; length is kept."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.bias = nn.Parameter(torch.zeros(width))
        deviation = (4 / (kernel * width)) ** 0.5
        self.weight_v = nn.Parameter(torch.randn(width, width // groups, kernel) * deviation)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, D), zero where there is no speech -> (B, T, D)."""
        kernel = self.weight_v.shape[2]
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        if x.device.type == "cpu":
            # In bfloat16 on CPUs with AMX, oneDNN gives noise for grouped convolutions with wide even kernels.
            x = x.float()
        with torch.autocast("cpu", enabled=False):
            y = F.conv1d(x.transpose(1, 2), weight, self.bias, padding=kernel // 2, groups=self.groups)
        return F.gelu(y[:, :, : x.shape[1]].transpose(1, 2))  # even kernels give a frame too many


class SelfAttention(nn.Module):
    """Multi-head attention of a sequence to itself."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, attended: Tensor | None) -> Tensor:
        """x (B, T, D), attended (B, 1, 1, T) bool or None for all -> (B, T, D)."""
        split = (x.shape[0], x.shape[1], self.num_heads, -1)
        query, key, value = (layer(x).view(split).transpose(1, 2) for layer in (self.query, self.key, self.value))
        if x.device.type == "cpu":  # its fused kernel is slower backward in bf16 than in float32
            query, key, value = query.float(), key.float(), value.float()
        dropout = self.dropout if self.training else 0.0
        with torch.autocast("cpu", enabled=False):
            if dropout and x.device.type == "cpu" and not torch.compiler.is_compiling():
                y = dropped_attention.attention(query, key, value, attended, dropout)
            else:
                y = F.scaled_dot_product_attention(query, key, value, attended, dropout)
        return self.output(y.transpose(1, 2).flatten(2).to(x.dtype))


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward; LayerNorm after each (post-LN) or before each (pre-LN)."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        ffn_dim: int,
        pre_ln: bool,
        dropout: float,
        attention_dropout: float,
        activation_dropout: float,
    ) -> None:
        super().__init__()
        self.pre_ln = pre_ln
        self.attention = SelfAttention(width, num_heads, attention_dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.expand, self.contract = nn.Linear(width, ffn_dim), nn.Linear(ffn_dim, width)
        self.output_norm = nn.LayerNorm(width)
        self.dropout, self.activation_dropout = Dropout(dropout), Dropout(activation_dropout)

    def forward(self, x: Tensor, attended: Tensor | None) -> Tensor:
        """x (B, T, D), attended (B, 1, 1, T) bool or None for all -> (B, T, D)."""
        if self.pre_ln:
            x = x + self.dropout(self.attention(self.attention_norm(x), attended))
            return x + self._feed_forward(self.output_norm(x))
        x = self.attention_norm(x + self.dropout(self.attention(x, attended)))
        return self.output_norm(x + self._feed_forward(x))

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.contract(self.activation_dropout(F.gelu(self.expand(x)))))


def span_mask(
    frame_lengths: Tensor,
    num_frames: int,
    probability: float,
    length: int,
    generator: torch.Generator | None = None,
    min_spans: int = 2,
) -> Tensor:
    """Draw spans of `length` frames to mask, as fairseq does: frame_lengths (B,) -> (B, num_frames) bool.

    A row of T frames gets int(probability * T / length + U[0, 1)) spans, at least `min_spans`, with different starts;
    they may overlap. Unlike fairseq, rows keep all their spans instead of being cut to the same count.
    """
    device = frame_lengths.device if generator is None else generator.device
    valid = frame_lengths.to(device)[:, None]
    time = torch.arange(num_frames, device=device)
    draw = functools.partial(torch.rand, device=device, **({} if generator is None else {"generator": generator}))
    chance = draw(len(valid), 1)  # torch.compile knows no generator, not even None
    spans = (probability * valid / length + chance).long().clamp(min=min_spans)
    starts = torch.minimum(torch.maximum(valid - length, spans + 1), valid)
    score = draw(len(valid), num_frames)
    rank = score.masked_fill(time >= starts, 2.0).argsort(1).argsort(1)
    started = ((rank < spans) & (time < starts)).long().cumsum(1)
    mask = started > F.pad(started, (length, 0))[:, :num_frames]
    return (mask & (time < valid)).to(frame_lengths.device)
