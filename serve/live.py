"""A conversation: speech comes over a WebSocket, is cut at pauses, and answered sentence by sentence."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import numpy as np
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.types import Message

from s2st import audio
from s2st.config import UserError
from s2st.pauses import PauseCutter, Piece, load_detector
from serve.errors import sentence_of
from serve.graph import Order
from serve.requests import BEAM, FROM, MODEL, TO, VOICE, Server, make_order
from serve.sentences import translate_in_order
from serve.sockets import ENDED, open_socket, refuse

IDLE_SECONDS = 60.0  # after which a caller who sends nothing is left
AHEAD_SECONDS = 60.0  # of speech that may come before it can have been spoken, and that may wait to be heard
WAITING = 16  # sentences that wait for their translation before listening stops
END = "end"
BYTES_A_SECOND = 2 * audio.SAMPLE_RATE


def add_live(app: FastAPI, server: Server) -> None:
    """Add the route of a conversation."""

    @app.websocket("/v1/live")
    async def live(
        socket: WebSocket,
        to: str = TO,
        source: str | None = FROM,
        model: str | None = MODEL,
        voice: str | None = VOICE,
        beam: int | None = BEAM,
    ) -> None:
        """Translate speech while it is spoken."""
        await open_socket(socket)
        with suppress(WebSocketDisconnect):
            try:
                await converse(server, socket, make_order(server, to, source, model, voice, beam))
            except WebSocketDisconnect:
                raise
            except Exception as error:
                await refuse(socket, sentence_of(error))
            else:
                await socket.close(ENDED)


async def converse(server: Server, socket: WebSocket, order: Order) -> None:
    """Answer until all is said; a caller who hangs up or makes a mistake ends all work at once."""
    caller = Caller(socket)
    reading = asyncio.create_task(caller.read())
    answering = asyncio.create_task(answer(server, socket, order, caller))
    try:
        done, _ = await asyncio.wait((reading, answering), return_when=asyncio.FIRST_COMPLETED)
        await (reading if reading in done else answering)
    finally:
        reading.cancel()
        answering.cancel()
        await asyncio.gather(reading, answering, return_exceptions=True)


async def answer(server: Server, socket: WebSocket, order: Order, caller: "Caller") -> None:
    """Answer each sentence with a text of JSON and its speech as a WAV, and the end with their number."""
    count = 0
    settings = server.settings
    pieces = listen(caller, settings.max_stream_seconds, settings.piece_seconds)
    async with aclosing(translate_in_order(server, order, pieces, WAITING)) as sentences:
        async for sentence in sentences:
            await socket.send_json(sentence.facts(order))
            await socket.send_bytes(audio.encode(sentence.spoken.waveform, "WAV"))
            count += 1
    await socket.send_json({"done": True, "sentences": count})


async def listen(caller: "Caller", max_seconds: float, piece_seconds: float) -> AsyncIterator[Piece]:
    """Give sentences as they are spoken; raises UserError for a conversation that is too long."""
    cutter = PauseCutter(await asyncio.to_thread(load_detector), piece_seconds)
    seconds = 0.0
    while len(block := await caller.hear()):
        seconds += len(block) / audio.SAMPLE_RATE
        if seconds > max_seconds:
            raise UserError(f"the conversation is longer than {max_seconds:.0f} s; begin another")
        for piece in await asyncio.to_thread(list, cutter.add(block)):
            yield piece
    for piece in await asyncio.to_thread(list, cutter.end()):
        yield piece


class Caller:
    """Who sends speech: always read, as a socket that nobody reads keeps all that comes and tells of no hang-up."""

    def __init__(self, socket: WebSocket):
        self.socket = socket
        self.unheard = asyncio.StreamReader()
        self.num_unheard = 0  # bytes

    async def read(self) -> None:
        """Read for ever; raises WebSocketDisconnect at the hang-up, and UserError for what is no speech or too fast."""
        start, received = time.monotonic(), 0
        while (data := await self._receive()) is not None:
            received += len(data)
            self.num_unheard += len(data)
            ahead = received / BYTES_A_SECOND - (time.monotonic() - start)
            if max(ahead, self.num_unheard / BYTES_A_SECOND) > AHEAD_SECONDS:
                raise UserError(
                    "speech comes faster than it is spoken, or than it is translated; "
                    "send recordings to /v1/translate?stream=true"
                )
            self.unheard.feed_data(data)
        self.unheard.feed_eof()
        while True:  # after the end only the hang-up matters
            await self._message()

    async def hear(self) -> np.ndarray:
        """Give the next samples (N,), float32, at most a second of them; none at the end."""
        data = await self.unheard.read(BYTES_A_SECOND)
        self.num_unheard -= len(data)
        return np.frombuffer(data, "<i2").astype(np.float32) / 32768

    async def _receive(self) -> bytes | None:
        """Give the next frame of sound, or None at the end; raises UserError for anything else, or if nothing comes."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                message = await self._message()
        except TimeoutError:
            raise UserError(f"nothing came for {IDLE_SECONDS:.0f} s") from None
        if message.get("text") == END:
            return None
        data: bytes | None = message.get("bytes")
        if data is None or len(data) % 2:
            raise UserError(f"send frames of 16-bit PCM, 16 kHz, mono, and the text '{END}' at the end")
        return data

    async def _message(self) -> Message:
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", ENDED))
        return message
