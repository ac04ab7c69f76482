"""Lines from steps to the person at the terminal.

Steps run in other processes, maybe on other machines; one small actor carries what they tell to the driver.
"""

from collections.abc import Callable

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

NAME = "console"


@ray.remote(num_cpus=0)
class Console:
    """Holds lines until the driver takes them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> list[str]:
        """Give the lines since the last call."""
        lines, self.lines = self.lines, []
        return lines


def open_console() -> Callable[[], list[str]]:
    """Start the console of this job; returns the function that takes its lines."""
    # It lives with the driver, so that no lost node takes it along.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    console = Console.options(name=NAME, get_if_exists=True, scheduling_strategy=here).remote()  # type: ignore[attr-defined]
    return lambda: ray.get(console.take.remote())


def tell(line: str) -> None:
    """Send a line to the driver; print it where no driver listens."""
    if ray.is_initialized():
        try:
            ray.get_actor(NAME).tell.remote(line)
            return
        except ValueError:  # no console: the step was called directly, from a test or a notebook
            pass
    print(line, flush=True)
