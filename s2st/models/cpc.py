"""CPC: tell the coming frames of speech from others, having heard those before (Rivière et al. 2020).

The encoder of CPC_audio, without what it is trained with. Same features as the reader of GSLM for speech of one
chunk: it cuts waveforms into 4 s and begins each anew, here an utterance is heard whole. Padded batches equal
single utterances.
Shapes: B batch, N samples, T frames, C channels of the convolutions, D width of the LSTM.
"""

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLUTIONS = ((10, 5, 3), (8, 4, 2), *((4, 2, 1),) * 3)  # (kernel, stride, zeros on both sides) of each


@dataclass(frozen=True)
class CpcConfig:
    """As made: the large model of Rivière and Dupoux 2020, which GSLM uses."""

    channels: int = 512  # of every convolution
    width: int = 512  # of the LSTM
    num_layers: int = 4  # of the LSTM

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return prod(stride for _, stride, _ in CONVOLUTIONS)

    def samples(self, start: int, stop: int) -> slice:
        """Samples of frames `start` to `stop`, of which those near a cut hear zeros instead of what is beyond it."""
        return slice(start * self.hop, stop * self.hop)


class Cpc(nn.Module):
    """Waveform -> strided convolutions -> LSTM, which hears the past only."""

    def __init__(self, config: CpcConfig) -> None:
        super().__init__()
        self.config = config
        dims = [1, *[config.channels] * len(CONVOLUTIONS)]
        self.convolutions = nn.ModuleList(
            NormalizedConvolution(in_dim, config.channels, *layer)
            for in_dim, layer in zip(dims, CONVOLUTIONS, strict=False)
        )
        dims = [config.channels, *[config.width] * config.num_layers]
        self.layers = nn.ModuleList(nn.LSTM(dim, config.width, batch_first=True) for dim in dims[:-1])

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Count the frames of utterances of `lengths` samples: 0 below 159."""
        for layer in CONVOLUTIONS:
            lengths = _frames_after(lengths, *layer)
        return lengths

    def extract(self, waveform: Tensor, lengths: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Output of LSTM layer `layer`, counted from 1 as GSLM does; later layers are not run.

        waveform (B, N), lengths (B,) in samples -> features (B, T, D), frame_lengths (B,).
        Rows mean nothing past their frame length.
        """
        if not 1 <= layer <= self.config.num_layers:
            raise ValueError(f"layer must be 1 to {self.config.num_layers}, found {layer}")
        x, frame_lengths = self.convolve(waveform, lengths)
        for lstm in self.layers[:layer]:
            x, _ = lstm(x)
        return x, frame_lengths

    def convolve(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """waveform (B, N), lengths (B,) in samples -> (B, T, C), frame_lengths (B,)."""
        x = F.pad(waveform, (0, max(0, self.config.hop - waveform.shape[1])))[:, None]
        for convolution, layer in zip(self.convolutions, CONVOLUTIONS, strict=True):
            # what lies past the end of a row must be the zeros that the convolution pads a row alone with
            x = x * (torch.arange(x.shape[2], device=x.device) < lengths[:, None])[:, None]
            x, lengths = convolution(x), _frames_after(lengths, *layer)
        return x.transpose(1, 2), lengths


class NormalizedConvolution(nn.Module):
    """Convolution with zeros on both sides, normalisation over the channels of each frame, ReLU."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(out_dim, in_dim, kernel)))
        self.bias = nn.Parameter(torch.zeros(out_dim))
        self.norm_weight, self.norm_bias = nn.Parameter(torch.ones(out_dim, 1)), nn.Parameter(torch.zeros(out_dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, T) -> (B, C', T')."""
        x = F.conv1d(x, self.weight, self.bias, self.stride, self.padding)
        # unlike LayerNorm, the variance is divided by one channel less
        variance, mean = torch.var_mean(x, dim=1, keepdim=True)
        return F.relu((x - mean) * torch.rsqrt(variance + 1e-5) * self.norm_weight + self.norm_bias)


def _frames_after(lengths: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return ((lengths + 2 * padding - kernel) // stride + 1).clamp(min=0)
