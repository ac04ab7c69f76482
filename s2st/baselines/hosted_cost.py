"""What hosted services were given to do, and what that costs by the prices of their lists."""

import dataclasses
import threading
from dataclasses import dataclass, field
from typing import Any

from s2st import storage


@dataclass(frozen=True)
class Prices:
    """From the price list of a service, which changes: look it up."""

    currency: str = "USD"
    minute_heard: float = 0.0  # of speech that is sent
    million_characters_translated: float = 0.0  # of text that is sent to be translated
    million_characters_spoken: float = 0.0  # of text that is sent to be spoken
    minute_spoken: float = 0.0  # of speech that comes back

    def __post_init__(self) -> None:
        if min(value for value in dataclasses.asdict(self).values() if not isinstance(value, str)) < 0:
            raise ValueError("prices must not be negative")


@dataclass
class Usage:
    """Counts what is done; safe for threads."""

    requests: int = 0  # that were answered
    seconds_heard: float = 0.0
    characters_translated: int = 0
    characters_spoken: int = 0
    seconds_spoken: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: float) -> None:
        """Count one more request that was answered, and what it did: fields and their increments."""
        with self._lock:
            self.requests += 1
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def totals(self, prices: Prices | None) -> dict[str, Any]:
        """Give the counts, and beside them cost and currency where prices are known."""
        with self._lock:
            counts = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return counts if prices is None else {**counts, "cost": self.cost(prices), "currency": prices.currency}

    def cost(self, prices: Prices) -> float:
        """Add up what was done by its prices."""
        minutes = self.seconds_heard * prices.minute_heard + self.seconds_spoken * prices.minute_spoken
        characters = (
            self.characters_translated * prices.million_characters_translated
            + self.characters_spoken * prices.million_characters_spoken
        )
        return minutes / 60 + characters / 1_000_000


def add_up(folder: str) -> dict[str, Any] | None:
    """Add up the totals that several translators wrote into a folder as JSON; None if there are none."""
    added: dict[str, Any] = {}
    for path in storage.list_files(folder, ".json"):
        for name, value in storage.read_json(f"{folder}/{path.rpartition('/')[2]}").items():
            added[name] = value if isinstance(value, str) else added.get(name, 0) + value
    return added or None
