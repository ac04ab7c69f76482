"""Batches of what is asked for at the same time.

Ray's own `serve.batch` waits for others even where nobody else asks, and divides what queues behind a long batch into
batches of what came within that wait. Here all who wait behind a batch are taken together, and who asks alone never
waits. Callers who ask again once they are answered would be divided for ever, though, into the first to come back, who
is computed alone, and all others: so a batch waits a moment for as many as there were a moment ago.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from s2st.baselines.hosted_client import ServiceError
from s2st.config import UserError

LOOK_SECONDS = 0.002  # between two looks at who has come
Compute = Callable[[Any, list[Any]], Awaitable[list[Any]]]


@dataclass(frozen=True)
class Waiting:
    """Somebody who waits for an answer."""

    key: Hashable
    item: Any
    answer: asyncio.Future[Any]


class Batches:
    """Gives `compute(key, items)` to everybody who asks with that key, one batch after another, the oldest first."""

    def __init__(self, compute: Compute, size: Callable[[Any], int], max_size: int, patience: float = 0.0):
        """Make batches of at most `max_size`, summed over `size(item)`; one that is larger has a batch of its own.

        After a batch, the next one waits for as many as there were, at most `patience` times as long as it took.
        """
        self.compute, self.size, self.max_size, self.patience = compute, size, max_size, patience
        self.key: Hashable = None  # of the last batch; `expected` are those who may come back
        self.expected, self.patient_until = 1, 0.0
        self.waiting: deque[Waiting] = deque()
        self.worker: asyncio.Task[None] | None = None

    async def ask(self, key: Hashable, item: Any) -> Any:
        """Give the answer for one item; raises what `compute` raises for it."""
        waiting = Waiting(key, item, asyncio.get_running_loop().create_future())
        self.waiting.append(waiting)
        if self.worker is None or self.worker.done():
            self.worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def _work(self) -> None:
        while self.waiting:
            while self._may_grow() and time.perf_counter() < self.patient_until:
                await asyncio.sleep(LOOK_SECONDS)
            start, batch = time.perf_counter(), self._next()
            await self._answer(batch)
            end = time.perf_counter()
            self.key = batch[0].key if batch else None
            self.expected = len(batch) + sum(waiting.key == self.key for waiting in self.waiting)
            self.patient_until = end + self.patience * (end - start)

    def _may_grow(self) -> bool:
        """Tell whether more of the last batch's callers may still come into the next one: it is theirs and has room."""
        key = self.waiting[0].key
        sizes = [self.size(waiting.item) for waiting in self.waiting if waiting.key == key]
        return key == self.key and len(sizes) < self.expected and sum(sizes) + max(sizes) <= self.max_size

    def _next(self) -> list[Waiting]:
        """Take the oldest who waits, and all others with its key who fit beside it; who has gone is left out."""
        asked = [waiting for waiting in self.waiting if not waiting.answer.done()]
        batch: list[Waiting] = []
        size = 0
        for waiting in asked:
            more = self.size(waiting.item)
            if not batch or (waiting.key == batch[0].key and size + more <= self.max_size):
                batch.append(waiting)
                size += more
        taken = set(map(id, batch))
        self.waiting = deque(waiting for waiting in asked if id(waiting) not in taken)
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        """Answer a batch. If it is refused, each is asked alone: one bad request does no harm to others."""
        if not batch:  # all who waited have gone
            return
        try:
            results = await self.compute(batch[0].key, [waiting.item for waiting in batch])
        except UserError as error:
            if len(batch) == 1 or isinstance(error, ServiceError):  # a service is not asked, and paid, again
                for waiting in batch:
                    _fail(waiting, error)
                return
            for waiting in batch:
                if not waiting.answer.done():
                    await self._answer([waiting])
        except Exception as error:
            for waiting in batch:
                _fail(waiting, error)
        else:
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(result)


def _fail(waiting: Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)
