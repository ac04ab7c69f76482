"""Streams: WAV of unknown length, long recordings sentence by sentence, in order and in little memory."""

import asyncio
import io
import json
import os

import numpy as np
import pytest
import soundfile

from benchmarks.hostile import make_case
from s2st import audio
from s2st.corpora.sample import Sample, SampleConfig
from serve.deployments import Found, Spoken

LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def prompts():
    """Sentences of real speech, each with a second of silence behind it."""
    import pyarrow.parquet as pq

    rows = pq.read_table(f"{Sample(SampleConfig()).root}/en_us/train/0000.parquet").slice(2, 4).column("audio")
    silence = np.zeros(audio.SAMPLE_RATE, np.float32)
    return [np.concatenate([audio.decode(row["bytes"]), silence]) for row in rows.to_pylist()]


class EchoGraph:
    """Says what it hears: the translation of a sentence is the sentence. Every second one is ready before the first."""

    def __init__(self):
        self.begun, self.overtaken = 0, 0

    async def translate(self, waveform, order):
        index, self.begun = self.begun, self.begun + 1
        if index % 2 == 0:
            for _ in range(100):
                await asyncio.sleep(0.01 if self.begun == index + 1 else 0)
        self.overtaken += self.begun > index + 1
        return Spoken(Found(None, np.array([1]), True, False, 0.0), waveform, np.array([1]), 0.0)


@pytest.fixture
def echo(quick_server):
    def make(**settings):
        server = quick_server(**settings)
        server.graph = EchoGraph()
        return server

    return make


def stream(client, data, **headers):
    return client.post("/v1/translate?to=hi&stream=true", content=data, headers=headers)


def test_a_stream_is_a_wav_that_readers_take(quick_server, calling, tone):
    data = audio.encode(tone, "WAV")
    client = calling(quick_server())
    answer, whole = stream(client, data), client.post("/v1/translate?to=hi", content=data)
    assert answer.headers["content-type"] == "audio/wav"
    assert "content-length" not in answer.headers
    assert answer.content[4:8] == answer.content[40:44] == b"\xff" * 4
    assert answer.content[44:] == whole.content[44:]
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert (len(samples), rate) == (640, 16_000)


def test_a_stream_is_greedy_unless_a_beam_is_asked_for(quick_server, calling, tone):
    server, data = quick_server(beam=7), audio.encode(tone)
    for query, beam in (("", 1), ("&beam=3", 3)):
        assert calling(server).post(f"/v1/translate?to=hi&stream=true{query}", content=data).status_code == 200
        assert server.graph.order.beam == beam


def test_a_busy_server_refuses_a_stream_before_it_begins(quick_server, calling, tone):
    server = quick_server()
    with server.load.take(240.0, 240.0):
        answer = stream(calling(server), audio.encode(tone))
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def test_a_long_recording_comes_back_in_its_order_and_length(echo, calling, prompts):
    server, recording = echo(max_seconds=8.0), np.concatenate([*prompts, *prompts])
    answer = stream(calling(server), audio.encode(recording))
    samples, _ = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    # all that is no silence is in some sentence, and what is between sentences stays as long as it is
    assert len(samples) == len(recording)
    np.testing.assert_allclose(samples[recording != 0], recording[recording != 0], atol=0.02)
    assert server.graph.begun == 2 * len(prompts)
    assert server.graph.overtaken > 0


def test_lines_tell_where_each_sentence_is(echo, calling, prompts):
    answer = stream(calling(echo()), audio.encode(np.concatenate(prompts)), **LINES)
    *sentences, done = map(json.loads, answer.text.splitlines())
    assert done == {"done": True, "sentences": len(prompts), "seconds": sum(map(len, prompts)) / audio.SAMPLE_RATE}
    assert [sentence["index"] for sentence in sentences] == list(range(len(prompts)))
    ends = np.cumsum([len(prompt) for prompt in prompts]) / audio.SAMPLE_RATE
    assert [np.searchsorted(ends, sentence["end"]) for sentence in sentences] == list(range(len(prompts)))
    assert all(sentence["end"] - sentence["start"] == pytest.approx(sentence["seconds"]) for sentence in sentences)


def test_silence_is_passed_and_told(echo, calling):
    silence = audio.encode(np.zeros(3 * audio.SAMPLE_RATE, np.float32))
    client = calling(echo(max_seconds=2.0))
    assert len(stream(client, silence).content) == 44 + 2 * 3 * audio.SAMPLE_RATE
    assert json.loads(stream(client, silence, **LINES).text) == {"done": True, "sentences": 0, "seconds": 3.0}


def test_what_is_wrong_is_told_before_the_stream_begins_or_in_its_last_line(echo, calling, prompts, monkeypatch):
    server = echo(max_stream_seconds=20.0, max_stream_bytes=4 << 20)
    client, data = calling(server), audio.encode(np.concatenate(prompts), "WAV")
    assert stream(client, b"no audio").status_code == 415
    hours = audio.encode(np.zeros(21 * audio.SAMPLE_RATE, np.float32))
    answer = stream(client, hours)
    assert (answer.status_code, answer.json()) == (415, {"detail": "the audio is longer than 20 s; cut it"})
    assert stream(client, b"x" * (5 << 20)).status_code == 413
    cut_off = stream(client, data[: len(data) // 2], **LINES).text.splitlines()
    assert json.loads(cut_off[-1]) == {"error": "the audio is truncated"}
    form = client.post("/v1/translate?to=hi&stream=true", files={"file": ("../x", data)}, headers=LINES)
    assert len(form.text.splitlines()) == len(prompts) + 1


def test_hostile_recordings_are_refused_as_streams_too(quick_server, calling, monkeypatch):
    monkeypatch.setattr("serve.streams.load_detector", lambda: lambda window: float(np.abs(window).max() > 0.01))
    client = calling(quick_server())
    for seed in range(60):
        case, accept = make_case(seed), ("audio/wav", LINES["Accept"])[seed % 2]
        if case.url.startswith("/v1/translate?"):
            headers = {**case.headers, "Accept": accept}
            answer = client.request(case.method, f"{case.url}&stream=true", content=case.body, headers=headers)
            assert answer.status_code < 500, f"seed {seed}: {answer.text}"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc")
def test_memory_is_flat_however_long_a_recording_is(echo, calling, monkeypatch):
    monkeypatch.setattr("serve.streams.load_detector", lambda: lambda window: float(np.abs(window).max() > 0.01))
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1 << 16)
    sentence = np.concatenate([np.full(3 * 16_000, 0.5), np.zeros(2 * 16_000)]).astype(np.float32)
    client = calling(echo(max_seconds=10.0))

    def grown(repeats):
        data = audio.encode(np.tile(sentence, repeats))
        peak, before = 0, resident()
        with client.stream("POST", "/v1/translate?to=hi&stream=true", content=data) as answer:
            count = 0
            for part in answer.iter_bytes():
                count += len(part)
                peak = max(peak, resident() - before)
        assert count == 44 + 2 * len(sentence) * repeats
        return peak

    grown(10)
    assert grown(240) < 60 << 20  # 20 minutes, of which the float samples alone are 77 MB, and the client's copy 38 MB


def resident():
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
