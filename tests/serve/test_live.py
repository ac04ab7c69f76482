"""A conversation over a WebSocket: sentences are answered while others are spoken; mistakes are told."""

import asyncio
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from s2st import audio
from serve import live
from serve.routes import create_app

ADDRESS = "ws://127.0.0.1:8000/v1/live"  # a test client's own is no local one
SENTENCE = np.concatenate([np.full(16_000, 0.5), np.zeros(16_000)]).astype(np.float32)


@pytest.fixture(autouse=True)
def quick_detector(monkeypatch):
    """Whatever is loud is speech: real speech is in test_pauses.py."""
    monkeypatch.setattr(live, "load_detector", lambda: lambda window: float(np.abs(window).max() > 0.01))


def pcm(waveform):
    return audio.to_int16(waveform).tobytes()


def send(socket, waveform, size=3_200):
    for start in range(0, len(waveform), size):
        socket.send_bytes(pcm(waveform[start : start + size]))


def test_sentences_are_answered_in_order_while_listening_goes_on(quick_server, calling):
    with calling(quick_server()).websocket_connect(f"{ADDRESS}?to=hi") as socket:
        for index in range(3):
            send(socket, SENTENCE)
            told = socket.receive_json()  # comes before the next sentence, and before the end
            assert told["index"] == index
            assert told["start"] == pytest.approx(2 * index, abs=0.2)
            assert told["end"] == pytest.approx(2 * index + 1, abs=0.25)
            assert told["units"] == [3, 4]
            assert "audio" not in told
            assert len(audio.decode_part(socket.receive_bytes(), 0, 9_999)) == 640
        send(socket, SENTENCE[:16_000])
        socket.send_text("end")
        assert socket.receive_json()["index"] == 3
        socket.receive_bytes()
        assert socket.receive_json() == {"done": True, "sentences": 4}
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1000


@pytest.mark.parametrize(
    ("query", "frames", "message"),
    [
        ("to=ko", [], "does not speak 'ko'"),
        ("to=hi&voice=b", [], "has no voice 'b'"),
        ("", [], "'to' is missing; add it to the address"),
        ("to=hi&voise=b", [], "no parameter 'voise'"),
        ("to=hi", [b"\x00" * 3], "16-bit PCM"),
        ("to=hi", ["hello"], "the text 'end'"),
        ("to=hi", [b"\x00" * 32_000] * 61, "faster than it is spoken"),
        ("to=hi", [], "nothing came"),
    ],
)
def test_mistakes_are_told_and_the_socket_closed(quick_server, calling, monkeypatch, query, frames, message):
    monkeypatch.setattr(live, "IDLE_SECONDS", 2.0)
    with calling(quick_server()).websocket_connect(f"{ADDRESS}?{query}") as socket:
        for frame in frames:
            (socket.send_text if isinstance(frame, str) else socket.send_bytes)(frame)
        assert message in socket.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_an_error_of_the_models_comes_after_what_was_answered(quick_server, calling):
    server = quick_server()
    with calling(server).websocket_connect(f"{ADDRESS}?to=hi") as socket:
        send(socket, SENTENCE)
        assert socket.receive_json()["index"] == 0
        socket.receive_bytes()
        server.graph.error = TimeoutError()
        send(socket, SENTENCE)
        assert "too long" in socket.receive_json()["error"]


class RawSocket:
    """A caller without a client between: what it sends is taken only when it is asked for."""

    def __init__(self, *messages):
        self.coming = asyncio.Queue()
        self.coming.put_nowait({"type": "websocket.connect"})
        for message in messages:
            self.say(message)
        self.told = []

    def say(self, message):
        kind = "text" if isinstance(message, str) else "bytes"
        self.coming.put_nowait({"type": "websocket.receive", kind: message})

    def hang_up(self):
        self.coming.put_nowait({"type": "websocket.disconnect", "code": 1005})

    async def send(self, message):
        self.told.append(message)

    async def call(self, server):
        scope = {"type": "websocket", "path": "/v1/live", "query_string": b"to=hi", "subprotocols": []}
        scope |= {"headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1)}
        await create_app(server)(scope, self.coming.get, self.send)


@pytest.fixture
def slow_server(quick_server):
    """A server that does not answer within a test, and a semaphore that counts the translations it began."""
    server = quick_server()
    server.graph.wait_seconds = 300.0
    begun = asyncio.Semaphore(0)
    translate = server.graph.translate
    server.graph.translate = lambda *inputs: begun.release() or translate(*inputs)
    return server, begun


@pytest.mark.parametrize("sentences", [1, live.WAITING + 1])  # of more than wait, no listener is left
@pytest.mark.parametrize("last", [[], ["end"]])
def test_who_hangs_up_ends_the_work(slow_server, sentences, last):
    server, begun = slow_server

    async def run():
        socket = RawSocket(*[pcm(SENTENCE)] * sentences, *last)
        calling = asyncio.create_task(socket.call(server))
        for _ in range(min(sentences, live.WAITING)):
            await begun.acquire()
        assert not calling.done()
        socket.hang_up()
        await asyncio.wait_for(calling, 10)
        assert [message["type"] for message in socket.told] == ["websocket.accept"]

    asyncio.run(run())
    assert server.graph.cancelled


def test_speech_that_is_not_translated_in_time_is_refused(slow_server, monkeypatch):
    server, begun = slow_server
    clock = itertools.count(step=2)
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: next(clock)))  # each sentence takes its time

    async def run():
        socket = RawSocket(*[pcm(SENTENCE)] * live.WAITING)
        calling = asyncio.create_task(socket.call(server))
        for _ in range(live.WAITING):
            await begun.acquire()
        sent = 0
        while not calling.done():
            assert sent * len(SENTENCE) < (live.AHEAD_SECONDS + 10) * audio.SAMPLE_RATE
            if socket.coming.empty():  # all that was sent was read, though nobody listens
                socket.say(pcm(SENTENCE))
                sent += 1
            await asyncio.sleep(0)
        await calling
        assert "than it is translated" in socket.told[-2]["text"]
        assert socket.told[-1]["code"] == 1008

    asyncio.run(asyncio.wait_for(run(), 60))
    assert server.graph.cancelled


def test_short_limits_of_the_models_do_not_end_a_conversation(quick_server, calling):
    with calling(quick_server(max_seconds=1.0)).websocket_connect(f"{ADDRESS}?to=hi") as socket:
        send(socket, SENTENCE)
        assert socket.receive_json()["index"] == 0
        socket.send_text("end")
        while "text" not in (message := socket.receive()) or "done" not in message["text"]:
            pass


def test_a_page_sends_its_key_as_a_protocol(quick_server, calling):
    client = calling(quick_server(keys=(b"secret",)))
    with client.websocket_connect(f"{ADDRESS}?to=hi", subprotocols=["bearer", "secret"]) as socket:
        assert socket.accepted_subprotocol == "bearer"
        socket.send_text("end")
        assert socket.receive_json() == {"done": True, "sentences": 0}
