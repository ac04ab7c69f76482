"""The tables of fairseq's speech tasks: tabs, a header, nothing quoted or escaped."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from s2st.config import UserError
from s2st.fairseq.lines import read_lines
from s2st.storage import write_bytes

SEPARATORS = "\t\n\r"


class Line(NamedTuple):
    where: str  # for messages: the file and the number of the line
    values: dict[str, str]  # by column


def write_tsv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """Write a table; a value that holds a tab or a line break, or no row at all, raises UserError."""
    lines = ["\t".join(columns)]
    for row in rows:
        values = [str(value) for value in row]
        for column, value in zip(columns, values, strict=True):
            if any(separator in value for separator in SEPARATORS):
                raise UserError(
                    f"{path}: {column} {value!r} holds a tab or a line break, which tables cannot; rename it"
                )
        lines.append("\t".join(values))
    if len(lines) == 1:
        raise UserError(f"{path} would hold no row, and fairseq refuses an empty table; leave this split out")
    write_bytes(str(path), ("\n".join(lines) + "\n").encode())


def read_tsv(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> list[Line]:
    """Read a table with the columns `required`, in any order, and any of `optional`; the first is a unique id.

    Raises UserError for a file, column or value that is missing or too much, and for an id that is there twice.
    """
    (_, header), *lines = list(read_lines(path)) or [("", "")]
    columns = header.split("\t")
    missing = [column for column in required if column not in columns]
    unknown = [column for column in columns if column not in (*required, *optional)]
    if missing or unknown or len(set(columns)) < len(columns):
        may_be = f", and may be {list(optional)} too" if optional else ""
        raise UserError(
            f"{path}, line 1: the columns are {columns}, but must be {list(required)}{may_be}; mend the header"
        )
    first: dict[str, str] = {}
    table = []
    for where, line in lines:
        values = line.split("\t")
        if len(values) != len(columns):
            raise UserError(f"{where}: {len(values)} values for {len(columns)} columns; mend the line")
        row = dict(zip(columns, values, strict=True))
        name = row[required[0]]
        if first.setdefault(name, where) != where:
            raise UserError(f"{where} has the {required[0]} '{name}' of {first[name]}; rename one")
        table.append(Line(where, row))
    if not table:
        raise UserError(f"{path} holds no row; write it again, or leave this split out")
    return table


def count(line: Line, column: str) -> int:
    """Give a value that must be a whole number, 0 or more."""
    value = line.values[column]
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise UserError(f"{line.where}: {column} is {value[:20]!r}, not a whole number; mend it")
    return int(value)
