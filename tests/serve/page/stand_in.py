"""A stand-in for the server behind the page: the same routes without models, and able to fail on demand.

It "translates" by playing speech backwards; its unit of a frame is the loudest bin of the frame's spectrum.
"""

import base64
import json
import socket
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, UploadFile, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse

from s2st import audio
from s2st.units import reduce
from serve import page

MODELS = [
    {"name": "demo", "directions": ["en-hi", "hi-en"], "languages": {"hi": ["female", "male"], "en": []}},
    {"name": "sample", "directions": ["en-es", "en-fr"], "languages": {"es": [], "fr": []}},
]
LIMITS = {"bytes": 1 << 20, "seconds": 30.0, "stream_bytes": 2 << 20, "stream_seconds": 7_200.0}
SENTENCE = audio.SAMPLE_RATE // 2  # samples that the stand-in takes for a sentence of live speech
LONG_SENTENCE = 16 * audio.SAMPLE_RATE  # ... of a long recording
TIMINGS = {"decode": 0.004, "encoder": 0.12, "translator": 0.09, "vocoder": 0.05, "total": 0.28}


@dataclass
class State:
    """What the tests set and see."""

    key: str | None = None  # that requests must carry
    refusals: list[JSONResponse] = field(default_factory=list)  # answers to the next translations
    answer: dict = field(default_factory=dict)  # what differs from the usual answer
    seconds: float = 0.0  # that a translation takes
    requests: list[dict] = field(default_factory=list)  # query, and the waveform that was heard
    live_error: str | None = None  # told after the first live sentence; "" closes the connection without a word

    def reset(self):
        self.__init__()

    def allows(self, headers):
        return not self.key or f"Bearer {self.key}" == headers.get("authorization")


def units_of(waveform):
    frames = waveform[: len(waveform) // audio.HOP * audio.HOP].reshape(-1, audio.HOP)
    units, durations = reduce(np.abs(np.fft.rfft(frames)).argmax(1))
    return units.tolist(), durations.tolist()


def translation_of(waveform):
    spoken = waveform[::-1]
    units, durations = units_of(spoken)
    return {"units": units, "durations": durations, "timings": TIMINGS, "seconds": len(waveform) / 16_000}, spoken


def lines(waveform):
    """Translate a long recording by parts of LONG_SENTENCE; one line is sent in two halves."""
    for index, start in enumerate(range(0, len(waveform), LONG_SENTENCE)):
        answer, spoken = translation_of(waveform[start : start + LONG_SENTENCE])
        place = {"index": index, "start": start / 16_000, "end": (start + LONG_SENTENCE) / 16_000}
        sound = base64.b64encode(audio.encode(spoken, "WAV")).decode()
        text = json.dumps({**place, **answer, "audio": sound}) + "\n"
        yield text[:100]
        yield text[100:]
    yield json.dumps({"done": True, "sentences": index + 1}) + "\n"


def build(state: State) -> FastAPI:
    app = FastAPI()
    app.include_router(page.router)

    @app.middleware("http")
    async def ask_for_the_key(request: Request, call_next):
        if request.url.path.startswith("/v1/") and not state.allows(request.headers):
            return JSONResponse({"detail": "this server needs an API key"}, 401)
        return await call_next(request)

    @app.get("/v1/models")
    def models():
        return {"models": MODELS, "limits": LIMITS}

    @app.post("/v1/translate")
    def translate(request: Request, file: UploadFile):
        time.sleep(state.seconds)
        if state.refusals:
            return state.refusals.pop(0)
        streamed = "stream" in request.query_params
        try:
            waveform = audio.decode(file.file.read(), LIMITS["stream_seconds" if streamed else "seconds"])
        except audio.AudioError as error:
            return JSONResponse({"detail": str(error)}, 415)
        query = dict(request.query_params)
        state.requests.append({"query": query, "waveform": waveform, "name": file.filename})
        if streamed:
            return StreamingResponse(lines(waveform), media_type="application/x-ndjson")
        answer, spoken = translation_of(waveform)
        units, durations = units_of(waveform)
        return {
            **{"model": query["model"], "from": query["from"], "to": query["to"], "voice": query.get("voice")},
            **answer,
            **{"source_units": units, "source_durations": durations, "finished": True, "loops": False},
            "audio": base64.b64encode(audio.encode(spoken, "WAV")).decode(),
            **state.answer,
        }

    @app.websocket("/v1/live")
    async def live(websocket: WebSocket):
        protocols = websocket.headers.get("sec-websocket-protocol", "").split(", ")
        await websocket.accept("bearer" if protocols[0] == "bearer" else None)
        if state.key and protocols != ["bearer", state.key]:
            await websocket.send_json({"error": "an API key is needed"})
            await websocket.close(4401)
            return
        state.requests.append({"query": dict(websocket.query_params), "waveform": await talk(websocket, state)})

    return app


async def talk(websocket, state):
    """Answer each half second; give all that was heard."""
    heard = np.zeros(0, np.float32)
    sentences, last = 0, False
    while not last:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return heard
        last = message.get("text") == "end"
        if not last:
            heard = np.concatenate([heard, np.frombuffer(message["bytes"], "<i2").astype(np.float32) / 32_768])
        while (sentences + 1) * SENTENCE <= len(heard):
            answer, spoken = translation_of(heard[sentences * SENTENCE :][:SENTENCE])
            times = {"start": sentences / 2, "end": (sentences + 1) / 2}
            await websocket.send_json({"index": sentences, **times, **answer})
            await websocket.send_bytes(audio.encode(spoken, "WAV"))
            sentences += 1
            if state.live_error is not None:
                if state.live_error:
                    await websocket.send_json({"error": state.live_error})
                await websocket.close()
                return heard
    await websocket.send_json({"done": True, "sentences": sentences})
    await websocket.close()
    return heard


class Served:
    """An application on a free port, in a thread of this process."""

    def __init__(self, app: FastAPI):
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        self.thread.start()

    def stop(self):
        self.server.should_exit = True
        self.thread.join()


class StandIn(Served):
    """The stand-in, with its state."""

    def __init__(self):
        self.state = State()
        super().__init__(build(self.state))
