"""Rows that are written exactly once, whatever is killed on the way.

Ray Data's checkpoints remember the rows of each file that was written whole; the same stream, started again, leaves
them out. Names and order of those files depend on workers and kills, so they are merged in the end: the dataset is
the same for any number of workers. Rows whose column `reason` is filled become its rejects.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet
import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig

from s2st import storage
from s2st.schemas import REJECTS
from stages.datasets import REJECTS_FOLDER

PARTS = "_parts"  # below the dataset: files of rows as they came, and the checkpoints that name these rows
MERGED = "_merged.json"  # the parts are no longer needed
ROWS_PER_FILE = 200_000  # sorted in memory at once
ROWS_PER_GROUP = 10_000  # of the Parquet files: what a reader holds at once


def with_reason(schema: pa.Schema) -> pa.Schema:
    """Give the schema of the rows to write: those of the dataset, and why a row is a reject (null: it is none)."""
    return schema.append(pa.field("reason", pa.string()))


def write(stream: Callable[[], ray.data.Dataset], num_rows: int, folder: str, schema: pa.Schema) -> None:
    """Write `num_rows` rows with the columns of `with_reason(schema)`; what a killed run wrote is kept.

    `stream` makes the dataset, which begins with a reading of Parquet and keeps `utterance_id` from there to its end;
    it is not called if all rows are there.
    """
    parts = f"{folder}/{PARTS}"
    if not storage.is_file(f"{folder}/{MERGED}"):
        if _pending(parts) or _count(parts) < num_rows:
            _write_parts(stream(), parts)
        if (written := _count(parts)) != num_rows:
            raise RuntimeError(f"{folder}: {num_rows} rows in, but {written} written")
        _merge(parts, folder, schema)
        storage.write_json(f"{folder}/{MERGED}", {})
    storage.delete_folder(parts)


def _write_parts(dataset: ray.data.Dataset, parts: str) -> None:
    dataset.context.checkpoint_config = CheckpointConfig(
        id_column="utterance_id", checkpoint_path=f"{parts}/written", delete_checkpoint_on_success=False
    )
    system, path = storage.resolve(f"{parts}/rows")
    dataset.write_parquet(path, filesystem=system)


def _count(parts: str) -> int:
    """Count the utterances that are written, each once."""
    if not storage.list_files(f"{parts}/rows", ".parquet"):
        return 0
    ids = _parts(parts).to_table(columns=["utterance_id"])["utterance_id"]
    return pc.count_distinct(ids).as_py()


def _pending(parts: str) -> bool:
    """Tell whether a kill left a file that may not be whole; Ray deletes it when the stream starts again."""
    return bool(storage.list_files(f"{parts}/written", ".pending.parquet"))


def _merge(parts: str, folder: str, schema: pa.Schema) -> None:
    """Write the dataset's files, by language and split, from the parts."""
    ids = _parts(parts).to_table(columns=["lang", "split", "utterance_id"])
    groups = ids.group_by(["lang", "split"]).aggregate([]).to_pylist()
    tasks = []
    for group in groups:
        chosen = (pc.field("lang") == group["lang"]) & (pc.field("split") == group["split"])
        names = ids.filter(chosen)["utterance_id"].unique().sort()
        for number, start in enumerate(range(0, len(names), ROWS_PER_FILE)):
            part = names[start : start + ROWS_PER_FILE]
            within = chosen & (pc.field("utterance_id") >= part[0]) & (pc.field("utterance_id") <= part[-1])
            tasks.append(
                _merge_group.remote(
                    parts, folder, schema, within, f"lang={group['lang']}/split={group['split']}", number
                )
            )
    ray.get(tasks)


@ray.remote
def _merge_group(parts: str, folder: str, schema: pa.Schema, chosen: pc.Expression, place: str, number: int) -> None:
    """Write one file of rows of one language and split, in the order of their ids."""
    table = _unique(_parts(parts).to_table(filter=chosen).sort_by("utterance_id"))
    kept = table.filter(pc.is_null(table["reason"])).select(schema.names).cast(schema)
    rejected = table.filter(pc.is_valid(table["reason"])).select(REJECTS.names).cast(REJECTS)
    if len(kept):
        _write_file(kept.drop_columns(["lang", "split"]), f"{folder}/{place}/part-{number:05d}.parquet")
    if len(rejected):
        _write_file(rejected, f"{folder}/{REJECTS_FOLDER}/{place}/part-{number:05d}.parquet")


def _unique(table: pa.Table) -> pa.Table:
    """Drop repeated rows of a sorted table.

    A worker that outlives its killed driver for a moment may still write what the next run has begun to make again.
    """
    ids = table["utterance_id"].combine_chunks()
    repeated = pc.equal(ids[1:], ids[:-1])
    return table.filter(pa.concat_arrays([pa.array([True]), pc.invert(repeated)])) if len(ids) > 1 else table


def _parts(parts: str) -> Any:
    system, path = storage.resolve(f"{parts}/rows")
    return pyarrow.dataset.dataset(path, filesystem=system, format="parquet")


def _write_file(table: pa.Table, address: str) -> None:
    """Write a Parquet file whole or not at all."""
    system, path = storage.resolve(address)
    system.create_dir(path.rpartition("/")[0], recursive=True)
    pyarrow.parquet.write_table(
        table, f"{path}.new", filesystem=system, compression="zstd", row_group_size=ROWS_PER_GROUP
    )
    system.move(f"{path}.new", path)
