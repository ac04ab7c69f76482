"""Datasets on disk: folders of Parquet, partitioned by language and split, read and written by schema."""

import collections
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet
import ray.data

from s2st import storage
from s2st.config import UserError
from s2st.schemas import REJECTS

BLOCK_ROWS = 256
BATCH_ROWS = 8
REJECTS_FOLDER = "_rejects"


def files(folder: str, schema: pa.Schema) -> list[str]:
    """List a dataset's Parquet files; raises UserError if it is missing, empty or lacks a column."""
    paths = [path for path in storage.list_files(folder, ".parquet") if f"/{REJECTS_FOLDER}/" not in path]
    if not paths:
        raise UserError(f"{folder} holds no rows; look at {folder}/{REJECTS_FOLDER} for the reasons")
    system, _ = storage.resolve(folder)
    found = pyarrow.parquet.read_schema(paths[0], filesystem=system)
    partitions = [part.partition("=")[0] for part in paths[0].split("/") if "=" in part]
    missing = [name for name in schema.names if name not in found.names and name not in partitions]
    if missing:
        raise UserError(
            f"{folder} has no column '{missing[0]}' (found: {', '.join([*found.names, *partitions])}); "
            f"name another section, or, if an older version wrote it, delete it and run its section again"
        )
    return paths


def count(folder: str, schema: pa.Schema) -> int:
    """Count a dataset's rows from the files' footers."""
    system, _ = storage.resolve(folder)
    return sum(pyarrow.parquet.read_metadata(path, filesystem=system).num_rows for path in files(folder, schema))


def read(
    folder: str, schema: pa.Schema, columns: Sequence[str] | None = None, shuffle_files: bool = False
) -> ray.data.Dataset:
    """Open a dataset as a stream, in blocks small enough that workers share the rows of a file.

    Files come in order, or in a new order each time the stream is read: for training, since one file is one language.
    """
    dataset = _open(folder, files(folder, schema), columns or schema.names, shuffle_files)
    return dataset.repartition(target_num_rows_per_block=BLOCK_ROWS)


def read_shards(
    folder: str, schema: pa.Schema, columns: Sequence[str], utterance_ids: pa.Array | None = None
) -> ray.data.Dataset:
    """Open a dataset, or only the named utterances, as a stream in blocks of `context.target_max_block_size` bytes.

    A recording may last a second or hours: shares of a number of rows would be as unequal.
    """
    paths = files(folder, schema)
    if utterance_ids is None:
        return _open(folder, paths, columns)
    return only(_open(folder, _files_with(folder, paths, utterance_ids), columns), utterance_ids)


def _files_with(folder: str, paths: Sequence[str], utterance_ids: pa.Array) -> list[str]:
    """Choose the files that hold some of the utterances, so that the audio of others is not read."""
    system, _ = storage.resolve(folder)
    columns = [pyarrow.parquet.read_table(path, columns=["utterance_id"], filesystem=system) for path in paths]
    found = [pc.any(pc.is_in(table["utterance_id"], utterance_ids)).as_py() for table in columns]
    return [path for path, there in zip(paths, found, strict=True) if there]


def _open(folder: str, paths: list[str], columns: Sequence[str], shuffle_files: bool = False) -> ray.data.Dataset:
    system, _ = storage.resolve(folder)
    dataset = ray.data.read_parquet(
        paths,
        filesystem=system,
        partitioning=ray.data.datasource.partitioning.Partitioning("hive"),
        file_extensions=None,
        shuffle="files" if shuffle_files else None,
    )
    return dataset.select_columns(list(columns))


def only(dataset: ray.data.Dataset, utterance_ids: pa.Array) -> ray.data.Dataset:
    """Keep the rows of the named utterances."""
    wanted = ray.put(utterance_ids)
    return dataset.map_batches(
        lambda table: table.filter(pc.is_in(table["utterance_id"], ray.get(wanted))), batch_format="pyarrow"
    )


def read_table(
    folder: str, schema: pa.Schema, columns: Sequence[str] | None = None, where: pc.Expression | None = None
) -> pa.Table:
    """Read a dataset that fits in memory (units, pairs, scores), in a stable order of files and rows.

    `where` chooses rows, while they are read.
    """
    system, _ = storage.resolve(folder)
    dataset = pyarrow.dataset.dataset(files(folder, schema), filesystem=system, partitioning="hive")
    names = list(columns or schema.names)
    table = dataset.to_table(columns=names, filter=where)
    return table.cast(pa.schema([schema.field(name) for name in names]))


def read_batches(folder: str, schema: pa.Schema, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read a dataset of any size here, some rows at a time, in a stable order of files and rows."""
    system, _ = storage.resolve(folder)
    dataset = pyarrow.dataset.dataset(files(folder, schema), filesystem=system, partitioning="hive")
    # few rows, no readahead: a recording may last an hour
    yield from dataset.to_batches(
        columns=list(columns or schema.names), batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=0
    )


def write(dataset: ray.data.Dataset, folder: str, partitions: Sequence[str] = ("lang", "split")) -> None:
    """Write a stream of rows to a clean folder."""
    system, path = storage.resolve(folder)
    dataset.write_parquet(path, filesystem=system, partition_cols=list(partitions))


def write_table(table: pa.Table, folder: str, part: int = 0) -> None:
    """Write a table as one file, the only one of its dataset or one part of it."""
    system, path = storage.resolve(folder)
    system.create_dir(path, recursive=True)
    pyarrow.parquet.write_table(table, f"{path}/part-{part}.parquet", filesystem=system, compression="zstd")


def set_aside(rows: Sequence[dict[str, Any]], folder: str) -> None:
    """Write rejected rows (keys of REJECTS) beside a dataset, under a name made of what they hold.

    A task that Ray runs twice writes the same file twice, so no reject is counted twice.
    """
    if rows:
        table = pa.Table.from_pylist([{name: row[name] for name in REJECTS.names} for row in rows], schema=REJECTS)
        name = hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest()[:24]
        system, path = storage.resolve(f"{folder}/{REJECTS_FOLDER}")
        system.create_dir(path, recursive=True)
        pyarrow.parquet.write_table(table, f"{path}/{name}.parquet", filesystem=system)


def rejects(folder: str) -> list[dict[str, Any]]:
    """Read the rejected rows of a dataset."""
    system, _ = storage.resolve(f"{folder}/{REJECTS_FOLDER}")
    paths = storage.list_files(f"{folder}/{REJECTS_FOLDER}", ".parquet")
    return [row for file in paths for row in pyarrow.parquet.read_table(file, filesystem=system).to_pylist()]


def usual_reason(folder: str) -> str | None:
    """Give the most frequent reason of the rejected rows of a dataset; None where no row is set aside."""
    reasons = collections.Counter(row["reason"] for row in rejects(folder))
    return reasons.most_common(1)[0][0] if reasons else None


def check_nothing_lost(folder: str, rows_in: int, rows_out: int, num_rejects: int) -> None:
    """Stop if rows vanished: each row that came in must be a row of the output or a reject."""
    if rows_in != rows_out + num_rejects:
        raise RuntimeError(f"{folder}: {rows_in} rows in, but {rows_out} out and {num_rejects} rejects")
