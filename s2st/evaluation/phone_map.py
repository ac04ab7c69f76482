"""Which phones hide behind each unit: P(phone | unit) as a map, a column a unit, a row a phone.

Phones stand in the order of their frequency, units beside those of the same likeliest phone: good units draw a stair,
and a column with several cells is a unit that mixes phones up.
"""

from collections import Counter
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement

from s2st.evaluation.svg import canvas, draw_text, hint, markup

WIDTH, ROW = 560, 13  # units of the viewBox; ROW of each phone
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 22, 22
LEVELS = (0.05, 0.2, 0.4, 0.6, 0.8)  # least probability of each shade, the classes p1, p2, ...; below the first: none
NAMED = 3  # phones that are told under the pointer

Counts = Mapping[int, Mapping[str, int]]  # unit -> phone -> frames


def sort_units(counts: Counts) -> tuple[list[str], list[int]]:
    """Order phones by their frequency, and units by their likeliest phone and how sure that is."""
    totals: Counter[str] = Counter()
    for of_phones in counts.values():
        totals.update(of_phones)
    phones = [phone for phone, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0]))]
    places = {phone: place for place, phone in enumerate(phones)}

    def order(unit: int) -> tuple[int, float, int]:
        likeliest, share = _likeliest(counts[unit])[0]
        return places[likeliest], -share, unit

    return phones, sorted(counts, key=order)


def phone_map(counts: Counts, name: str) -> str:
    """Draw the map of the frames of each unit and phone; nothing where there are none."""
    if not counts:
        return ""
    phones, units = sort_units(counts)
    height = TOP + ROW * len(phones) + BOTTOM
    svg = canvas(f"{name}: phones of {len(units)} units, sorted by their likeliest phone", WIDTH, height, "map")
    _draw_key(svg)
    width = (WIDTH - LEFT - RIGHT) / len(units)
    frame = {"x": str(LEFT), "y": str(TOP), "width": str(WIDTH - LEFT - RIGHT), "height": str(ROW * len(phones))}
    SubElement(svg, "rect", {"class": "frame", **frame})
    cells = SubElement(svg, "g", {"transform": f"translate({LEFT} {TOP}) scale({width:.4f} {ROW})"})
    for level, path in _cells(counts, phones, units).items():
        SubElement(cells, "path", {"class": f"p{level}", "d": path})
    for row, phone in enumerate(phones):
        draw_text(svg, phone, LEFT - 5, TOP + ROW * (row + 0.8), "end")
    for column, unit in enumerate(units):
        place = {"x": f"{LEFT + column * width:.1f}", "width": f"{width:.2f}"}
        area = SubElement(svg, "rect", {"class": "over", "y": str(TOP), "height": str(ROW * len(phones)), **place})
        told = ", ".join(f"{phone} {100 * share:.0f} %" for phone, share in _likeliest(counts[unit])[:NAMED])
        hint(area, f"unit {unit}: {told}; {sum(counts[unit].values()):,} frames")
    draw_text(svg, "units, sorted by their likeliest phone", (LEFT + WIDTH - RIGHT) / 2, height - 7, "middle")
    return markup(svg)


def _likeliest(of_phones: Mapping[str, int]) -> list[tuple[str, float]]:
    """Phones of one unit with their shares, the likeliest first."""
    total = sum(of_phones.values())
    return [(phone, n / total) for phone, n in sorted(of_phones.items(), key=lambda item: (-item[1], item[0]))]


def _cells(counts: Counts, phones: list[str], units: list[int]) -> dict[int, str]:
    """Make a path of unit squares for each shade: one element a cell would be some megabytes of many units."""
    paths = dict.fromkeys(range(1, len(LEVELS) + 1), "")
    places = {phone: place for place, phone in enumerate(phones)}
    for column, unit in enumerate(units):
        for phone, share in _likeliest(counts[unit]):
            if level := sum(share >= least for least in LEVELS):
                paths[level] += f"M{column} {places[phone]}h1v1h-1z"
    return paths


def _draw_key(svg: Element) -> None:
    """Tell what the shades mean, above the map."""
    ends = [*LEVELS[1:], 1.0]
    for i, (low, high) in enumerate(zip(LEVELS, ends, strict=True)):
        x = LEFT + 96 * i
        SubElement(svg, "rect", {"class": f"p{i + 1}", "x": str(x), "y": "4", "width": "12", "height": "12"})
        draw_text(svg, f"{100 * low:.0f} to {100 * high:.0f} %", x + 17, 14, "start")
