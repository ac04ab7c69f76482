"""Noise for denoising pre-training: spans of tokens are replaced by one mask each, and sometimes a mask is put between.

Source: BART (Lewis et al. 2020), text infilling; mBART (Liu et al. 2020) masks 35% of words. fairseq's
data/denoising_dataset.py with --replace-length 1 --mask-length span-poisson has this distribution, but that it may mask
</s>, too.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpanMasking:
    mask_ratio: float = 0.3  # of the tokens that spans cover, at most: some lie over each other or past the end
    poisson_lambda: float = 3.5  # mean length of a span, in tokens; one of length 0 puts a mask where nothing was

    def __post_init__(self) -> None:
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio={self.mask_ratio} must lie between 0 and 1")
        if self.poisson_lambda <= 0:
            raise ValueError(f"poisson_lambda={self.poisson_lambda} must be above 0")


def mask_spans(tokens: np.ndarray, mask: int, config: SpanMasking, random: np.random.Generator) -> np.ndarray:
    """Tokens (N,) -> noised tokens (M,): each span becomes one `mask`."""
    budget = math.ceil(len(tokens) * config.mask_ratio)
    if not budget:
        return tokens
    lengths = span_lengths(budget, config.poisson_lambda, random)
    spans = lengths[lengths > 0]
    starts = random.permutation(len(tokens))[: len(spans)]
    kept, noised = np.ones(len(tokens), bool), tokens.copy()
    noised[starts] = mask
    for start, length in zip(starts, spans, strict=False):  # strict would ask for more places than a short row has
        kept[start + 1 : start + length] = False  # a span that begins inside another is one with it
    return insert(noised[kept], mask, len(lengths) - len(spans), random)


def span_lengths(budget: int, poisson_lambda: float, random: np.random.Generator) -> np.ndarray:
    """Draw lengths from the Poisson distribution until they add up to `budget`; the last is cut to fit."""
    lengths = random.poisson(poisson_lambda, budget)
    while lengths.sum() < budget:
        lengths = np.append(lengths, random.poisson(poisson_lambda, budget))
    ends = np.cumsum(lengths)
    last = int(np.searchsorted(ends, budget))
    lengths[last] -= ends[last] - budget
    return lengths[: last + 1]


def insert(tokens: np.ndarray, mask: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Put `count` masks between tokens (N,), at random -> (N + count,)."""
    noised = np.full(len(tokens) + count, mask, tokens.dtype)
    places = np.ones(len(noised), bool)
    places[random.permutation(len(noised))[:count]] = False
    noised[places] = tokens
    return noised
