import base64
import io
import json

import httpx
import numpy as np
import pytest
import soundfile

from benchmarks.hostile import KINDS
from benchmarks.hostile_requests import ask
from s2st import audio
from s2st.audio import num_frames
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.translator import Translator
from serve.settings import model_name


@pytest.fixture(scope="module")
def server(serving, tiny_model):
    """The address of the whole graph."""
    return serving(model=tiny_model, beam="2")


def wav(samples, rate=16_000, format="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


def post(server, data, **query):
    return httpx.post(f"{server}/v1/translate", params=query, files={"file": ("speech.wav", data)}, timeout=60)


def test_speech_goes_round_the_graph(server, tiny_model, tone):
    answer = post(server, wav(tone), to="hi")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav"
    waveform, rate = soundfile.read(io.BytesIO(answer.content))
    assert rate == 16_000
    spoken = np.round(tone * 32_768).astype(np.float32) / 32_768
    alone = Translator.load(tiny_model).translate(spoken, "hi", options=SearchOptions(beam=2))
    np.testing.assert_allclose(waveform, alone.waveform, atol=1e-3)


def test_requests_at_once_share_batches_and_get_their_own_answers(server, tone):
    from concurrent.futures import ThreadPoolExecutor

    sounds = [wav(tone[: 6_000 + 1_000 * i]) for i in range(8)]
    one_by_one = [post(server, sound, to="en").content for sound in sounds]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda sound: post(server, sound, to="en").content, sounds))
    for alone, together in zip(one_by_one, at_once, strict=True):
        expected, _ = soundfile.read(io.BytesIO(alone))
        heard, _ = soundfile.read(io.BytesIO(together))
        np.testing.assert_allclose(heard, expected, atol=1e-3)


def test_stereo_at_another_rate_in_another_format(server, tone):
    stereo = np.stack([np.repeat(tone, 3)] * 2, axis=1)
    assert post(server, wav(stereo, 48_000, "OGG"), to="hi").status_code == 200


@pytest.mark.parametrize(
    ("data", "query", "status", "message"),
    [
        (b"this is no audio", {"to": "hi"}, 415, "cannot be decoded"),
        (b"", {"to": "hi"}, 415, "empty"),
        (wav(np.zeros(16_000)), {"to": "hi"}, 415, "silent"),
        (wav(np.ones(70 * 8_000) * 0.1, 8_000), {"to": "hi"}, 415, "longer than 50 s"),
        (b"x" * (11 << 20), {"to": "hi"}, 413, "larger than 10 MB"),
        (b"x", {"to": "ko"}, 422, "does not speak 'ko'"),
        (b"x", {}, 422, "'to' is missing"),
        (b"x", {"to": "hi", "voise": "b"}, 422, "no parameter 'voise'"),
    ],
)
def test_what_cannot_be_translated_is_refused(server, data, query, status, message):
    answer = post(server, data, **query)
    assert answer.status_code == status
    assert message in answer.text


