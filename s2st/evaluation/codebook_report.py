"""The report of a codebook: how it was reached, how evenly its units are used, how long they last.

Shapes: N frames, K units.
"""

import math
from dataclasses import dataclass

import numpy as np

from s2st.evaluation import charts
from s2st.evaluation.page import fill
from s2st.evaluation.segment_lengths import count_lengths, length_chart
from s2st.evaluation.unit_quality import entropy_bits


@dataclass(frozen=True)
class CodebookReport:
    """What a codebook does to a sample of frames."""

    title: str
    figures: dict[str, int | float]  # of `describe`
    inertias: list[float]  # by iteration; one alone is of centroids that were not fitted here
    counts: list[int]  # frames of each unit
    segments: list[int]  # of segment_lengths.count_lengths
    frame_ms: float


def describe(
    title: str, units: np.ndarray, starts: np.ndarray, num_units: int, inertias: list[float], frame_ms: float
) -> CodebookReport:
    """Count the units (N,) of utterances that begin where starts (N,), bool, is true."""
    counts = np.bincount(units, minlength=num_units)
    entropy = entropy_bits(counts)
    begins = starts.copy()
    begins[1:] |= units[1:] != units[:-1]
    begins[:1] = True
    segments = np.diff(np.flatnonzero(begins), append=len(units))
    figures = {
        "num_units": num_units,
        "used_units": int((counts > 0).sum()),
        "num_frames": len(units),
        "hours": round(len(units) * frame_ms / 3.6e6, 4),
        "inertia": inertias[-1],
        "entropy_bits": round(entropy, 4),
        "perplexity": round(2**entropy, 2),
        "mean_segment_ms": round(float(segments.mean()) * frame_ms, 2),
    }
    return CodebookReport(title, figures, inertias, counts.tolist(), count_lengths(segments), frame_ms)


def render(report: CodebookReport) -> str:
    """Fill the template of the report."""
    steps = tuple(map(float, range(len(report.inertias))))
    curve = charts.Series("inertia", steps, tuple(report.inertias))
    drawn = {
        "Inertia by iteration": charts.line_chart([curve], "iteration", "inertia") if len(steps) > 1 else "",
        "Use of the units": charts.histogram(report.counts, "units, most frequent first", "frames"),
        "Length of segments": length_chart(report.segments, report.frame_ms),
    }
    return fill(
        "codebook.html.jinja",
        report=report,
        bits=math.log2(report.figures["num_units"]),
        charts={name: svg for name, svg in drawn.items() if svg},
    )
