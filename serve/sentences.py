"""Long speech, translated sentence by sentence: some at a time, answered in their order."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from s2st.audio import SAMPLE_RATE
from s2st.pauses import Piece
from serve import answers
from serve.deployments import Spoken
from serve.graph import Order
from serve.requests import Server

AT_ONCE = 4  # sentences that are translated at the same time


@dataclass(frozen=True)
class Sentence:
    """A sentence and its translation."""

    index: int
    piece: Piece
    spoken: Spoken
    seconds: float  # from when it was cut until it was translated

    def fields(self, order: Order) -> dict[str, Any]:
        """Give what is told of it: the fields of TranslationAnswer, and its place in the recording."""
        return self.facts(order) | answers.encoded_audio(self.spoken)

    def facts(self, order: Order) -> dict[str, Any]:
        """Give its fields, save its audio."""
        place = {"index": self.index, "start": self.piece.start / SAMPLE_RATE, "end": self.piece.end / SAMPLE_RATE}
        return place | answers.translation_facts(self.spoken, order, len(self.piece.waveform), 0.0, self.seconds)


async def translate_in_order(
    server: Server, order: Order, pieces: AsyncIterator[Piece], at_once: int = AT_ONCE
) -> AsyncIterator[Sentence]:
    """Translate pieces as they come; a piece is asked for only while fewer than `at_once` wait for their turn.

    An error, of the pieces or of a translation, is raised after what came before it. Close it after use.
    """
    room, waiting, going = asyncio.Semaphore(at_once), asyncio.Queue[Any](), set[asyncio.Task[Any]]()

    async def translate(index: int, piece: Piece) -> Sentence:
        start = time.perf_counter()
        async with asyncio.timeout(server.settings.timeout_seconds):
            async with server.load.wait(len(piece.waveform) / SAMPLE_RATE, server.settings.max_waiting_seconds):
                spoken = await server.graph.translate(piece.waveform, order)
        return Sentence(index, piece, spoken, time.perf_counter() - start)

    async def begin() -> None:
        index = 0
        while True:
            await room.acquire()
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            task = asyncio.create_task(translate(index, piece))
            going.add(task)
            waiting.put_nowait(task)
            index += 1

    beginning = asyncio.create_task(begin())
    beginning.add_done_callback(lambda _: waiting.put_nowait(None))
    try:
        while (task := await waiting.get()) is not None:
            yield await task
            going.discard(task)
            room.release()
        await beginning  # raises what ended it
    finally:
        for task in (beginning, *going):
            task.cancel()
        await asyncio.gather(beginning, *going, return_exceptions=True)