def test_a_body_without_a_form_or_a_length_is_a_recording(server, tone):
    data = wav(tone)
    answer = httpx.post(
        f"{server}/v1/translate", params={"to": "hi"}, content=iter([data[:999], data[999:]]), timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert answer.content == post(server, data, to="hi").content


def test_bodies_of_unknown_length_that_are_too_large_are_refused(server):
    parts = (b"x" * (1 << 20) for _ in range(11))
    answer = httpx.post(f"{server}/v1/translate", params={"to": "hi"}, content=parts, timeout=60)
    assert answer.status_code == 413


def test_json_tells_all_that_the_models_said(server, tiny_model, tone):
    answer = httpx.post(
        f"{server}/v1/translate?to=hi&beam=1", content=wav(tone), headers={"Accept": "application/json"}, timeout=60
    ).json()
    spoken = np.round(tone * 32_768).astype(np.float32) / 32_768
    alone = Translator.load(tiny_model).translate(spoken, "hi", options=SearchOptions(beam=1))
    assert (answer["model"], answer["from"], answer["to"], answer["seconds"]) == (
        model_name(tiny_model),
        "en",
        "hi",
        1.0,
    )
    assert answer["units"] == alone.units.tolist()
    assert answer["durations"] == alone.durations.tolist()
    assert answer["source_units"] == alone.source_units.tolist()
    assert sum(answer["source_durations"]) == num_frames(len(tone))
    waveform, _ = soundfile.read(io.BytesIO(base64.b64decode(answer["audio"])))
    np.testing.assert_allclose(waveform, alone.waveform, atol=1e-3)
    parts = answer["timings"]
    assert 0 < parts["decode"] + parts["encoder"] + parts["translator"] + parts["vocoder"] <= parts["total"]


def test_units_and_speech_are_two_halves(server, tone):
    both = httpx.post(
        f"{server}/v1/translate?to=hi", content=wav(tone), headers={"Accept": "application/json"}, timeout=60
    ).json()
    units = httpx.post(f"{server}/v1/units", content=wav(tone), timeout=60).json()
    assert units["units"] == both["source_units"]
    assert units["frame_seconds"] == 0.02
    spoken = httpx.post(f"{server}/v1/speak", json={"units": both["units"], "to": "hi"}, timeout=60)
    assert spoken.content == base64.b64decode(both["audio"])


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"units": [3, 99], "to": "hi"}, 422, "units go from 0 to 19"),
        ({"units": [3, -1], "to": "hi"}, 422, "units go from 0 to 19"),
        ({"units": [3, 3], "to": "hi"}, 422, "units repeat"),
        ({"units": [3, 4] * 2000, "to": "hi"}, 413, "too many"),
        ({"units": [3], "to": "ko"}, 422, "does not speak 'ko'"),
        ({"units": [3], "to": "hi", "voice": "b"}, 422, "has no voice 'b'"),
        ({"units": [], "to": "hi"}, 422, "at least 1 item"),
    ],
)
def test_units_that_cannot_be_spoken_are_refused(server, body, status, message):
    answer = httpx.post(f"{server}/v1/speak", json=body, timeout=60)
    assert answer.status_code == status
    assert message in answer.text


def test_what_the_server_knows(server, tiny_model):
    assert httpx.get(f"{server}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server}/readyz").json() == {"status": "ok", "models": [model_name(tiny_model)]}
    known = httpx.get(f"{server}/v1/models").json()
    assert known["models"][0]["directions"] == ["en-hi", "hi-en"]
    assert known["models"][0]["languages"] == {"en": ["a"], "hi": ["a"]}
    assert known["limits"]["seconds"] == 50


def test_mistyped_arguments_are_told_at_once():
    from serve.app import build

    with pytest.raises(UserError, match="unknown setting 'modle'; did you mean 'models'"):
        build({"modle": "x"})
    with pytest.raises(UserError, match="there is no model in"):
        build({"model": "nowhere"})


def test_a_stream_is_the_answer_while_it_is_made(server, tone):
    data = wav(np.tile(tone, 4))
    for beam in (1, 2):
        whole = post(server, data, to="hi", beam=beam)
        with httpx.stream(
            "POST", f"{server}/v1/translate?to=hi&stream=true&beam={beam}", content=data, timeout=60
        ) as answer:
            parts = list(answer.iter_raw())
        streamed = np.frombuffer(b"".join(parts)[44:], "<i2") / 32_768
        np.testing.assert_allclose(streamed, soundfile.read(io.BytesIO(whole.content))[0], atol=1e-3)


def test_a_conversation_over_the_real_graph(server, tone):
    from websockets.sync.client import connect

    speech = audio.to_int16(tone).tobytes()
    with connect(f"{server.replace('http', 'ws')}/v1/live?to=hi&beam=1") as socket:
        for start in range(0, len(speech), 6_400):
            socket.send(speech[start : start + 6_400])
        socket.send("end")
        told = [message for message in socket if isinstance(message, str)]
    assert json.loads(told[-1])["done"] is True
    assert all("units" in json.loads(message) for message in told[:-1])


def test_hostile_requests_are_refused_through_serve_too(server):
    with httpx.Client(timeout=60) as client:
        told = [ask(client, server, seed) for seed in range(2 * len(KINDS))]
    assert [wrong for _, _, wrong in told if wrong is not None] == []
