from collections.abc import Callable

import pytest
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
