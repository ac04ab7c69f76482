"""Batches as rows: a dataset for Ray Train in which one row is one whole batch.

Examples are packed by length on the data workers, so that every training worker takes the same number of
steps (Ray splits rows evenly), and a batch travels as safetensors bytes: no pickle, one copy.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
import safetensors.torch
import torch
from torch import Tensor

BATCHES_BYTES = 16 << 20  # of batches that travel together: every block costs Ray some milliseconds

Collate = Callable[[list[dict], np.random.Generator], dict[str, Tensor]]


@dataclass(frozen=True)
class Packing:
    max_size: int  # of a batch: the number of its examples times the size of its largest
    window: int = 1024  # rows that are shuffled and packed together; nothing comes out before all are there
    passes: int = 1  # times that a window is gone through; starting an epoch costs about a second


def join_units(manifest: ray.data.Dataset, units: pa.Table) -> ray.data.Dataset:
    """Add to rows of a manifest the column `units` of a table of UNITS; rows that have none there are left out."""
    shared = ray.put(units.select(["utterance_id", "units"]).combine_chunks())

    def join(table: pa.Table) -> pa.Table:
        known = ray.get(shared)
        places = pc.index_in(table["utterance_id"], known["utterance_id"])
        found = pc.is_valid(places)
        return table.filter(found).append_column("units", known["units"].take(places.filter(found)))

    return manifest.map_batches(join, batch_format="pyarrow")


def packed(
    dataset: ray.data.Dataset, packing: Packing, size: Callable[[dict], int], collate: Collate
) -> ray.data.Dataset:
    """Turn a dataset of examples into one of batches."""

    def pack(table: pa.Table) -> Iterator[pa.Table]:
        rows = table.to_pylist()
        random = np.random.default_rng()  # fresh in each epoch: Ray runs the same plan again
        sizes = [size(row) for row in rows]
        batches: list[bytes] = []
        for _ in range(packing.passes):
            for indices in group(sizes, packing.max_size, random):
                batches.append(safetensors.torch.save(collate([rows[i] for i in indices], random)))
                if sum(map(len, batches)) >= BATCHES_BYTES:
                    yield _block(batches)
                    batches = []
        if batches:
            yield _block(batches)

    return dataset.map_batches(pack, batch_size=packing.window, batch_format="pyarrow", zero_copy_batch=True)


def _block(batches: list[bytes]) -> pa.Table:
    return pa.table({"batch": pa.array(batches, pa.large_binary())})


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


def unpack(data: bytes) -> dict[str, Tensor]:
    """Read a batch back."""
    return safetensors.torch.load(data)


def pad(arrays: Sequence[np.ndarray], value: float = 0) -> tuple[Tensor, Tensor]:
    """Pad arrays (L_i, ...) to one tensor (B, max L_i, ...), and give their lengths (B,)."""
    longest = max(len(array) for array in arrays)
    padded = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded), torch.tensor([len(array) for array in arrays])
