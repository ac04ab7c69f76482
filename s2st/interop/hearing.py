"""What recognisers of transformers share: long recordings are heard in parts."""

from collections.abc import Callable, Sequence

import numpy as np

from s2st.audio import WINDOW, equal_parts


def hear_in_parts(
    waveforms: Sequence[np.ndarray], longest_seconds: float, hear: Callable[[list[np.ndarray]], list[str]]
) -> list[str]:
    """Cut waveforms (N,) into equal parts of at most `longest_seconds`, hear them, and join the texts of each.

    One shorter than a frame gives "".
    """
    parts = [equal_parts(each, longest_seconds) if len(each) >= WINDOW else [] for each in waveforms]
    texts = iter(hear([part for of_one in parts for part in of_one]))
    return [" ".join(filter(None, (next(texts).strip() for _ in of_one))) for of_one in parts]
