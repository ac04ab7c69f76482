"""A conversation over a WebSocket: sentences are answered while others are spoken; mistakes are told."""

import threading

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

from s2st import audio
from serve import live

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
        ("to=hi", [b"\x00" * 3], "16-bit PCM"),
        ("to=hi", ["hello"], "the text 'end'"),
        ("to=hi", [b"\x00" * 32_000] * 61, "faster than it is spoken"),
        ("to=hi", [], "nothing came"),
    ],
)
def test_mistakes_are_told_and_the_socket_closed(quick_server, calling, monkeypatch, query, frames, message):
    monkeypatch.setattr(live, "IDLE_SECONDS", 0.5)
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


def test_who_hangs_up_ends_the_work(quick_server, calling):
    server = quick_server()
    server.graph.wait_seconds = 300.0
    begun = threading.Event()
    translate = server.graph.translate
    server.graph.translate = lambda *inputs: begun.set() or translate(*inputs)
    with calling(server).websocket_connect(f"{ADDRESS}?to=hi") as socket:
        send(socket, SENTENCE)
        assert begun.wait(60)
    assert server.graph.cancelled


def test_keys_and_other_origins(quick_server, calling):
    client = calling(quick_server(keys=(b"secret",)))
    with client.websocket_connect(f"{ADDRESS}?to=hi", subprotocols=["bearer", "secret"]) as socket:
        assert socket.accepted_subprotocol == "bearer"
        socket.send_text("end")
        assert socket.receive_json() == {"done": True, "sentences": 0}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"{ADDRESS}?to=hi"):
        pass
    elsewhere = {"Origin": "https://example.org", "Authorization": "Bearer secret"}
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(f"{ADDRESS}?to=hi", headers=elsewhere):
        pass
