"""How long units last: segments are neighbouring frames of one unit."""

from collections.abc import Sequence

import numpy as np

from s2st.evaluation import charts

LONGEST = 25  # frames; the last bar of the chart has what is longer, too


def count_lengths(segments: np.ndarray) -> list[int]:
    """Count segments of 1, 2, ... LONGEST or more frames, given the length of each (S,), int."""
    return np.bincount(segments.clip(max=LONGEST), minlength=LONGEST + 1)[1:].tolist()


def length_chart(lengths: Sequence[int], frame_ms: float) -> str:
    """Draw what `count_lengths` counted."""
    return charts.distribution(lengths, frame_ms, "ms (the last bar: or longer)", "segments")
