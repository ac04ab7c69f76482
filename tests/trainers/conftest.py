from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event
from torch import Tensor, nn


@pytest.fixture
def interrupt(monkeypatch) -> Callable[[type[nn.Module], int], list[int]]:
    """A function that makes the forward of a kind of objective fail at one of its calls, and gives the list of them."""

    def interrupt(objective: type[nn.Module], at: int) -> list[int]:
        forward, calls = objective.forward, []

        def interrupted(self: nn.Module, batch: dict[str, Tensor]) -> tuple:
            calls.append(len(calls))
            if len(calls) == at:
                raise InterruptedError
            return forward(self, batch)

        monkeypatch.setattr(objective, "forward", interrupted)
        return calls

    return interrupt


@pytest.fixture
def read_events() -> Callable[[Path], list[Event]]:
    """A function that reads the only event file of a folder."""

    def read(folder: Path) -> list[Event]:
        (file,) = folder.iterdir()
        data, found = file.read_bytes(), []
        while data:  # length (8 bytes), its checksum (4), an event, its checksum (4)
            length = int.from_bytes(data[:8], "little")
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
        return found

    return read
