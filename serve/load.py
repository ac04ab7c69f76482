"""How much a server takes on: what it has not promised cannot come too late."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

LOOK_SECONDS = 0.05  # between two times that who waits looks for room


class BusyError(RuntimeError):
    """As much speech is worked on as the settings allow."""


class Load:
    """Counts the seconds of speech that are worked on."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.count = 0  # of those who hold them

    @contextmanager
    def take(self, seconds: float, most: float) -> Iterator[None]:
        """Take on some seconds of speech; raises BusyError if they would be more than `most`, unless there are none."""
        if not self._has_room(seconds, most):
            raise BusyError(f"{self.seconds:.0f} s of speech are worked on")
        self.count += 1
        self.seconds += seconds
        try:
            yield
        finally:
            self.count -= 1
            self.seconds = self.seconds - seconds if self.count else 0.0

    @asynccontextmanager
    async def wait(self, seconds: float, most: float) -> AsyncIterator[None]:
        """Take on some seconds as `take` does, once there is room for them."""
        while not self._has_room(seconds, most):
            await asyncio.sleep(LOOK_SECONDS)
        with self.take(seconds, most):
            yield

    def _has_room(self, seconds: float, most: float) -> bool:
        return not self.count or self.seconds + seconds <= most
