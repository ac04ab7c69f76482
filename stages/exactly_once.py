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
        if _pending(parts) or _count(f"{parts}/rows") < num_rows:
            _write_parts(stream(), parts)
        _merge(parts, folder, schema)
        storage.write_json(f"{folder}/{MERGED}", {})
    storage.delete_folder(parts)


def _write_parts(dataset: ray.data.Dataset, parts: str) -> None:
    dataset.context.checkpoint_config = CheckpointConfig(
        id_column="utterance_id", checkpoint_path=f"{parts}/written", delete_checkpoint_on_success=False
    )
    system, path = storage.resolve(f"{parts}/rows")
    dataset.write_parquet(path, filesystem=system)


def _count(folder: str) -> int:
    system, _ = storage.resolve(folder)
    paths = storage.list_files(folder, ".parquet")
    return sum(pyarrow.parquet.read_metadata(path, filesystem=system).num_rows for path in paths)


def _pending(parts: str) -> bool:
    """Tell whether a kill left a file that may not be whole; Ray deletes it when the stream starts again."""
    return bool(storage.list_files(f"{parts}/written", ".pending.parquet"))


def _merge(parts: str, folder: str, schema: pa.Schema) -> None:
    """Write the dataset's files, one a language and split, from the parts."""
    table = _parts(parts).to_table(columns=["lang", "split"])
    groups = table.group_by(["lang", "split"]).aggregate([]).sort_by([("lang", "ascending"), ("split", "ascending")])
    ray.get([_merge_group.remote(parts, folder, schema, row["lang"], row["split"]) for row in groups.to_pylist()])


@ray.remote
def _merge_group(parts: str, folder: str, schema: pa.Schema, lang: str, split: str) -> None:
    """Write the rows of one language and split in the order of their ids."""
    chosen = (pc.field("lang") == lang) & (pc.field("split") == split)
    table = _unique(_parts(parts).to_table(filter=chosen).sort_by("utterance_id"))
    kept = table.filter(pc.is_null(table["reason"])).select(schema.names).cast(schema)
    rejected = table.filter(pc.is_valid(table["reason"])).select(REJECTS.names).cast(REJECTS)
    if len(kept):
        _write_file(kept.drop_columns(["lang", "split"]), f"{folder}/lang={lang}/split={split}/part-0.parquet")
    if len(rejected):
        _write_file(rejected, f"{folder}/{REJECTS_FOLDER}/{lang}-{split}.parquet")


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
