"""Charts: ticks, scales, and that what is drawn is what was given."""

import math
from xml.etree.ElementTree import Element, fromstring

import pytest

from s2st.evaluation.charts import (
    MAX_BARS,
    Series,
    comparison,
    distribution,
    histogram,
    interval_bar,
    line_chart,
    ticks,
)


def texts(svg: Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def points(svg: Element) -> list[list[tuple[float, float]]]:
    lines = [line.attrib["points"].split() for line in svg.iter("polyline")]
    return [[tuple(map(float, point.split(","))) for point in line] for line in lines]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 0.9, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1.9, 6.1, [1, 2, 3, 4, 5, 6, 7]),
        (0, 12_000, [0, 2500, 5000, 7500, 10_000, 12_500]),
        (3, 3, [3, 3.5, 4, 4.5, 5, 5.5, 6]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round_and_cover(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_line_goes_through_its_values() -> None:
    svg = fromstring(line_chart([Series("train", (0, 50, 100), (4.0, 2.0, 0.0))]))
    ((x0, y0), (x1, y1), (x2, y2)) = points(svg)[0]
    assert x0 < x1 < x2
    assert y0 < y1 < y2
    assert x1 == pytest.approx((x0 + x2) / 2)
    assert y1 == pytest.approx((y0 + y2) / 2)
    assert {"step", "loss", "0", "100", "4"} <= set(texts(svg))
    assert "train" not in texts(svg)  # one line needs no legend


def test_several_lines_have_a_legend_and_differ_without_colour() -> None:
    svg = fromstring(line_chart([Series("train", (0, 1), (2, 1)), Series("<valid>", (0, 1), (3, 2))]))
    assert {"train", "<valid>"} <= set(texts(svg))
    classes = [line.attrib["class"] for line in svg.iter("polyline")]
    assert classes == ["line s0", "line s1 dashed"]


def test_values_that_are_not_finite_are_left_out() -> None:
    series = Series("train", (0, 1, 2, 3), (math.inf, 2.0, math.nan, 1.0))
    assert len(points(fromstring(line_chart([series])))[0]) == 2
    assert line_chart([Series("train", (0,), (math.nan,))]) == ""
    assert line_chart([]) == ""


def test_one_point_is_a_dot_since_no_line_shows_it() -> None:
    svg = fromstring(line_chart([Series("train", (0, 1), (3.0, 2.0)), Series("valid", (1,), (1.0,))]))
    (dot,) = svg.iter("circle")
    ((place,),) = points(svg)[1:]
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == place
    assert dot.attrib["class"] == "dot s1"


def test_long_numbers_are_short() -> None:
    svg = fromstring(histogram([120_000, 2_000], "units", "frames"))
    assert {"0", "25k", "125k"} <= set(texts(svg))
    svg = fromstring(line_chart([Series("train", (0, 2_500_000), (0, 7_500))]))
    assert {"500k", "2.5M"} <= set(texts(svg))
    assert "8,000" in texts(svg)


def test_long_curves_are_thinned_to_means() -> None:
    steps = tuple(range(10_000))
    svg = fromstring(line_chart([Series("train", steps, tuple(float(i % 2) for i in steps))]))
    assert len(points(svg)[0]) <= 400
    heights = {y for _, y in points(svg)[0]}
    assert max(heights) - min(heights) < 15  # the mean is near one half everywhere


def test_a_comparison_has_a_point_a_value_above_its_name() -> None:
    series = [Series("purity", (0, 1, 2), (0.0, 0.5, 1.0)), Series("chance", (1,), (0.25,))]
    svg = fromstring(comparison(["mfcc", "first", "second"], series, "units", "share"))
    (left, low), (middle, half), (right, high) = points(svg)[0]
    assert left < middle < right
    assert half - high == pytest.approx(low - half, abs=0.2)
    assert points(svg)[1] == [(middle, pytest.approx((low + half) / 2, abs=0.1))]
    assert len(list(svg.iter("circle"))) == 4
    places = {text.text: float(text.attrib["x"]) for text in svg.iter("text")}
    assert (places["mfcc"], places["first"], places["second"]) == (left, middle, right)
    assert {"purity", "chance", "units", "share", "0", "1"} <= set(places)


def test_series_refuses_uneven_lengths() -> None:
    with pytest.raises(ValueError, match="2 steps but 1 values"):
        Series("train", (0, 1), (1.0,))


def test_histogram_bars_are_sorted_counts() -> None:
    svg = fromstring(histogram([1, 8, 0, 4], "units", "frames"))
    heights = [float(bar.attrib["height"]) for bar in svg.iter("rect")]
    assert heights == pytest.approx([heights[0], heights[0] / 2, heights[0] / 8, 0], abs=0.1)
    assert len(list(fromstring(histogram([5] * 2000, "units", "frames")).iter("rect"))) <= MAX_BARS
    assert histogram([0, 0], "units", "frames") == histogram([], "units", "frames") == ""


def test_interval_bar_places_its_marks() -> None:
    svg = fromstring(interval_bar(0.5, 0.4, 0.6, 0.1, None))
    whisker, chance = svg.iter("line")
    assert (whisker.attrib["x1"], whisker.attrib["x2"]) == ("48.0", "72.0")
    assert (chance.attrib["class"], chance.attrib["x1"]) == ("chance", "12.0")
    assert [bar.attrib["width"] for bar in svg.iter("rect")] == ["120", "60.0"]


def test_a_distribution_keeps_its_order_and_its_scale() -> None:
    svg = fromstring(distribution([2, 0, 4], 20.0, "ms", "segments"))
    bars = [(float(bar.attrib["x"]), float(bar.attrib["height"])) for bar in svg.iter("rect")]
    heights = [height for _, height in bars]
    assert heights == pytest.approx([0, heights[3] / 2, 0, heights[3]], abs=0.1)  # nothing below 20 ms
    assert "80" in texts(svg)  # the last bar ends there
    assert distribution([0, 0], 20.0, "ms", "segments") == ""
