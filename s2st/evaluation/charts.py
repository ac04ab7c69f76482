"""Small charts as inline SVG: training curves, unit usage, shares side by side, a score with its interval.

Series have the classes s0, s1, ..., which the page's style sheet colours in both themes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from s2st.evaluation.svg import canvas, draw_line, draw_text, markup

WIDTH, HEIGHT = 560, 260  # units of the viewBox; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 14, 40  # margins for ticks and labels
NUM_COLOURS = 4  # series beyond these repeat colours, with another dash
MAX_POINTS = 400  # of a line: more cannot be seen at this width
MAX_BARS = 250  # of a histogram


@dataclass(frozen=True)
class Series:
    """One line of a chart."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise ValueError(f"series '{self.name}' has {len(self.steps)} steps but {len(self.values)} values")


@dataclass(frozen=True)
class _Plane:
    """Maps data to the drawing."""

    first: float  # x at the left edge
    last: float  # x at the right edge
    y_ticks: list[float]

    @property
    def x_ticks(self) -> list[float]:
        return [tick for tick in ticks(self.first, self.last) if self.first <= tick <= self.last]

    def x(self, value: float) -> float:
        share = (value - self.first) / (self.last - self.first or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)


def line_chart(series: Sequence[Series], x_label: str = "step", y_label: str = "loss") -> str:
    """Draw lines over common axes, with a legend if there are several; infinite values are left out."""
    drawn = [_finite(line) for line in series]
    xs = [x for points in drawn for x, _ in points]
    ys = [y for points in drawn for _, y in points]
    if not xs:
        return ""
    plane = _Plane(min(0, *xs), max(xs), ticks(min(ys), max(ys)))
    names = ", ".join(line.name for line in series)
    svg = canvas(f"{y_label} by {x_label}: {names}", WIDTH, HEIGHT)
    _draw_axes(svg, plane, x_label, y_label)
    for i, points in enumerate(drawn):
        path = " ".join(f"{plane.x(x)},{plane.y(y)}" for x, y in _thin(points))
        SubElement(svg, "polyline", {"class": _series_class(i), "points": path})
        if len(points) == 1:  # which no line shows
            _draw_dot(svg, i, plane.x(points[0][0]), plane.y(points[0][1]))
    if len(series) > 1:
        _draw_legend(svg, [line.name for line in series])
    return markup(svg)


def comparison(names: Sequence[str], series: Sequence[Series], x_label: str, y_label: str) -> str:
    """Draw shares, from 0 to 1, of things that have names: step i of a series is of names[i]. The legend is above."""
    plane = _Plane(-0.5, len(names) - 0.5, ticks(0, 1))
    svg = canvas(f"{y_label} by {x_label}: {', '.join(line.name for line in series)}", WIDTH, HEIGHT)
    _draw_axes(svg, plane, x_label, y_label, names)
    width = (WIDTH - LEFT - RIGHT) / max(1, len(series))
    for i, line in enumerate(series):
        points = [(plane.x(x), plane.y(y)) for x, y in _finite(line)]
        path = " ".join(f"{x},{y}" for x, y in points)
        SubElement(svg, "polyline", {"class": _series_class(i), "points": path})
        for x, y in points:
            _draw_dot(svg, i, x, y)
        left = LEFT + i * width
        draw_line(svg, _series_class(i), left, 6, left + 24, 6)
        draw_text(svg, line.name, left + 30, 10, "start")
    return markup(svg)


def histogram(counts: Sequence[int], x_label: str, y_label: str) -> str:
    """Draw counts as bars, most frequent first; where there are many, a bar is the mean of neighbours."""
    ordered = sorted(counts, reverse=True)
    if not ordered or ordered[0] == 0:
        return ""
    return _bars(ordered, len(ordered), x_label, y_label)


def distribution(counts: Sequence[int], bar_width: float, x_label: str, y_label: str) -> str:
    """Draw counts as bars in their order, `bar_width` of the x axis each; the first stands on `bar_width`."""
    if not any(counts):
        return ""
    return _bars([0, *counts], (len(counts) + 1) * bar_width, x_label, y_label)


