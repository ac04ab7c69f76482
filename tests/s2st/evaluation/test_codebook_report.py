from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from s2st.evaluation.codebook_report import CodebookReport, describe, render
from s2st.evaluation.segment_lengths import LONGEST

UNITS = np.array([0, 0, 0, 1, 1, 1, 3, 3])
STARTS = np.array([True, False, False, False, False, True, False, False])  # the third 1 begins the second utterance


def report(units: np.ndarray = UNITS, starts: np.ndarray = STARTS, **changes: object) -> CodebookReport:
    given = {"title": "Codebook <a>", "num_units": 5, "inertias": [9.0, 4.0, 2.5], "frame_ms": 20.0, **changes}
    return describe(units=units, starts=starts, **given)


def test_figures_are_those_of_the_units() -> None:
    figures = report().figures
    shares = np.array([3, 3, 2]) / 8
    entropy = -(shares * np.log2(shares)).sum()
    assert (figures["num_units"], figures["used_units"], figures["num_frames"]) == (5, 3, 8)
    assert figures["inertia"] == 2.5
    assert figures["entropy_bits"] == pytest.approx(entropy, abs=1e-4)
    assert figures["perplexity"] == pytest.approx(2**entropy, abs=1e-2)
    assert figures["hours"] == pytest.approx(8 * 0.02 / 3600, abs=1e-4)


def test_segments_end_where_utterances_do() -> None:
    assert report().segments[:4] == [1, 2, 1, 0]  # lengths 3, 2, 1, 2
    assert report().figures["mean_segment_ms"] == 40.0
    whole = report(starts=np.arange(8) == 0)
    assert whole.segments[:4] == [0, 1, 2, 0]  # lengths 3, 3, 2


def test_long_segments_are_counted_together() -> None:
    long = report(np.zeros(3 * LONGEST, int), np.arange(3 * LONGEST) == 0)
    assert long.segments == [0] * (LONGEST - 1) + [1]
    assert long.figures["mean_segment_ms"] == 3 * LONGEST * 20
    assert (long.figures["entropy_bits"], long.figures["perplexity"]) == (0, 1)


def test_the_page_stands_alone_and_has_three_charts() -> None:
    page = render(report())
    assert page.count("<svg") == 3
    assert "Codebook &lt;a&gt;" in page
    assert "3 of 5" in page
    for foreign in ("<script", "http://", "https://", "src=", "<link"):
        assert foreign not in page
    for svg in page.split("<figure>")[1:]:
        fromstring(svg[svg.index("<svg") : svg.index("</svg>") + 6])


def test_centroids_that_were_not_fitted_have_no_curve() -> None:
    assert render(report(inertias=[2.5])).count("<svg") == 2
