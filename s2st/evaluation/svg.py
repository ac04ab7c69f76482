"""Pieces of inline SVG. Nothing has a colour of its own: the page's style sheet gives it, by class, in both themes."""

from xml.etree.ElementTree import Element, SubElement, tostring


def canvas(description: str, width: float, height: float, kind: str = "chart") -> Element:
    """Begin a picture that the page scales; `description` is what a screen reader says of it."""
    svg = Element("svg", {"viewBox": f"0 0 {width:g} {height:g}", "class": kind, "role": "img"})
    SubElement(svg, "title").text = description
    return svg


def draw_line(svg: Element, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
    """Draw a line of the class `kind`."""
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    SubElement(svg, "line", {"class": kind, **ends})


def draw_text(svg: Element, words: str, x: float, y: float, anchor: str) -> Element:
    """Write words; `anchor` says which end of them, or "middle", stands at x."""
    element = SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
    element.text = words
    return element


def hint(element: Element, words: str) -> None:
    """Give an element words that are shown under the pointer."""
    SubElement(element, "title").text = words


def markup(svg: Element) -> str:
    """Write a picture as text."""
    return tostring(svg, encoding="unicode")
