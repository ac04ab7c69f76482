"""The page for those who use a keyboard, a screen reader, a phone, the dark, or little motion."""

import json
import re

import pytest

from tests.browser import CONTRASTS, SMALLEST_CONTRAST

expect = pytest.importorskip("playwright.sync_api").expect

SMALLEST_TARGET = 44  # CSS pixels: WCAG 2.2, 2.5.5, level AAA
ROLES_WITH_NAMES = {"button", "combobox", "link", "slider", "switch", "textbox", "DisclosureTriangle", "form", "region"}


def translate(page, path):
    page.set_input_files("#file", path)
    page.get_by_role("button", name="Translate").click()
    expect(page.locator("body")).to_have_attribute("data-state", "done")


def talk_a_little(page):
    page.get_by_role("switch", name="Live").check()
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#answers li").first).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("body")).to_have_attribute("data-state", "done")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_is_readable(open_page, speech, scheme):
    page = open_page(color_scheme=scheme)
    found = page.evaluate(CONTRASTS)
    page.get_by_role("button", name="Translate").click()  # without a source: an error
    expect(page.get_by_role("alert")).to_be_visible()
    found += page.evaluate(CONTRASTS)
    translate(page, speech)
    found += page.evaluate(CONTRASTS)
    assert len(found) > 40
    assert [text for contrast, text in found if contrast < SMALLEST_CONTRAST] == []


def test_the_dark_page_is_dark_and_so_are_its_pictures(open_page, speech, wait_until):
    page = open_page(color_scheme="dark")
    translate(page, speech)
    corner = """id => {
        const canvas = document.querySelector("#source .spectrogram");
        return [...canvas.getContext("2d").getImageData(0, 0, 1, 1).data].slice(0, 3);
    }"""
    assert max(page.evaluate(corner)) < 80
    page.emulate_media(color_scheme="light")
    wait_until(page, f"Math.min(...({corner})()) > 150")


def test_everything_has_a_name(open_page, speech):
    page = open_page()
    translate(page, speech)
    talk_a_little(page)
    page.get_by_role("switch", name="Live").uncheck()
    page.locator("#answers, #key-form").evaluate_all("elements => elements.forEach(e => (e.hidden = false))")
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in tree if not node["ignored"] and node["role"]["value"] in ROLES_WITH_NAMES]
    assert {node["role"]["value"] for node in seen} >= ROLES_WITH_NAMES
    assert [node["role"]["value"] for node in seen if not node.get("name", {}).get("value")] == []
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => one.tagName)")
    assert levels[0] == "H1"
    assert set(levels[1:]) == {"H2"}
    assert page.locator("html").get_attribute("lang") == "en"


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.ariaLabel")


def press_tab(page):
    page.keyboard.press("Tab")
    width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
    assert width >= 2, f"no one sees that {focused(page)} has the focus"
    return focused(page)


def test_the_keyboard_is_enough(open_page, stand_in, speech):
    page = open_page()
    page.on("filechooser", lambda chooser: chooser.set_files(speech))
    expect(page.locator("select[name=to] option")).to_have_count(1)
    reached = [press_tab(page) for _ in range(6)]
    assert reached == ["model", "from", "to", "voice", "record", "choose"]
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).to_have_text("speech.wav")
    assert [press_tab(page) for _ in range(2)] == ["live", "translate"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Translated.")
    assert focused(page) == "translate"
    reached = [press_tab(page) for _ in range(6)]
    assert reached[0] == "Play the source"
    assert reached[1] == "Position in the source"
    assert reached[3] == "Play the translation"

    slider = page.get_by_role("slider", name="Position in the translation")
    assert [press_tab(page), reached[5]].count("Position in the translation") == 1
    slider.focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    text = slider.get_attribute("aria-valuetext")
    assert re.fullmatch(r"0\.12 of 1\.00 seconds, unit \d+, 0\.\d\d to 0\.\d\d s", text)
    assert page.locator("#translation .reading").inner_text() in text
    page.keyboard.press("Space")
    expect(page.locator("#translation")).to_have_class(re.compile("playing"))


def test_recording_by_keyboard(open_page):
    page = open_page()
    page.locator("#record").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#source .waveform")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.locator("#chosen")).to_have_text("recording.wav")
    assert focused(page) == "record"


@pytest.mark.parametrize("width", [320, 360])
def test_a_phone_shows_all_of_it_with_targets_for_thumbs(open_page, stand_in, speech, width):
    speech = speech.rename(speech.with_name(f"{'a_very_long_name_' * 6}.wav"))
    page = open_page(viewport={"width": width, "height": 640}, has_touch=True, is_mobile=True)
    translate(page, speech)
    page.get_by_text("units").first.click()
    check_narrow(page, width)
    talk_a_little(page)
    check_narrow(page, width)


def check_narrow(page, width):
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    targets = page.locator("button:visible, select:visible, summary:visible, .switch:visible, a:visible")
    sizes = targets.evaluate_all("all => all.map(one => [one.offsetHeight, one.offsetWidth, one.outerHTML])")
    assert len(sizes) > 5
    assert [html for height, breadth, html in sizes if min(height, breadth) < SMALLEST_TARGET] == []


def test_units_are_told_under_the_pointer_and_a_click_goes_there(open_page, stand_in, speech):
    page = open_page()
    translate(page, speech)
    box = page.locator("#source .strip").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    reading = page.locator("#source .reading")
    units = json.loads("[" + page.locator("#source .list").text_content().replace(" ", ",") + "]")
    unit, start, end = re.fullmatch(r"unit (\d+), (\S+) to (\S+) s", reading.inner_text()).groups()
    assert int(unit) in units
    assert float(start) <= 0.5 <= float(end)
    page.mouse.down()
    page.mouse.up()
    assert float(page.get_by_role("slider", name="Position in the source").input_value()) == pytest.approx(
        0.5, abs=0.02
    )


def test_little_motion_means_none(open_page, wait_until):
    page = open_page(reduced_motion="reduce")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("status")).to_have_text("Recording.")
    assert page.evaluate("document.getAnimations().length") == 0
    page.emulate_media(reduced_motion="no-preference")
    wait_until(page, "document.getAnimations().length === 1")
