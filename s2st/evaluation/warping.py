"""Dynamic time warping without constraints: both frames of a pair advance, or one of them.

Pairs (i, j) whose numbers have one sum are found together: along an antidiagonal, i grows and j falls.

Shapes: T and T' frames, P pairs of the path.
"""

from collections.abc import Iterator

import numpy as np

ROW, COLUMN, BOTH = range(3)  # what advances to a pair


def warping_cost(distances: np.ndarray) -> float:
    """Least sum of distances (T, T') along a path from the first pair of frames to the last."""
    for _, _, costs in _sweep(distances):
        last = costs
    return float(last[-1])


def warping_path(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the path of the least sum of distances (T, T'): frames (P,) of either side, int64, from first to last."""
    rows, columns = distances.shape
    moves = np.empty((rows + columns - 1, rows), np.uint8)
    for k, (first, best, _) in enumerate(_sweep(distances)):
        moves[k, first : first + len(best)] = best
    i, j = rows - 1, columns - 1
    path = [(i, j)]
    while i or j:
        move = moves[i + j, i]
        i, j = i - (move != COLUMN), j - (move != ROW)
        path.append((i, j))
    left, right = np.array(path[::-1], np.int64).T
    return left, right


def _sweep(distances: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Go through the antidiagonals: the first i of each, what advances to its pairs, and their least sums."""
    rows, columns = distances.shape
    flipped = distances[:, ::-1]  # an antidiagonal is a diagonal of it
    before = np.full(rows + 1, np.inf)  # least sums of the pairs (i, k - 2 - i), at i + 1
    previous = np.full(rows + 1, np.inf)  # ... (i, k - 1 - i)
    before[0] = 0  # what comes before the first pair
    for k in range(rows + columns - 1):
        first, end = max(0, k - columns + 1), min(rows, k + 1)
        ways = np.stack([previous[first:end], previous[first + 1 : end + 1], before[first:end]])
        current = np.full(rows + 1, np.inf)
        current[first + 1 : end + 1] = ways.min(0) + flipped.diagonal(columns - 1 - k)
        yield first, ways.argmin(0), current[first + 1 : end + 1]
        before, previous = previous, current
