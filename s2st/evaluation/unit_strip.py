"""Units over time: a block for each segment, as wide as it lasts, in a colour that tells units apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import SubElement

from s2st.evaluation.svg import canvas, hint, markup

WIDTH, HEIGHT = 600, 14  # units of the viewBox, of the longest strip
GOLDEN_ANGLE = 137.508  # degrees: hues of neighbouring numbers lie far apart


@dataclass(frozen=True)
class UnitTimes:
    """Reduced units and how long each lasts."""

    units: Sequence[int]
    durations: Sequence[int]  # frames
    frame_ms: float

    def __post_init__(self) -> None:
        if len(self.units) != len(self.durations):
            raise ValueError(f"{len(self.units)} units but {len(self.durations)} durations; give one for each")

    @property
    def seconds(self) -> float:
        """Length of all of them."""
        return sum(self.durations) * self.frame_ms / 1000


def unit_strip(times: UnitTimes, longest: float, name: str) -> str:
    """Draw units as blocks whose hue is `--h`, in degrees; strips of one `longest`, in seconds, share a scale."""
    if not times.units:
        return ""
    scale = WIDTH * times.frame_ms / 1000 / longest
    svg = canvas(f"{name}: {len(times.units)} units in {times.seconds:.2f} s", WIDTH, HEIGHT, "strip")
    svg.set("preserveAspectRatio", "none")
    start = 0
    for unit, duration in zip(times.units, times.durations, strict=True):
        place = {"x": f"{start * scale:.1f}", "width": f"{duration * scale:.1f}", "height": str(HEIGHT)}
        block = SubElement(svg, "rect", {**place, "style": f"--h:{unit * GOLDEN_ANGLE % 360:.0f}"})
        seconds = [frames * times.frame_ms / 1000 for frames in (start, start + duration)]
        hint(block, f"unit {unit}, {seconds[0]:.2f} to {seconds[1]:.2f} s")
        start += duration
    return markup(svg)
