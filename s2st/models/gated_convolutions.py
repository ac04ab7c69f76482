"""Strided convolutions with gates (GLU) that shorten a sequence, as fairseq's Conv1dSubsampler.

Padded batches equal single sequences: before each convolution, padding is silenced, which fairseq does not do.

Shapes: B batch, T frames, C channels; S = T halved once for each convolution, rounded up.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from s2st.models.transformer import padding_mask

STRIDE = 2  # of each


class GatedConvolutions(nn.ModuleList):
    def __init__(self, in_dim: int, out_dims: Sequence[int], kernel: int) -> None:
        """`out_dims` are those after the gates, `kernel` is odd."""
        super().__init__(
            nn.Conv1d(size, 2 * out_dim, kernel, STRIDE, kernel // 2) for size, out_dim in pairwise((in_dim, *out_dims))
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, C), lengths (B,) -> (B, S, out_dims[-1]) and the lengths of its rows (B,)."""
        x = x.transpose(1, 2)
        for convolution in self:
            x = x * padding_mask(lengths, x.size(2))[:, 0]
            x = functional.glu(convolution(x), dim=1)
            lengths = (lengths + 1) // STRIDE
        return x.transpose(1, 2), lengths