def _bars(counts: Sequence[int], last: float, x_label: str, y_label: str) -> str:
    """Draw bars side by side from 0 to `last`."""
    plane = _Plane(0, last, ticks(0, max(counts)))
    svg = canvas(f"{y_label} by {x_label}", WIDTH, HEIGHT)
    _draw_axes(svg, plane, x_label, y_label)
    group, width = math.ceil(len(counts) / MAX_BARS), last / len(counts)
    for start in range(0, len(counts), group):
        bar = counts[start : start + group]
        x, y, right = plane.x(start * width), plane.y(sum(bar) / len(bar)), plane.x((start + len(bar)) * width)
        size = {"width": f"{max(0.85 * (right - x), 1.8):.1f}", "height": f"{plane.y(0) - y:.1f}"}
        SubElement(svg, "rect", {"class": "bar", "x": str(x), "y": str(y), **size})
    return markup(svg)


def interval_bar(value: float, low: float, high: float, chance: float | None, ceiling: float | None) -> str:
    """Draw a share between 0 and 1 as a bar with its interval; chance (dotted) and ceiling are marks."""
    svg = Element("svg", {"viewBox": "0 0 120 16", "class": "interval", "aria-hidden": "true"})
    SubElement(svg, "rect", {"class": "track", "x": "0", "y": "5", "width": "120", "height": "6"})
    SubElement(svg, "rect", {"class": "bar", "x": "0", "y": "5", "width": f"{120 * value:.1f}", "height": "6"})
    draw_line(svg, "whisker", 120 * low, 8, 120 * high, 8)
    for kind, mark in (("chance", chance), ("ceiling", ceiling)):
        if mark is not None:
            draw_line(svg, kind, 120 * mark, 1, 120 * mark, 15)
    return markup(svg)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Choose about `count` round numbers, evenly spaced, that reach from `low` or less to `high` or more."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = magnitude * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(factor * magnitude - rough))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _finite(line: Series) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(line.steps, line.values, strict=True) if math.isfinite(x) and math.isfinite(y)]


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Average neighbours where there are more points than can be seen."""
    group = math.ceil(len(points) / MAX_POINTS)
    groups = [points[i : i + group] for i in range(0, len(points), max(group, 1))]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def _draw_axes(svg: Element, plane: _Plane, x_label: str, y_label: str, names: Sequence[str] = ()) -> None:
    """Draw ticks and labels; `names` stand at 0, 1, ... of the x axis instead of numbers."""
    for tick in plane.y_ticks:
        draw_line(svg, "grid", LEFT, plane.y(tick), WIDTH - RIGHT, plane.y(tick))
        draw_text(svg, _short(tick), LEFT - 7, plane.y(tick) + 4, "end")
    for tick, text in enumerate(names) if names else [(tick, _short(tick)) for tick in plane.x_ticks]:
        draw_text(svg, text, plane.x(tick), HEIGHT - BOTTOM + 16, "middle")
    draw_line(svg, "axis", LEFT, plane.y(plane.y_ticks[0]), WIDTH - RIGHT, plane.y(plane.y_ticks[0]))
    draw_text(svg, x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "middle")
    label = draw_text(svg, y_label, 0, 0, "middle")
    label.set("transform", f"translate(11 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)")


def _draw_dot(svg: Element, i: int, x: float, y: float) -> None:
    SubElement(svg, "circle", {"class": f"dot s{i % NUM_COLOURS}", "cx": str(x), "cy": str(y), "r": "3.5"})


def _short(tick: float) -> str:
    """2,500, but 10k and 1.5M: longer numbers would run into the axis' label."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(tick) >= max(size, 1e4):
            return f"{tick / size:,g}{letter}"
    return f"{tick:,g}"


def _draw_legend(svg: Element, names: list[str]) -> None:
    for i, name in enumerate(names):
        y = TOP + 10 + 17 * i
        draw_line(svg, _series_class(i), WIDTH - RIGHT - 30, y - 4, WIDTH - RIGHT - 6, y - 4)
        draw_text(svg, name, WIDTH - RIGHT - 36, y, "end")


def _series_class(i: int) -> str:
    return f"line s{i % NUM_COLOURS}" + (" dashed" if i >= NUM_COLOURS or i % 2 else "")
