"""Answers that begin before they are complete: WAV, or a line of JSON for each sentence of a long recording."""

import asyncio
import dataclasses
import json
import struct
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from typing import Any

import numpy as np
from fastapi import HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse

from s2st import audio
from s2st.pauses import Piece, cut, load_detector
from serve import answers
from serve.errors import sentence_of
from serve.graph import Order
from serve.requests import Server, each_within
from serve.sentences import translate_in_order
from serve.uploads import spool

LINES = "application/x-ndjson"
STREAM = Query(
    False,
    examples=[True],
    description="answer while the translation is made, and take long recordings, which are translated sentence by "
    f"sentence: WAV without a length, or {LINES} if Accept asks for it",
)
GREEDY = 1  # width of a beam search
UNKNOWN = 0xFFFFFFFF  # the length of a WAV that is written to a pipe
Chunks = AsyncIterator[np.ndarray]


async def stream_translation(server: Server, request: Request, order: Order, beam: int | None) -> Response:
    """Answer with a stream; what is wrong before it begins is raised, as HTTPException where it is the recording.

    Where a single sentence is spoken while its units are searched for, and no `beam` is asked for, the search is
    greedy: each of its units is settled at once, while beams may differ from the first unit to the last.
    """
    opened = ExitStack()  # closed once all is sent
    try:
        file = opened.enter_context(await spool(request))
        recording = await asyncio.to_thread(audio.Recording, file, server.settings.max_stream_seconds)
        opened.enter_context(recording)
        if LINES in request.headers.get("accept", ""):
            return StreamingResponse(lines(server, recording, order, opened), media_type=LINES)
        if recording.num_samples > server.settings.max_seconds * audio.SAMPLE_RATE:
            chunks = speak_long(server, recording, order)
        else:
            waveform = await asyncio.to_thread(recording.waveform)
            unasked = GREEDY if order.model.in_parts else order.beam
            chunks = speak_short(server, waveform, dataclasses.replace(order, beam=beam or unasked))
        first = await anext(chunks, np.zeros(0, np.float32))  # until it is there, an error still has its status
    except audio.AudioError as error:
        opened.close()
        raise HTTPException(415, str(error)) from None
    except BaseException:
        opened.close()
        raise
    return StreamingResponse(wav(first, chunks, opened), media_type=answers.WAV)


async def wav(first: np.ndarray, others: Chunks, opened: ExitStack) -> AsyncIterator[bytes]:
    """Give a WAV, 16 kHz, mono, 16 bit, of unknown length; an error breaks it off."""
    with opened:
        yield header() + audio.encode(first, "RAW")
        async with aclosing(others):  # type: ignore[type-var]
            async for chunk in others:
                yield audio.encode(chunk, "RAW")


def header() -> bytes:
    """Give the header of such a WAV."""
    rate = audio.SAMPLE_RATE
    riff = struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE")
    return riff + struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", UNKNOWN)


async def speak_short(server: Server, waveform: np.ndarray, order: Order) -> Chunks:
    """Give a translation as it is made; raises BusyError, before its first chunk, where others leave no room."""
    with server.load.take(len(waveform) / audio.SAMPLE_RATE, server.settings.max_waiting_seconds):
        async with aclosing(server.graph.grow(waveform, order)) as growing:  # type: ignore[type-var]
            async for chunk in each_within(server, growing):
                yield chunk


async def speak_long(server: Server, recording: audio.Recording, order: Order) -> Chunks:
    """Give the translations of all sentences, and between them as much silence as the recording has there."""
    end = 0
    async with aclosing(translate_in_order(server, order, pieces_of(server, recording))) as sentences:
        async for sentence in sentences:
            for part in silence(sentence.piece.start - end):
                yield part
            yield sentence.spoken.waveform
            end = sentence.piece.end
    for part in silence(recording.num_samples - end):
        yield part


def silence(num_samples: int) -> list[np.ndarray]:
    """Give silence as parts (N,) of which each is short; they share their memory."""
    second = np.zeros(audio.SAMPLE_RATE, np.float32)
    whole, rest = divmod(num_samples, len(second))
    return [second] * whole + [second[:rest]] * bool(rest)


async def lines(server: Server, recording: audio.Recording, order: Order, opened: ExitStack) -> AsyncIterator[str]:
    """Give a line for each sentence, and a last one that tells how many there were, or what went wrong."""
    count = 0
    with opened:
        try:
            async with aclosing(translate_in_order(server, order, pieces_of(server, recording))) as sentences:
                async for sentence in sentences:
                    yield line(sentence.fields(order))
                    count += 1
            seconds = round(recording.num_samples / audio.SAMPLE_RATE, answers.DIGITS)
            yield line({"done": True, "sentences": count, "seconds": seconds})
        except Exception as error:
            yield line({"error": sentence_of(error)})


def line(fields: dict[str, Any]) -> str:
    """Write one line of JSON."""
    return json.dumps(fields) + "\n"


async def pieces_of(server: Server, recording: audio.Recording) -> AsyncIterator[Piece]:
    """Cut a recording at its pauses, beside the event loop, a piece at a time."""
    detect = await asyncio.to_thread(load_detector)
    pieces = cut(recording.blocks(), detect, server.settings.piece_seconds)
    while True:
        step = asyncio.create_task(asyncio.to_thread(next, pieces, None))
        try:
            piece = await asyncio.shield(step)
        finally:
            await asyncio.wait({step})  # who asked may have gone, but a file is not closed while a thread reads it
        if piece is None:
            return
        yield piece
