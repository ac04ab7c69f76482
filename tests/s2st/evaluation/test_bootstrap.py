import numpy as np
import pytest

from s2st.evaluation.bootstrap import interval, ratio


def test_the_interval_is_that_of_the_normal_distribution() -> None:
    found = np.random.default_rng(0).binomial(10, 0.3, 400)
    low, high = interval(np.stack([found, np.full(400, 10)], axis=1), seed=0)
    share, error = found.mean() / 10, found.std() / 10 / 400**0.5
    assert (low, high) == pytest.approx((share - 1.96 * error, share + 1.96 * error), abs=0.1 * error)


def test_draws_without_a_figure_are_left_out() -> None:
    assert interval(np.array([[1, 2], [0, 0]]), seed=0) == (0.5, 0.5)
    assert np.isnan(ratio(np.array([1, 0])))
