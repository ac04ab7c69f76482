"""Convolution along time by short Fourier transforms: the same sums with a third of the products.

Stretches of S frames that overlap are transformed; at each frequency, the channels are multiplied by a matrix; of what
is transformed back, the frames that the ends of a stretch disturb are dropped (overlap-save; Oppenheim and Schafer,
Discrete-Time Signal Processing). Transforms are matrices of real numbers, and a product of complex numbers is made of
three real ones, P = 3 * (S / 2 - 1) + 2 in all. It pays for wide convolutions with long kernels on a CPU, where
products are what takes the time.

Shapes: T frames, C input and O output channels, K kernel size, S stretch, H = S - K + 1 frames made of each stretch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IN_CACHE = 64  # stretches at a time: what lies between the transforms then stays in a processor's cache


class FourierConvolution(nn.Module):
    """A convolution with a given kernel that keeps the length: zeros stand before and after the input."""

    analysis: Tensor
    synthesis: Tensor
    spectrum: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int) -> None:
        """Take weight (O, C, K) and bias (O,) of a Conv1d; K is odd."""
        super().__init__()
        self.kernel, self.dilation = weight.shape[2], dilation
        self.stretch = 2 * self.kernel + 10  # measured: shorter ones need more products, longer ones more transforms
        self.hop = self.stretch - self.kernel + 1
        analysis, of_kernel, synthesis = _transforms(self.stretch, self.kernel)
        spectrum = torch.einsum("pk,ock->pco", of_kernel, weight.cpu().double())
        for name, value in {"analysis": analysis, "synthesis": synthesis, "spectrum": spectrum}.items():
            self.register_buffer(name, value.to(weight).contiguous(), persistent=False)
        self.register_buffer("bias", bias.detach() * self.stretch, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, C) -> (B, T, O)."""
        length, dilation = x.shape[1], self.dilation
        block = self.hop * dilation  # frames that one stretch for each of the interleaved sequences makes
        num_blocks = -(-length // block)
        before = (self.kernel - 1) * dilation // 2
        after = (num_blocks - 1) * block + self.stretch * dilation - length - before
        y = x.new_empty(len(x), num_blocks * block, self.spectrum.shape[2])
        step = max(1, IN_CACHE // dilation) * block
        for row, made in zip(F.pad(x, (0, 0, before, after)), y, strict=True):
            for start in range(0, len(made), step):
                self._convolve(row[start:], made[start : start + step])
        return y[:, :length]

    def _convolve(self, x: Tensor, y: Tensor) -> None:
        """Fill y, some blocks long, from x, which begins where the first stretch does."""
        (points, channels, out_channels), dilation = self.spectrum.shape, self.dilation
        count = len(y) // (self.hop * dilation)
        transformed = x.new_empty(dilation, count, points, channels)
        for phase in range(dilation):  # a dilated convolution is one of every dilation-th frame
            frames = x[phase:].unfold(0, (self.stretch - 1) * dilation + 1, self.hop * dilation)
            stretches = frames[:count, :, ::dilation].transpose(1, 2)
            torch.bmm(self.analysis.expand(count, -1, -1), stretches, out=transformed[phase])
        products = torch.bmm(transformed.flatten(0, 1).transpose(0, 1), self.spectrum)
        products[0] += self.bias  # a constant is all in the first frequency
        products = products.view(points, dilation, count, out_channels)
        made = y.view(count, self.hop, dilation, out_channels)
        for phase in range(dilation):
            spectra = products[:, phase].transpose(0, 1)
            torch.bmm(self.synthesis.expand(count, -1, -1), spectra, out=made[:, :, phase])


def _transforms(stretch: int, kernel: int) -> tuple[Tensor, Tensor, Tensor]:
    """Make matrices of a stretch (P, S), of a kernel (P, K), and from their products to frames (H, P), float64.

    The three products of (a + ib)(p + iq) are p(a + b), a(q - p) and b(p + q). The first and the last frequency are
    real and need the first product only.
    """
    frequencies = torch.arange(stretch // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi / stretch * torch.outer(frequencies, torch.arange(stretch, dtype=torch.float64))
    cos, sin = angle.cos(), angle.sin()
    cos_kernel, sin_kernel = cos[:, :kernel], sin[:, :kernel]
    analysis = [cos - sin, cos[1:-1], -sin[1:-1]]
    of_kernel = [cos_kernel, (sin_kernel - cos_kernel)[1:-1], (cos_kernel + sin_kernel)[1:-1]]
    share = torch.full((len(frequencies), 1), 2 / stretch, dtype=torch.float64)
    share[0] = share[-1] = 1 / stretch
    hop = stretch - kernel + 1
    cos, sin = share * cos[:, :hop], share * sin[:, :hop]
    synthesis = [cos - sin, -sin[1:-1], -cos[1:-1]]
    return torch.cat(analysis), torch.cat(of_kernel), torch.cat(synthesis).T
