"""Attention with dropout on CPUs, where PyTorch has no fused kernel for it.

Shapes: B batch, H heads, T frames, D width of a head.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from s2st.models.dropout import chosen

SCORES_AT_ONCE = 1 << 18  # 1 MB: the passes over scores stay in a processor's cache


def attention(query: Tensor, key: Tensor, value: Tensor, attended: Tensor | None, dropout: float) -> Tensor:
    """Do what scaled_dot_product_attention does, in half the time and a tenth of the memory.

    query, key and value (B, H, T, D) float32, attended (B, 1, 1, T) bool or None for all -> (B, H, T, D).
    What is dropped is drawn with 16 bits.
    """
    if attended is not None:
        attended = attended.expand(-1, query.shape[1], 1, -1).flatten(0, 1)
    flat = (x.flatten(0, 1) for x in (query, key, value))
    return _Attention.apply(*flat, attended, dropout).view(query.shape)  # type: ignore[no-untyped-call]


class _Attention(torch.autograd.Function):
    """Some heads at a time; of their probabilities, only what was dropped is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, attended: Tensor | None, dropout: float) -> Tensor:
        """query, key and value (B * H, T, D), attended (B * H, 1, T)."""
        query = query * query.shape[-1] ** -0.5
        kept = chosen((*query.shape[:2], key.shape[1]), 1 - dropout)
        output, normalizer = torch.empty_like(query), query.new_empty(*query.shape[:2], 1)
        for part in _parts(kept):
            scores = _scores(query, key, attended, part)
            highest = scores.amax(-1, keepdim=True)
            weights = scores.sub_(highest).exp_()
            total = weights.sum(-1, keepdim=True)
            normalizer[part] = highest + total.log()
            torch.bmm(weights.mul_(kept[part].float()), value[part], out=output[part])
            output[part] /= total
        ctx.scale = 1 / (1 - dropout)
        ctx.save_for_backward(query, key, value, attended, kept, normalizer)
        return output.mul_(ctx.scale)

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # not in bfloat16, even if backward is called where that is wanted
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value, from that of the output (B * H, T, D)."""
        query, key, value, attended, kept, normalizer = ctx.saved_tensors
        gradient = gradients[0] * ctx.scale
        of_query, of_key, of_value = (torch.empty_like(x) for x in (query, key, value))
        for part in _parts(kept):
            probabilities = _scores(query, key, attended, part).sub_(normalizer[part]).exp_()
            mask = kept[part].float()
            of_scores = torch.bmm(gradient[part], value[part].transpose(1, 2)).mul_(mask).mul_(probabilities)
            of_scores.addcmul_(probabilities, of_scores.sum(-1, keepdim=True), value=-1)
            torch.bmm(of_scores, key[part], out=of_query[part])
            torch.bmm(of_scores.transpose(1, 2), query[part], out=of_key[part])
            torch.bmm(probabilities.mul_(mask).transpose(1, 2), gradient[part], out=of_value[part])
        return of_query.mul_(query.shape[-1] ** -0.5), of_key, of_value, None, None


def _parts(kept: Tensor) -> Iterator[slice]:
    heads, rows, columns = kept.shape
    step = max(1, SCORES_AT_ONCE // (rows * columns))
    return (slice(start, start + step) for start in range(0, heads, step))


def _scores(query: Tensor, key: Tensor, attended: Tensor | None, part: slice) -> Tensor:
    scores = torch.bmm(query[part], key[part].transpose(1, 2))
    return scores if attended is None else scores.masked_fill_(~attended[part], -torch.inf)
