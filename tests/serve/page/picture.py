"""Take the picture of the page that the README shows, of a server that runs:

python -m tests.serve.page.picture http://127.0.0.1:8000 in.wav hi
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import launch

PICTURE = Path("docs/page.png")
SIZE = {"width": 1120, "height": 900}
COLOURS = 256  # fewer bytes, and the eye sees no difference


def main(address: str, recording: str, to: str) -> None:
    """Translate a recording to a language on the page, and write what is seen."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.locator("select[name=to]").select_option(to)
        page.set_input_files("#file", recording)
        page.get_by_role("button", name="Translate").click()
        page.locator("body[data-state=done]").wait_for()
        shot = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        browser.close()
    shot.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size >> 10} KB")


if __name__ == "__main__":
    main(*sys.argv[1:])
