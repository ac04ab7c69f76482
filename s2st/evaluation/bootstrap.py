"""Intervals of a corpus figure by the bootstrap: utterances are drawn again, with replacement."""

from collections.abc import Callable, Sequence

import numpy as np

NUM_RESAMPLES = 2000  # the ends of the interval are then stable to about half a percent


def ratio(sums: np.ndarray) -> np.ndarray:
    """First over second: sums (..., 2) -> (...); nan where the second is 0."""
    numerator, denominator = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def by_group(parts: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Add up the parts (U, S) of each group of utterances, which is drawn together: (G, S). No groups: as they are."""
    if groups is None:
        return parts
    if len(groups) != len(parts):
        raise ValueError(f"{len(parts)} utterances but {len(groups)} groups; give one for each")
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((places.max() + 1, parts.shape[1]), parts.dtype)
    np.add.at(sums, places, parts)
    return sums


def interval(parts: np.ndarray, seed: int, figure: Callable[[np.ndarray], np.ndarray] = ratio) -> tuple[float, float]:
    """95% interval of a figure of sums: parts (U, S), what each utterance adds to them; figure (R, S) -> (R,).

    Draws for which the figure is nan are left out; where it always is, the ends are nan.
    """
    draws = np.random.default_rng(seed).integers(len(parts), size=(NUM_RESAMPLES, len(parts)))
    # some draws at a time: all that they draw at once would fill the memory
    values = np.concatenate([figure(parts[some].sum(axis=1)) for some in np.array_split(draws, 40)])
    known = values[~np.isnan(values)]
    low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
