"""The headless Chromium that pages are looked at with, and what is looked for."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

SMALLEST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3, level AA

SMALLEST_CONTRAST_OF_PICTURES = 3  # 1.4.11, level AA

CONTRAST = """
    const light = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
    const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const back = (element) => {
        const colour = channels(getComputedStyle(element).backgroundColor);
        return colour[3] === 0 ? back(element.parentElement) : colour;
    };
    const contrast = (colour, element) => {
        const [low, high] = [luminance(channels(colour)), luminance(back(element))].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
"""
# Contrast of all text that is seen: the colour of the text on the first background under it that is opaque.
CONTRASTS = f"""() => {{
    {CONTRAST}
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) {{
        const element = texts.currentNode.parentElement;
        const text = texts.currentNode.data.trim();
        if (!text || !element.checkVisibility() || element.closest(":disabled, option, [aria-disabled=true]")) continue;
        const style = getComputedStyle(element);
        found.push([contrast(element instanceof SVGElement ? style.fill : style.color, element), text]);
    }}
    return found;
}}"""
# The same of what is drawn: lines by their stroke, areas by what fills them.
PICTURE_CONTRASTS = f"""(selector) => {{
    {CONTRAST}
    return [...document.querySelectorAll(selector)].map((element) => {{
        const {{stroke, fill}} = getComputedStyle(element);
        return [contrast(fill === "none" || element.tagName === "line" ? stroke : fill, element), element.outerHTML];
    }});
}}"""


def launch(playwright: Any, *options: str) -> Any:
    """Start Chromium; of root it asks to go without its sandbox."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return playwright.chromium.launch(executable_path=CHROMIUM, args=[*options, *["--no-sandbox"] * is_root])


@contextmanager
def chromium(*options: str) -> Iterator[Any]:
    """Run Chromium while a fixture needs it; the tests are skipped, with the reason, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    if CHROMIUM is None:
        pytest.skip("no chromium in the path; install it as in: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = launch(playwright, *options)
        yield browser
        browser.close()
