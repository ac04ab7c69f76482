import numpy as np
import pytest

from s2st.evaluation.warping import warping_cost, warping_path

SHAPES = [(1, 1), (1, 5), (5, 1), (7, 4), (4, 7), (6, 6)]


def slow_cost(distances: np.ndarray) -> float:
    """The recursion as textbooks have it."""
    cost = np.full((distances.shape[0] + 1, distances.shape[1] + 1), np.inf)
    cost[0, 0] = 0
    for i, row in enumerate(distances):
        for j, distance in enumerate(row):
            cost[i + 1, j + 1] = distance + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return cost[-1, -1]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_best_path_is_found(shape) -> None:
    distances = np.random.default_rng(0).random(shape)
    assert warping_cost(distances) == pytest.approx(slow_cost(distances))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_path_has_that_cost_and_leaves_nothing_out(shape) -> None:
    distances = np.random.default_rng(1).random(shape)
    left, right = warping_path(distances)
    assert distances[left, right].sum() == pytest.approx(warping_cost(distances))
    assert (left[0], right[0], left[-1], right[-1]) == (0, 0, shape[0] - 1, shape[1] - 1)
    steps = np.diff([left, right])
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps.sum(0) > 0).all()
