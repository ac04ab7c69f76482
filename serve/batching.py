"""Batches of what is asked for at the same time.

Ray's own `serve.batch` waits for others even where nobody else asks, and divides what queues behind a long batch into
batches of what came within that wait. Here nobody waits but for the batch that is computed, and all who wait behind it
are taken together.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any

from s2st.baselines.hosted_client import ServiceError
from s2st.config import UserError

Compute = Callable[[Any, list[Any]], Awaitable[list[Any]]]


@dataclass(frozen=True)
class Waiting:
    """Somebody who waits for an answer."""

    key: Hashable
    item: Any
    answer: asyncio.Future[Any]


class Batches:
    """Gives `compute(key, items)` to everybody who asks with that key, one batch after another, the oldest first."""

    def __init__(self, compute: Compute, size: Callable[[Any], int], max_size: int):
        """Make batches of at most `max_size`, summed over `size(item)`; one that is larger has a batch of its own."""
        self.compute, self.size, self.max_size = compute, size, max_size
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
        while batch := self._next():
            await self._answer(batch)

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
