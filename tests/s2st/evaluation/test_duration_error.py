import numpy as np
import pytest

from s2st.evaluation.duration_error import duration_error


def test_errors_do_not_cancel_but_lengths_do() -> None:
    found = duration_error(np.array([1, 4, 2]), np.array([3, 2, 2], np.uint8))
    assert (found.absolute, found.num_units, found.predicted, found.true) == (4, 3, 7, 7)


def test_other_units_are_told() -> None:
    with pytest.raises(ValueError, match="2 true durations but 1 predicted"):
        duration_error(np.array([1, 1]), np.array([1]))
