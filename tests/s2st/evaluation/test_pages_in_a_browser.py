"""The report and the comparison in a real browser: offline, in both schemes, on a phone and by keyboard."""

import itertools

import pytest

from s2st.evaluation import comparison, report
from tests.browser import (
    CONTRASTS,
    PICTURE_CONTRASTS,
    SMALLEST_CONTRAST,
    SMALLEST_CONTRAST_OF_PICTURES,
    chromium,
)
from tests.s2st.evaluation.example_report import full_report
from tests.s2st.evaluation.test_comparison import two_runs

PATIENCE_MS = 30_000
NUM_SOUNDS = {"report": 9, "comparison": 4}
DRAWN = "polyline, svg .bar, .whisker, .ceiling, .chance, .p5, .strip rect"


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The addresses of a report and of a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "report.html").write_text(report.render(full_report()), encoding="utf-8")
    (folder / "comparison.html").write_text(comparison.render(two_runs()), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in NUM_SOUNDS}


@pytest.fixture(params=sorted(NUM_SOUNDS))
def open_page(browser, pages, request):
    """A function that opens one of the pages; in the end none may have met an error or asked for another file."""
    faults, contexts = [], []

    def check(asked):
        if not asked.url.startswith((pages[request.param], "data:")):
            faults.append(f"asked for {asked.url}")

    def open_one(**options):
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", check)
        page.goto(pages[request.param])
        return page

    open_one.name = request.param
    yield open_one
    for context in contexts:
        context.close()
    assert not faults


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_and_all_charts_can_be_seen(open_page, scheme):
    page = open_page(color_scheme=scheme)
    texts = page.evaluate(CONTRASTS)
    assert len(texts) > 100
    assert [text for contrast, text in texts if contrast < SMALLEST_CONTRAST] == []
    drawn = page.evaluate(PICTURE_CONTRASTS, DRAWN)
    assert len(drawn) > 15
    assert [element for contrast, element in drawn if contrast < SMALLEST_CONTRAST_OF_PICTURES] == []
    is_dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] < 100")
    assert is_dark == (scheme == "dark")


@pytest.mark.parametrize("width", [320, 360, 1280])
def test_only_tables_and_maps_scroll_sideways(open_page, width):
    page = open_page(viewport={"width": width, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.locator("svg.chart, svg.strip, svg.map").evaluate_all("all => all.map(e => e.getBoundingClientRect())")
    assert len(boxes) > 3
    assert min(box["width"] for box in boxes) > 50
    assert min(box["height"] for box in boxes) > 8
    captions = page.locator("caption div").evaluate_all("all => all.map(e => e.getBoundingClientRect().right)")
    assert max(captions) <= width  # they are read without scrolling


def test_every_sound_plays(open_page):
    page = open_page()
    seconds = """all => Promise.all(all.map(sound => new Promise((done, failed) => {
        if (sound.readyState >= 1) done(sound.duration);
        sound.onloadedmetadata = () => done(sound.duration);
        sound.onerror = () => failed(sound.error.message);
    })))"""
    assert page.locator("audio").evaluate_all(seconds) == [0.25] * NUM_SOUNDS[open_page.name]
    assert "" not in page.locator("audio").evaluate_all("all => all.map(sound => sound.ariaLabel)")


def test_all_that_scrolls_or_plays_is_reached_by_keyboard(open_page):
    page = open_page(viewport={"width": 360, "height": 640})
    wanted = page.locator("audio, .scroll, .wide").count()
    reached = set()
    for _ in range(20 * wanted):  # a player is many stops
        page.keyboard.press("Tab")
        kind, name, width = page.evaluate(
            "(e => [e.tagName, e.ariaLabel, parseFloat(getComputedStyle(e).outlineWidth)])(document.activeElement)"
        )
        if kind == "BODY":
            break
        assert width >= 2, f"no one sees that {name} has the focus"
        reached.add((kind, name))
    names = page.locator("audio, .scroll, .wide").evaluate_all("all => all.map(e => [e.tagName, e.ariaLabel])")
    assert reached == set(map(tuple, names))


def test_everything_has_a_name_and_headings_are_in_order(open_page):
    page = open_page()
    roles = {"image", "region", "table", "Audio"}
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in tree if not node["ignored"] and node["role"]["value"] in roles]
    assert len(seen) > 10
    assert [node["role"]["value"] for node in seen if not node.get("name", {}).get("value")] == []
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert 1 not in levels[1:]


def test_units_are_told_under_the_pointer(open_page):
    page = open_page()
    first = page.locator(".strip rect").first
    assert first.locator("title").text_content() == "unit 7, 0.00 to 0.10 s"
    blocks = page.locator(".strip").first.locator("rect")
    assert blocks.evaluate_all("all => new Set(all.map(e => getComputedStyle(e).fill)).size") == 2
