"""Batches as rows: a stream for Ray Train in which one row is one whole batch of trainers.examples.

So every training worker takes the same number of steps: Ray deals out rows evenly. A place, the number of a window and
of a batch in it, is all that a checkpoint has to keep of the order of batches.
"""

import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import ray.data
import safetensors.torch
import torch
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from torch import Tensor

from stages import cluster
from trainers.examples import BATCH, Examples

BATCHES_BYTES = 16 << 20  # of batches that travel together: every block costs Ray some milliseconds
WINDOWS_AT_ONCE = 256  # that one execution of Ray Data makes: each costs a second to start

# Ray Data's threads look every 0.1 s whether their reader is gone. One that finds out after Ray was shut down ends the
# process, with exit status 1 and no word.
CLOSING_SECONDS = 0.5


class Place(NamedTuple):
    """Where a training is in its batches."""

    window: int = 0  # counted through all epochs
    batch: int = 0  # in the window


class Batches(Datasource):
    """Batches as Ray Data reads them: each execution gives the next windows, or always the same ones."""

    def __init__(self, examples: Examples, seed: int, start: Place, windows: int, same: bool = False) -> None:
        super().__init__()
        self.examples, self.seed, self.start, self.windows, self.same = examples, seed, start, windows, same

    def estimate_inmemory_data_size(self) -> int | None:
        """Tell Ray that it is not known."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """Give a task for each window."""
        first = self.start.window
        if data_context is not None and not self.same:
            first += data_context._execution_idx * self.windows  # Ray's own shuffles count with it, too
        return [self._task(window) for window in range(first, first + self.windows)]

    def _task(self, window: int) -> ReadTask:
        examples, seed = self.examples, self.seed
        first = self.start.batch if window == self.start.window else 0

        def read() -> Iterator[pa.Table]:
            block: list[dict[str, Any]] = []
            for batch in examples.make(seed, window, first):
                block.append(batch)
                if sum(len(row["batch"]) for row in block) >= BATCHES_BYTES:
                    yield pa.Table.from_pylist(block, schema=BATCH)
                    block = []
            yield pa.Table.from_pylist(block, schema=BATCH)

        return ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None))


def open_stream(examples: Examples, seed: int, start: Place, num_workers: int) -> ray.data.Dataset:
    """Open the endless stream of batches from a place on, to be dealt out to workers."""
    dataset = _open(Batches(examples, seed, start, WINDOWS_AT_ONCE))
    if num_workers > 1:
        # Blocks are what is dealt out. With one batch each, an update's batches are the same for any number of workers.
        dataset.context.target_max_block_size = 1
    return dataset


def open_once(examples: Examples) -> ray.data.Dataset:
    """Open one epoch of batches, the same in each reading: for validation.

    Its tasks ask for no CPU: those of the training's own stream keep theirs while they wait for the validation to end,
    and with another training's they may have all that there are. As no CPU bounds them, one runs at a time.
    """
    return _open(Batches(examples, 0, Place(), examples.windows, same=True), num_cpus=0, concurrency=1)


def _open(batches: Batches, **options: int) -> ray.data.Dataset:
    cluster.set_up_data()  # this may be Ray Train's controller
    return ray.data.read_datasource(batches, override_num_blocks=batches.windows, **options)


class Stream:
    """The batches that a worker gets, endless; it knows the place of the next one.

    Raises RuntimeError if there is none.
    """

    def __init__(self, shard: ray.data.DataIterator, device: torch.device) -> None:
        self._device = device
        self._rows = self._endless(shard)
        self._next = next(self._rows)

    def take(self) -> tuple[dict[str, Tensor], list[str]]:
        """Give the next batch, on the device, and the names of its examples."""
        row, self._next = self._next, next(self._rows)
        return to_device(row, self._device), row["names"][0].as_py()

    def close(self) -> None:
        """Let Ray Data stop: it would go on making batches."""
        self._rows.close()
        time.sleep(CLOSING_SECONDS)

    @property
    def place(self) -> Place:
        """Place of the batch that `take` gives next."""
        return Place(self._next["window"][0].as_py(), self._next["number"][0].as_py())

    def _endless(self, shard: ray.data.DataIterator) -> Generator[pa.Table, None, None]:
        while True:
            empty = True
            for row in rows(shard, self._device):
                empty = False
                yield row
            if empty:
                raise RuntimeError("the training set gives this worker no batch; use fewer workers or smaller batches")


def rows(shard: ray.data.DataIterator, device: torch.device) -> Iterable[pa.Table]:
    """Give the rows of BATCH that a worker gets, fetched ahead where it trains on a GPU.

    The threads that fetch ahead outlive the reading, and end the process if Ray is shut down before them; on CPUs they
    gain nothing.
    """
    return shard.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=2 if device.type == "cuda" else 0)


def to_device(row: pa.Table, device: torch.device) -> dict[str, Tensor]:
    """Read the tensors of a row of BATCH."""
    return {key: value.to(device) for key, value in safetensors.torch.load(row["batch"][0].as_py()).items()}
