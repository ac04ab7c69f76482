"""Examples of a dataset on disk, and how they become batches: rows of BATCH.

Examples are packed by length on the data workers, and a batch travels as safetensors bytes: no pickle, one copy.

The order of batches is a function of the seed alone. A dataset's row groups are shuffled anew for each epoch, and some
of them together are a window, whose rows are shuffled and packed. Windows are counted through all epochs.
"""

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import ray
import safetensors.torch
import torch
from torch import Tensor

from s2st import storage
from stages import datasets
from stages.console import tell

LEAST_ROW_GROUPS = 4  # of a window, where there are enough: one row group has one language

Collate = Callable[[list[dict], np.random.Generator], dict[str, Tensor]]

BATCH = pa.schema(
    [
        ("batch", pa.large_binary()),  # tensors as safetensors
        ("names", pa.list_(pa.string())),  # of the rows in it
        ("window", pa.int64()),
        ("number", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Packing:
    max_size: int  # of a batch: the number of its examples times the size of its largest
    window: int = 1024  # rows, about, that are shuffled and packed together; nothing comes out before all are there


@dataclass(frozen=True)
class Examples:
    """Rows of a dataset on disk, and how they become batches."""

    row_groups: Sequence[pyarrow.dataset.ParquetFileFragment]
    schema: pa.Schema
    columns: Sequence[str]  # that are read; the first one names a row
    where: Mapping[str, str]  # values of columns: other rows are left out
    prepare: Callable[[pa.Table], pa.Table]  # joins, filters, encodes rows
    size: Callable[[dict], int]  # of a row, in the unit of `packing.max_size`
    collate: Collate
    packing: Packing
    times: Callable[[dict], float] | None = None  # how often a row comes in an epoch, on average; None: all come once

    @property
    def windows(self) -> int:
        """Number of windows of an epoch."""
        rows = sum(group.row_groups[0].num_rows for group in self.row_groups)
        most = max(1, len(self.row_groups) // LEAST_ROW_GROUPS)
        return min(most, max(1, round(rows / self.packing.window)))

    def has_rows(self) -> bool:
        """Tell whether there is a row; most often the first row group, read here, has one."""
        return any(len(self.prepare(self._read(group))) for group in self.row_groups)

    def make(self, seed: int, window: int, first: int = 0) -> Iterator[dict[str, Any]]:
        """Make the batches of a window, from the one numbered `first` on: rows of BATCH."""
        epoch, part = divmod(window, self.windows)
        order = np.random.default_rng((seed, epoch)).permutation(len(self.row_groups))
        chosen = np.array_split(order, self.windows)[part]
        rows = self.prepare(pa.concat_tables(self._read(self.row_groups[i]) for i in chosen)).to_pylist()
        random = np.random.default_rng((seed, window))
        if self.times is not None:
            rows = repeat(rows, [self.times(row) for row in rows], random)
        for number, indices in enumerate(group([self.size(row) for row in rows], self.packing.max_size, random)):
            if number >= first:
                examples = [rows[i] for i in indices]
                batch = self.collate(examples, np.random.default_rng((seed, window, number)))
                names = [row[self.columns[0]] for row in examples]
                yield {
                    "batch": safetensors.torch.save(batch),
                    "names": names,
                    "window": window,
                    "number": number,
                }

    def _read(self, row_group: pyarrow.dataset.ParquetFileFragment) -> pa.Table:
        table = row_group.to_table(schema=self.schema, columns=list(dict.fromkeys([*self.columns, *self.where])))
        for column, value in self.where.items():
            table = table.filter(pc.equal(table[column], value))
        return table.select(list(self.columns))


def examples(
    folder: str,
    schema: pa.Schema,
    columns: Sequence[str],
    where: Mapping[str, str],
    packing: Packing,
    size: Callable[[dict], int],
    collate: Collate,
    prepare: Callable[[pa.Table], pa.Table] = lambda table: table,
    times: Callable[[dict], float] | None = None,
) -> Examples | None:
    """Open a dataset for training; None if no row is as `where` says, or `prepare` leaves none.

    See `Examples` for the arguments.
    """
    system, _ = storage.resolve(folder)
    dataset = pyarrow.dataset.dataset(datasets.files(folder, schema), filesystem=system, partitioning="hive")
    fits = functools.reduce(operator.and_, (pc.field(column) == value for column, value in where.items()))
    if not dataset.count_rows(filter=fits):
        return None
    row_groups = [
        row_group
        for fragment in dataset.get_fragments()
        if _can_hold(fragment, where)
        for row_group in fragment.split_by_row_group()
    ]
    opened = Examples(row_groups, dataset.schema, columns, where, prepare, size, collate, packing, times)
    if not opened.has_rows():
        tell(f"{folder}: no row can be used of those with {where}, so the training does without them")
        return None
    return opened


def _can_hold(fragment: pyarrow.dataset.Fragment, where: Mapping[str, str]) -> bool:
    """Tell by the names of its folders whether a file can have rows that are as `where` says."""
    keys = pyarrow.dataset.get_partition_keys(fragment.partition_expression)
    return all(keys.get(column, value) == value for column, value in where.items())


class JoinUnits:
    """Adds to rows of a manifest the column `units` of a table of UNITS; rows that have none there are left out.

    Other columns of the table come with it, if they are named.
    """

    def __init__(self, units: pa.Table, *others: str) -> None:
        self.columns = ("units", *others)
        table = units.select(["utterance_id", *self.columns])
        offsets = pa.large_list(table.schema.field("units").type.value_type)  # 12,000 hours pass those of 32 bits
        self.shared = ray.put(table.set_column(1, "units", table["units"].cast(offsets)).combine_chunks())

    def __call__(self, table: pa.Table) -> pa.Table:
        """Join: a table with utterance_id -> the same with units, and the other columns."""
        known = ray.get(self.shared)
        places = pc.index_in(table["utterance_id"], known["utterance_id"])
        found = pc.is_valid(places)
        table, places = table.filter(found), places.filter(found)
        for name in self.columns:
            table = table.append_column(name, known[name].take(places))
        return table


def repeat(rows: Sequence[dict], times: Sequence[float], random: np.random.Generator) -> list[dict]:
    """Give rows as often as `times` say on average: one with 2.3 comes two or three times, with 0.5 once or never."""
    counts = np.floor(np.asarray(times) + random.random(len(rows))).astype(int)
    return [row for row, count in zip(rows, counts, strict=True) for _ in range(count)]


def group(sizes: Sequence[int], max_size: int, random: np.random.Generator) -> list[list[int]]:
    """Group examples of similar size into batches under the budget, in random order; each example once.

    A batch may be one example that alone is over the budget.
    """
    order = np.argsort(np.asarray(sizes) * random.uniform(0.95, 1.05, len(sizes)), kind="stable")
    groups: list[list[int]] = [[]]
    largest = 0
    for index in order:
        largest = max(largest, sizes[index])
        if groups[-1] and largest * (len(groups[-1]) + 1) > max_size:
            groups.append([])
            largest = sizes[index]
        groups[-1].append(int(index))
    random.shuffle(groups)
    return groups if sizes else []


def pad(arrays: Sequence[np.ndarray], value: float = 0) -> tuple[Tensor, Tensor]:
    """Pad arrays (L_i, ...) to one tensor (B, max L_i, ...), and give their lengths (B,)."""
    longest = max(len(array) for array in arrays)
    padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded), torch.tensor([len(array) for array in arrays])
