"""The page in a real browser, before a stand-in of the server."""

import numpy as np
import pytest

from s2st import audio
from tests import browser
from tests.serve.page.stand_in import StandIn

MICROPHONE_HZ = 1_000  # of the tone that the microphone hears
PATIENCE_MS = 30_000  # for what takes some milliseconds on a machine with nothing else to do
# The browser's own notes of answers that are no success; the tests look at what the page makes of those.
ALLOWED_ERRORS = ("Failed to load resource", "WebSocket connection to")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless Chromium whose microphone hears a tone."""
    heard = tmp_path_factory.mktemp("microphone") / "tone.wav"
    time = np.arange(audio.SAMPLE_RATE) / audio.SAMPLE_RATE
    heard.write_bytes(audio.encode(0.5 * np.sin(2 * np.pi * MICROPHONE_HZ * time), "WAV"))
    with browser.chromium(
        *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
        f"--use-file-for-fake-audio-capture={heard}",
    ) as started:
        pytest.importorskip("playwright.sync_api").expect.set_options(timeout=PATIENCE_MS)
        yield started


@pytest.fixture(scope="module")
def running(chromium):
    """A stand-in of the server; there is none without a browser."""
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def stand_in(running):
    """What the stand-in does and saw, fresh for each test."""
    running.state.reset()
    return running.state


@pytest.fixture
def open_page(chromium, running, stand_in):
    """A function that opens the page; in the end no page may have met an error or asked another host."""
    contexts, addresses, faults = [], [], []

    def note(message):
        if message.type == "error" and not message.text.startswith(ALLOWED_ERRORS):
            faults.append(message.text)

    def check(request):
        if not request.url.startswith((*addresses, "blob:")):
            faults.append(f"asked for {request.url}")

    def open_one(script=None, address=running.address, **options):
        addresses.append(address)
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", check)
        if script:
            page.add_init_script(script)
        with page.expect_response("**/v1/models"):
            page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def speech(tone, tmp_path):
    """A file of a second of sound."""
    path = tmp_path / "speech.wav"
    path.write_bytes(audio.encode(tone, "WAV"))
    return path


@pytest.fixture(scope="session")
def wait_until():
    """A function that waits until JavaScript gives true: Playwright's own would need a weaker policy of the page."""

    def wait(page, script):
        for _ in range(PATIENCE_MS // 50):
            if page.evaluate(script):
                return
            page.wait_for_timeout(50)
        raise AssertionError(f"never: {script}")

    return wait
