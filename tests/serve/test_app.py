import io

import httpx
import numpy as np
import pytest
import soundfile

from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.translator import Translator


@pytest.fixture(scope="module")
def server(local_ray, tiny_model, free_port):
    """The whole graph, on a port of its own; yields its address."""
    from ray import serve

    from serve.app import build

    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(build({"model": tiny_model, "beam": "2"}))
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


def wav(samples, rate=16_000, format="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format)
    return buffer.getvalue()


def post(server, data, **query):
    return httpx.post(f"{server}/translate", params=query, files={"file": ("speech.wav", data)}, timeout=60)


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
        (b"x", {}, 422, "Field required"),
    ],
)
def test_what_cannot_be_translated_is_refused(server, data, query, status, message):
    answer = post(server, data, **query)
    assert answer.status_code == status
    assert message in answer.text


def test_bodies_of_unknown_length_are_refused(server):
    answer = httpx.post(f"{server}/translate", params={"to": "hi"}, content=iter([b"x" * 1000]), timeout=60)
    assert answer.status_code == 411


def test_what_the_server_knows(server):
    assert httpx.get(f"{server}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server}/models").json()["directions"] == ["en-hi", "hi-en"]


def test_models_that_hear_speech_are_refused(tiny_direct_models):
    from serve.app import build

    with pytest.raises(UserError, match="holds a mel_lstm, but only a unit_transformer is served"):
        build({"model": tiny_direct_models["mel_lstm"]})


def test_mistyped_arguments_are_told_at_once():
    from serve.app import build

    with pytest.raises(UserError, match="unknown argument 'modle'"):
        build({"modle": "x"})
    with pytest.raises(UserError, match="there is no model in"):
        build({"model": "nowhere"})
