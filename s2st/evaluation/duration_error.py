"""How far predicted durations of reduced units are from the true ones.

Shapes: L reduced units.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DurationError:
    """Sums over the units of an utterance, to be added up over utterances."""

    absolute: int  # absolute differences, in frames
    num_units: int
    predicted: int  # frames of all units
    true: int


def duration_error(true: np.ndarray, predicted: np.ndarray) -> DurationError:
    """Compare durations (L,) in frames with predicted ones (L,)."""
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} true durations but {len(predicted)} predicted; give one of each a unit")
    true, predicted = np.asarray(true, np.int64), np.asarray(predicted, np.int64)
    absolute = int(np.abs(predicted - true).sum())
    return DurationError(absolute, len(true), int(predicted.sum()), int(true.sum()))
