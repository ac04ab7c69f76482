"""A conversation: speech comes over a WebSocket, is cut at pauses, and answered sentence by sentence."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from s2st import audio
from s2st.config import UserError
from s2st.pauses import MAX_SECONDS, PauseCutter, Piece, load_detector
from serve.errors import sentence_of
from serve.graph import Order
from serve.requests import BEAM, FROM, MODEL, TO, VOICE, Server, make_order
from serve.sentences import translate_in_order

IDLE_SECONDS = 60.0  # after which a caller who sends nothing is left
AHEAD_SECONDS = 60.0  # of speech that may come before it can have been spoken
WAITING = 16  # sentences that wait for their translation before listening stops
PROTOCOL = "bearer"  # of a WebSocket that brings a key
END = "end"
BAD_REQUEST, ENDED = 1008, 1000  # codes of WebSockets


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
        offered = socket.headers.get("sec-websocket-protocol", "").split(",")[0].strip()
        await socket.accept(subprotocol=PROTOCOL if offered == PROTOCOL else None)
        gone = asyncio.get_running_loop().create_future()  # done once the caller has hung up
        try:
            order = make_order(server, to, source, model, voice, beam)
            answering = asyncio.create_task(answer(server, socket, order, gone))
            try:
                await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    return
                await answering
            finally:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
        except WebSocketDisconnect:
            return
        except Exception as error:
            await socket.send_json({"error": sentence_of(error)})
            await socket.close(BAD_REQUEST)
            return
        await socket.close(ENDED)


async def answer(server: Server, socket: WebSocket, order: Order, gone: asyncio.Future[None]) -> None:
    """Answer each sentence with a text of JSON and its speech as a WAV, and the end with their number."""
    count = 0
    settings = server.settings
    pieces = listen(socket, gone, settings.max_stream_seconds, min(MAX_SECONDS, settings.max_seconds))
    async with aclosing(translate_in_order(server, order, pieces, WAITING)) as sentences:
        async for sentence in sentences:
            fields = sentence.fields(order)
            del fields["audio"]
            await socket.send_json(fields)
            await socket.send_bytes(audio.encode(sentence.spoken.waveform, "WAV"))
            count += 1
    await socket.send_json({"done": True, "sentences": count})


async def listen(
    socket: WebSocket, gone: asyncio.Future[None], max_seconds: float, piece_seconds: float
) -> AsyncIterator[Piece]:
    """Give sentences as they are spoken; raises UserError for what is no speech, too fast or too long."""
    cutter = PauseCutter(await asyncio.to_thread(load_detector), piece_seconds)
    start, seconds = time.monotonic(), 0.0
    while (block := await receive(socket, gone)) is not None:
        seconds += len(block) / audio.SAMPLE_RATE
        if seconds > max_seconds:
            raise UserError(f"the conversation is longer than {max_seconds:.0f} s; begin another")
        if seconds > time.monotonic() - start + AHEAD_SECONDS:
            raise UserError("speech comes faster than it is spoken; send recordings to /v1/translate?stream=true")
        for piece in await asyncio.to_thread(list, cutter.add(block)):
            yield piece
    for piece in await asyncio.to_thread(list, cutter.end()):
        yield piece


async def receive(socket: WebSocket, gone: asyncio.Future[None]) -> np.ndarray | None:
    """Give the next samples (N,), or None at the end; raises UserError for anything else, and if nothing comes."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            message = await socket.receive()
    except TimeoutError:
        raise UserError(f"nothing came for {IDLE_SECONDS:.0f} s") from None
    if message["type"] == "websocket.disconnect":
        gone.set_result(None)
        raise WebSocketDisconnect(message.get("code", ENDED))
    if message.get("text") == END:
        return None
    data = message.get("bytes")
    if data is None or len(data) % 2:
        raise UserError(f"send frames of 16-bit PCM, 16 kHz, mono, and the text '{END}' at the end")
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768
