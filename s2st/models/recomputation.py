"""Gradients that need not keep what the forward pass made.

Shapes: B batch, N samples, T frames, C channels, K kernel.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

Kernels = tuple[Tensor, Tensor] | None  # (B, K, C) and (B, 1, C): the first convolution of each row
Convolve = Callable[[Tensor, Kernels], Tensor]  # (B, N) and the kernels of its rows -> (B, T, C)


class ScaledGradient(torch.autograd.Function):
    """Identity, whose gradient is scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        """Give x."""
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Scale the gradient."""
        return gradients[0] * ctx.scale, None


def convolve_in_parts(
    convolve: Convolve,
    waveform: Tensor,
    kernels: Kernels,
    parameters: Iterable[Tensor],
    parts: Sequence[tuple[slice, slice]],
) -> Tensor:
    """Convolve (B, N) -> (B, T, C), each row in parts: the samples that a part sees, and its frames.

    For the gradient of `parameters` and kernels (none of the waveform), parts are convolved again, one after the
    other, so that only one is in memory.
    """
    weight, bias = kernels or (None, None)
    return _InParts.apply(convolve, parts, waveform, weight, bias, *parameters)  # type: ignore[no-untyped-call,no-any-return]


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        convolve: Convolve,
        parts: Sequence[tuple[slice, slice]],
        waveform: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.convolve, ctx.parts, ctx.parameters = convolve, parts, parameters
        ctx.save_for_backward(waveform, weight, bias)
        device = waveform.device.type
        ctx.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        kernels = None if weight is None or bias is None else (weight, bias)
        return torch.cat([convolve(waveform[:, samples], kernels) for samples, _ in parts], dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        waveform, *kernels = ctx.saved_tensors
        kernels = [None if x is None else x.detach().requires_grad_() for x in kernels]
        inputs = [x for x in (*kernels, *ctx.parameters) if x is not None]
        totals = [torch.zeros_like(x) for x in inputs]
        with torch.enable_grad(), torch.autocast(*ctx.autocast):
            for row in (slice(index, index + 1) for index in range(len(waveform))):
                for samples, frames in ctx.parts:
                    own = None if kernels[0] is None else tuple(x[row] for x in kernels)
                    y = ctx.convolve(waveform[row, samples], own)
                    for total, part in zip(
                        totals, torch.autograd.grad(y, inputs, gradients[0][row, frames]), strict=True
                    ):
                        total += part
        of_kernels = (None, None) if kernels[0] is None else tuple(totals[:2])
        return None, None, None, *of_kernels, *totals[len(inputs) - len(ctx.parameters) :]
