"""Choosing, dropping and recording speech, its translation, and what can go wrong."""

import io
import re

import numpy as np
import pytest
import soundfile
from fastapi.responses import JSONResponse

from s2st import audio
from tests.serve.page import stand_in as server
from tests.serve.page.conftest import MICROPHONE_HZ

expect = pytest.importorskip("playwright.sync_api").expect


def choice(page, name):
    return page.get_by_role("combobox", name=name, exact=True)


def translate(page, path):
    page.set_input_files("#file", path)
    page.get_by_role("button", name="Translate").click()
    expect(page.locator("body")).to_have_attribute("data-state", "done")


def painted(page, canvas):
    """Number of colours on a canvas."""
    return page.locator(canvas).evaluate(
        """canvas => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


def test_a_file_is_translated_and_both_sides_are_seen(open_page, stand_in, speech):
    page = open_page()
    choice(page, "To").select_option("hi")
    choice(page, "Voice").select_option("male")
    translate(page, speech)
    request = stand_in.requests.pop()
    assert request["query"] == {"model": "demo", "from": "en", "to": "hi", "voice": "male"}
    assert request["name"] == "speech.wav"
    np.testing.assert_array_equal(request["waveform"], audio.decode(speech.read_bytes()))
    for side, waveform in (("source", request["waveform"]), ("translation", request["waveform"][::-1])):
        units, _ = server.units_of(waveform)
        assert page.locator(f"#{side} summary").inner_text() == f"{len(units)} units"
        assert page.locator(f"#{side} .list").text_content() == " ".join(map(str, units))
        assert painted(page, f"#{side} .strip") > 2
        assert painted(page, f"#{side} .waveform") > 1
        assert painted(page, f"#{side} .spectrogram") > 100
    timings = page.locator("#timings").inner_text()
    assert "0.28 s for 1.0 s of speech" in timings
    assert re.findall(r"\d[.\d]* ms", timings) == ["4.0 ms", "120 ms", "90 ms", "50 ms", "16 ms", "280 ms"]


def test_both_sides_play_to_their_end(open_page, speech):
    page = open_page()
    translate(page, speech)
    for side in ("source", "translation"):
        page.get_by_role("button", name=f"Play the {side}").click()
        expect(page.locator(f"#{side}")).to_have_class(re.compile("playing"))
    for side in ("source", "translation"):
        expect(page.locator(f"#{side}")).not_to_have_class(re.compile("playing"))


def test_the_translation_can_be_downloaded(open_page, stand_in, speech, tone):
    page = open_page()
    translate(page, speech)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "speech.hi.wav"
    heard, rate = soundfile.read(download.value.path(), dtype="float32")
    assert rate == audio.SAMPLE_RATE
    np.testing.assert_allclose(heard, tone[::-1], atol=1e-4)


def test_a_file_can_be_dropped(open_page, stand_in, speech):
    page = open_page()
    data = page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "dropped.wav"));
            return data;
        }""",
        list(speech.read_bytes()),
    )
    page.dispatch_event("main", "drop", {"dataTransfer": data})
    expect(page.get_by_text("dropped.wav")).to_be_visible()
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("status")).to_have_text("Translated.")
    assert stand_in.requests[0]["name"] == "dropped.wav"


def loudest_hz(waveform):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return spectrum.argmax() * audio.SAMPLE_RATE / len(waveform)


def test_the_microphone_is_recorded(open_page, stand_in):
    page = open_page()
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("status")).to_have_text("Recording.")
    expect(page.locator("#source [data-part=length]")).to_have_text(re.compile(r"0\.[5-9]|[1-9]\."))
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("status")).to_have_text("Translated.")
    heard = stand_in.requests[0]["waveform"]
    assert len(heard) > 0.5 * audio.SAMPLE_RATE
    assert loudest_hz(heard[len(heard) // 4 :]) == pytest.approx(MICROPHONE_HZ, abs=10)


def test_a_recording_ends_at_the_limit_of_the_server(open_page, stand_in, monkeypatch):
    monkeypatch.setitem(server.LIMITS, "seconds", 0.5)
    page = open_page()
    page.get_by_role("button", name="Record").click()
    expect(page.locator("#chosen")).to_have_text("recording.wav")
    assert float(page.locator("#source [data-part=length]").inner_text().removesuffix(" s")) == 0.5
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("status")).to_have_text("Translated.")
    assert len(stand_in.requests[0]["waveform"]) == 0.5 * audio.SAMPLE_RATE


def test_a_recording_and_a_translation_can_be_cancelled(open_page, stand_in, speech):
    page = open_page()
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("status")).to_have_text("Recording.")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled.")
    expect(page.locator("#sides")).to_be_hidden()
    stand_in.seconds = 1.0
    page.set_input_files("#file", speech)
    page.get_by_role("button", name="Translate").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled.")
    expect(page.locator("#translation")).to_contain_text("Nothing yet.")


