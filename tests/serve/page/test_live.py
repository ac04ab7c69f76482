"""The microphone streams, and the answers are played in order."""

import re
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from s2st import audio
from tests.serve.page.conftest import MICROPHONE_HZ

expect = pytest.importorskip("playwright.sync_api").expect

# Notes when each sound is started, and keeps the microphone's stream to see whether it is closed.
NOTES = """
    window.started = [];
    const start = AudioBufferSourceNode.prototype.start;
    AudioBufferSourceNode.prototype.start = function (...times) {
        const [first] = this.buffer.getChannelData(0);
        window.started.push({ at: this.context.currentTime, lasts: this.buffer.duration, first });
        start.apply(this, times);
    };
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        window.asked = wanted;
        window.stream = await ask(wanted);
        return window.stream;
    };
"""
MICROPHONE_STATE = "window.stream.getTracks().map(track => track.readyState)"


@pytest.fixture
def talk(open_page):
    """A function that opens the page and starts to talk."""

    def begin():
        page = open_page(NOTES)
        page.get_by_role("switch", name="Live").check()
        page.get_by_role("button", name="Start talking").click()
        return page

    return begin


def test_answers_come_and_are_played_in_order(talk, stand_in, wait_until):
    page = talk()
    sentences = page.locator("#answers li")
    expect(sentences.nth(1)).to_be_visible()
    assert page.evaluate("window.asked.audio.echoCancellation")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_have_text(re.compile(r"^\d+ sentences\.$"))
    heard = stand_in.requests[0]["waveform"]
    count = int(2 * len(heard) / audio.SAMPLE_RATE)
    expect(page.get_by_role("status")).to_have_text(f"{count} sentences.")
    expect(sentences).to_have_count(count)
    assert sentences.locator("span:not(:empty)").all_inner_texts()[:2] == ["0.0 to 0.5 s", "0.5 to 1.0 s"]
    assert stand_in.requests[0]["query"] == {"model": "demo", "from": "en", "to": "hi", "voice": "female"}
    spectrum = np.abs(np.fft.rfft(heard[-8_000:] * np.hanning(8_000)))
    assert spectrum.argmax() * 2 == pytest.approx(MICROPHONE_HZ, abs=10)

    wait_until(page, f"window.started.length === {count}")
    started = page.evaluate("window.started")
    for before, after in pairwise(started):
        assert after["at"] >= before["at"] + before["lasts"] - 0.02
    assert page.evaluate(MICROPHONE_STATE) == ["ended"]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    joined, _ = soundfile.read(download.value.path(), dtype="float32")
    assert len(joined) == count * audio.SAMPLE_RATE // 2
    np.testing.assert_allclose(joined[:8_000], heard[:8_000][::-1], atol=1e-3)


def test_a_sentence_can_be_heard_again(talk, stand_in, wait_until):
    page = talk()
    expect(page.locator("#answers li").first).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("status")).to_contain_text("sentence")
    wait_until(page, "document.querySelectorAll('#answers li').length === window.started.length")
    count = page.evaluate("window.started.length")
    page.get_by_role("button", name="Play sentence 1").click()
    wait_until(page, f"window.started.length === {count + 1}")
    assert page.evaluate("window.started.at(-1).first") == page.evaluate("window.started[0].first")


@pytest.mark.parametrize(
    ("error", "told"),
    [("the model stopped", "The model stopped."), ("", "The connection to the server was lost.")],
)
def test_errors_are_one_sentence_and_close_the_microphone(talk, stand_in, error, told):
    stand_in.live_error = error
    page = talk()
    expect(page.get_by_role("alert")).to_have_text(told)
    expect(page.get_by_role("button", name="Start talking")).to_be_enabled()
    assert page.evaluate(MICROPHONE_STATE) == ["ended"]


def test_cancel_closes_the_microphone_and_is_silent(talk, stand_in):
    page = talk()
    expect(page.locator("#answers li").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled.")
    expect(page.get_by_role("button", name="Start talking")).to_be_focused()
    assert page.evaluate(MICROPHONE_STATE) == ["ended"]


def test_the_key_goes_with_the_websocket(open_page, stand_in):
    stand_in.key = "open-sesame"
    page = open_page()
    page.get_by_label("API key").fill(stand_in.key)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("switch", name="Live").check()
    page.get_by_role("button", name="Start talking").click()
    expect(page.locator("#answers li").first).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("body")).to_have_attribute("data-state", "done")


def test_a_refused_connection_asks_for_the_key_again(talk, stand_in):
    page = talk()
    page.get_by_role("button", name="Cancel").click()
    stand_in.key = "changed"
    page.get_by_role("button", name="Start talking").click()
    expect(page.get_by_label("API key")).to_be_focused()
