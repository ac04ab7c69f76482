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

    @contextmanager
    def take(self, seconds: float, most: float) -> Iterator[None]:
        """Take on some seconds of speech; raises BusyError if they would be more than `most`, unless there are none."""
        if self.seconds and self.seconds + seconds > most:
            raise BusyError(f"{self.seconds:.0f} s of speech are worked on")
        self.seconds += seconds
        try:
            yield
        finally:
            self.seconds -= seconds

    @asynccontextmanager
    async def wait(self, seconds: float, most: float) -> AsyncIterator[None]:
        """Take on some seconds as `take` does, once there is room for them."""
        while self.seconds and self.seconds + seconds > most:
            await asyncio.sleep(LOOK_SECONDS)
        with self.take(seconds, most):
            yield