# The microphone is given when `window.allow` is called; all tracks are kept, to see whether they are closed.
SLOW_MICROPHONE = """
    window.tracks = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    const allowed = new Promise((resolve) => (window.allow = resolve));
    navigator.mediaDevices.getUserMedia = async (wanted) => {
        await allowed;
        const stream = await ask(wanted);
        window.tracks.push(...stream.getTracks());
        return stream;
    };
"""
ALL_CLOSED = "window.tracks.length && window.tracks.every(track => track.readyState === 'ended')"


def test_cancel_while_the_browser_asks_for_the_microphone(open_page, wait_until):
    page = open_page(SLOW_MICROPHONE)
    page.get_by_role("button", name="Record").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_have_text("Cancelled.")
    page.evaluate("window.allow()")
    wait_until(page, ALL_CLOSED)
    expect(page.locator("body")).to_have_attribute("data-state", "idle")
    expect(page.locator("#source")).to_contain_text("Nothing yet.")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("status")).to_have_text("Recording.")


def test_a_page_that_is_half_loaded_closes_the_microphone(open_page, wait_until):
    unloaded = "AudioWorklet.prototype.addModule = async () => { throw new DOMException('no', 'AbortError'); };"
    page = open_page(SLOW_MICROPHONE + unloaded)
    page.evaluate("window.allow()")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_have_text("A part of this page could not be loaded; reload the page.")
    wait_until(page, ALL_CLOSED)


def test_choices_follow_each_other(open_page):
    page = open_page()
    options = page.locator("select[name=to] option")
    expect(options).to_have_text(["Hindi"])
    choice(page, "From").select_option("Hindi")
    expect(options).to_have_text(["English"])
    expect(choice(page, "Voice")).to_be_hidden()
    choice(page, "Model").select_option("sample")
    expect(options).to_have_text(["Spanish", "French"])


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (JSONResponse({"detail": "the audio is silent"}, 415), "The audio is silent."),
        (
            JSONResponse({"detail": "the server is busy"}, 503, headers={"Retry-After": "2"}),
            "The server is busy. Try again in 2 seconds.",
        ),
        (JSONResponse("Request dropped", 503), "The server answers with an error (503)."),
        (JSONResponse({"detail": [{"msg": "Field required"}]}, 422), "The server answers with an error (422)."),
        (JSONResponse({"detail": "<img src=x onerror=alert(1)>"}, 415), "<img src=x onerror=alert(1)>."),
    ],
)
def test_refusals_are_one_sentence_and_the_next_try_works(open_page, stand_in, speech, refusal, told):
    page = open_page()
    stand_in.refusals.append(refusal)
    page.set_input_files("#file", speech)
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("alert")).to_have_text(told)
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("status")).to_have_text("Translated.")
    expect(page.locator("#error")).to_be_empty()


def test_a_key_is_asked_for_and_kept_for_the_tab_only(open_page, stand_in, speech):
    stand_in.key = "open sesame"
    page = open_page()
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("wrong")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This server needs an API key.")
    expect(field).to_be_empty()
    field.fill(stand_in.key)
    field.press("Enter")
    expect(field).to_be_hidden()
    translate(page, speech)
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]


def test_a_file_that_is_too_large_is_not_sent(open_page, stand_in, tmp_path):
    large = tmp_path / "large.wav"
    large.write_bytes(b"x" * (server.LIMITS["bytes"] * 3))
    page = open_page()
    page.set_input_files("#file", large)
    expect(page.get_by_role("alert")).to_have_text("The file has 3 MB; this server takes at most 2 MB.")


