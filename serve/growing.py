"""What grows bit by bit is worked at beside the event loop, and passed on in parts."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

GROW_SECONDS = 0.02  # that is worked at what grows before it is passed on


async def in_thread(items: Iterator[Any]) -> AsyncIterator[list[Any]]:
    """Work at an iterator beside the event loop, and give what it gave in each GROW_SECONDS."""
    while gathered := await asyncio.to_thread(gather, items):
        yield gathered


def gather(items: Iterator[Any]) -> list[Any]:
    """Take items for GROW_SECONDS: at least one, unless there is none."""
    end, taken = time.perf_counter() + GROW_SECONDS, []
    for item in items:
        taken.append(item)
        if time.perf_counter() >= end:
            break
    return taken
