"""Dynamic time warping without constraints: both frames of a pair advance, or one of them.

Row by row: within a row of distances d, the least sums D follow from what enters it from the row before, e, by a
running minimum, D[j] = S[j] + min over k <= j of (e[k] - S[k - 1]), with S the running sum of d.

Shapes: T and T' frames, P pairs of the path.
"""

from collections.abc import Iterator

import numpy as np

ROW, COLUMN, BOTH = range(3)  # what advances to a pair


def warping_cost(distances: np.ndarray) -> float:
    """Least sum of distances (T, T') along a path from the first pair of frames to the last."""
    rows, columns = distances.shape
    for current in _sweep(distances if rows <= columns else distances.T):  # few long rows are faster
        last = current
    return float(last[-1])


def warping_path(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the path of the least sum of distances (T, T'): frames (P,) of either side, int64, from first to last."""
    rows, columns = distances.shape
    moves = np.empty((rows, columns), np.uint8)
    before = np.full(columns + 1, np.inf)
    for row, sums in zip(moves, _sweep(distances), strict=True):
        current = np.concatenate(([np.inf], sums))
        row[:] = np.stack([before[1:], current[:-1], before[:-1]]).argmin(0)
        before = current
    i, j = rows - 1, columns - 1
    path = [(i, j)]
    while i or j:
        move = moves[i, j]
        i, j = i - (move != COLUMN), j - (move != ROW)
        path.append((i, j))
    left, right = np.array(path[::-1], np.int64).T
    return left, right


def _sweep(distances: np.ndarray) -> Iterator[np.ndarray]:
    """Give the least sums (T',) of the paths to the pairs of each row, float64, in an array that is used again."""
    columns = distances.shape[1]
    along, entering, sums = np.empty(columns), np.empty(columns), np.full(columns + 1, np.inf)
    sums[0] = 0  # what comes before the first pair
    for row in distances:
        exact = row.astype(np.float64)
        np.cumsum(exact, out=along)
        np.minimum(sums[1:], sums[:-1], out=entering)
        entering -= along
        entering += exact
        np.minimum.accumulate(entering, out=entering)
        np.add(entering, along, out=sums[1:])
        sums[0] = np.inf
        yield sums[1:]