def test_a_long_file_comes_back_sentence_by_sentence(open_page, stand_in, tone, tmp_path):
    waveform = np.resize(tone, 40 * audio.SAMPLE_RATE) * np.linspace(0.2, 1, 40 * audio.SAMPLE_RATE)  # 40 s
    (tmp_path / "talk.wav").write_bytes(audio.encode(waveform.astype(np.float32), "WAV"))
    page = open_page()
    translate(page, tmp_path / "talk.wav")
    assert stand_in.requests[0]["query"]["stream"] == "true"
    sentences = page.locator("#answers li span:not(:empty)")
    assert sentences.all_inner_texts() == ["0.0 to 16.0 s", "16.0 to 32.0 s", "32.0 to 48.0 s"]
    expect(page.locator("#translation")).to_be_hidden()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all").click()
    assert download.value.suggested_filename == "talk.hi.wav"
    heard, _ = soundfile.read(download.value.path(), dtype="float32")
    first = 16 * audio.SAMPLE_RATE
    np.testing.assert_allclose(heard[:first], stand_in.requests[0]["waveform"][:first][::-1], atol=1e-3)


def test_an_error_within_a_long_file_keeps_what_came(open_page, tone, tmp_path):
    (tmp_path / "talk.wav").write_bytes(audio.encode(np.resize(tone, 40 * audio.SAMPLE_RATE), "WAV"))
    page = open_page()
    line = '{"index": 0, "start": 0, "end": 1, "units": [1], "durations": [9], "audio": ""}'
    body = f'{line}\n{{"error": "the answer took too long"}}\n'
    page.route("**/v1/translate*", lambda route: route.fulfill(body=body, content_type="application/x-ndjson"))
    page.set_input_files("#file", tmp_path / "talk.wav")
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("alert")).to_have_text("The answer took too long.")
    expect(page.locator("#answers li")).to_have_count(1)


def test_no_source_is_told(open_page):
    page = open_page()
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("alert")).to_have_text("Record something or choose a file first.")


def test_a_server_that_went_away_is_told(open_page, speech):
    page = open_page()
    page.set_input_files("#file", speech)
    page.route("**/v1/translate*", lambda route: route.abort())
    page.get_by_role("button", name="Translate").click()
    expect(page.get_by_role("alert")).to_have_text("The server does not answer; is it still running?")


def test_a_forbidden_microphone_is_told(open_page):
    page = open_page(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }"
    )
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("does not let this page hear the microphone"))
    expect(page.get_by_role("button", name="Record")).to_be_enabled()


def test_formats_that_only_the_server_reads_are_translated_without_a_picture(open_page, stand_in, tone, tmp_path):
    buffer = io.BytesIO()
    soundfile.write(buffer, tone, audio.SAMPLE_RATE, format="AIFF")
    path = tmp_path / "speech.aiff"
    path.write_bytes(buffer.getvalue())
    page = open_page()
    translate(page, path)
    expect(page.get_by_role("button", name="Play the source")).to_be_disabled()
    expect(page.locator("#source .waveform")).to_be_hidden()
    assert painted(page, "#source .strip") > 2


def test_formats_that_only_the_browser_reads_are_sent_as_wav(open_page, stand_in, speech, tone):
    path = speech.rename(speech.with_suffix(".m4a"))
    page = open_page()
    translate(page, path)
    assert stand_in.requests[0]["name"] == "speech.wav"
    np.testing.assert_allclose(stand_in.requests[0]["waveform"], tone, atol=1e-4)


@pytest.mark.parametrize(
    ("answer", "told"),
    [({"finished": False}, "its end is missing"), ({"finished": False, "loops": True}, "repeats itself")],
)
def test_doubts_of_the_server_are_told(open_page, stand_in, speech, answer, told):
    stand_in.answer = answer
    page = open_page()
    translate(page, speech)
    expect(page.get_by_role("status")).to_contain_text(told)


def test_models_without_units_are_shown_by_their_sound(open_page, stand_in, speech):
    stand_in.answer = {
        **{name: [] for name in ("units", "durations", "source_units", "source_durations")},
        "timings": {"decode": 0.01, "translator": 0.2, "total": 0.22},
    }
    page = open_page()
    translate(page, speech)
    expect(page.locator("#translation summary")).to_be_hidden()
    assert painted(page, "#translation .spectrogram") > 100
    expect(page.locator("#timings")).not_to_contain_text("vocoder")
