"""The report of a codebook: how it was reached, how evenly its units are used, how long they last.

Shapes: N frames, K units.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from s2st.evaluation import charts
from s2st.evaluation.unit_quality import entropy_bits

LONGEST = 25  # frames; the last bar of the chart has what is longer, too


@dataclass(frozen=True)
class CodebookReport:
    """What a codebook does to a sample of frames."""

    title: str
    figures: dict[str, int | float]  # of `describe`
    inertias: list[float]  # by iteration; one alone is of centroids that were not fitted here
    counts: list[int]  # frames of each unit
    segments: list[int]  # number of segments of 1, 2, ... LONGEST or more frames
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
    lengths = np.bincount(segments.clip(max=LONGEST), minlength=LONGEST + 1)[1:]
    return CodebookReport(title, figures, inertias, counts.tolist(), lengths.tolist(), frame_ms)


def render(report: CodebookReport) -> str:
    """Fill the template beside this file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    steps = tuple(map(float, range(len(report.inertias))))
    curve = charts.Series("inertia", steps, tuple(report.inertias))
    drawn = {
        "Inertia by iteration": charts.line_chart([curve], "iteration", "inertia") if len(steps) > 1 else "",
        "Use of the units": charts.histogram(report.counts, "units, most frequent first", "frames"),
        "Length of segments": charts.distribution(
            report.segments, report.frame_ms, "ms (the last bar: or longer)", "segments"
        ),
    }
    return environment.get_template("codebook.html.jinja").render(
        report=report,
        bits=math.log2(report.figures["num_units"]),
        charts={name: Markup(svg) for name, svg in drawn.items() if svg},
    )
