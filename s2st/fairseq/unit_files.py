"""Units as text, one utterance a line or a file:

    train.km                 `u u u`, in the order of train.tsv; dict.km.txt has the units (see dictionary.py)
    train.txt                `name|u u u`, as GSLM's quantizer writes and S2UT reads
    <name>_<lang>_<n>.unit   a file an utterance, one line, the same name and n in every language, as UTUT has it

Readers give the text of the units, and `parse_units` makes units of it, so that one bad line does not stop the rest.
Source: simple_kmeans/dump_km_label.py, gslm/speech2unit/clustering/quantize_with_kmeans.py, UTUT's README.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2st.config import UserError
from s2st.fairseq.lines import check_name, read_lines, write_lines
from s2st.fairseq.utterances import find, read_utterances, write_utterances

UNIT_FILE = re.compile(r"(.+)_([a-z]{2,3})_(\d+)\.unit")
IDS = "ids.tsv"  # the table of utterances beside .unit files


class UnitsError(ValueError):
    """The text or the tokens of one utterance are no units; the message says why, in one short sentence."""


def parse_units(text: str, num_units: int) -> np.ndarray:
    """Turn "7 7 0" into units (T,), uint16; raises UnitsError for anything but units below `num_units`."""
    words = text.split()
    if not words:
        raise UnitsError("there are no units")
    strange = next((word for word in words if not re.fullmatch(r"[0-9]{1,9}", word)), None)
    if strange is not None:
        raise UnitsError(f"'{strange[:20]}' is no unit")
    return check_units(np.array(words, dtype=np.int64), num_units)


def check_units(units: np.ndarray, num_units: int) -> np.ndarray:
    """Give back units (T,), T > 0, as uint16; raises UnitsError if one is not below `num_units`."""
    if units.max() >= num_units:
        raise UnitsError(f"unit {units.max()} is not one of the {num_units} units 0 to {num_units - 1}")
    return units.astype(np.uint16)


def format_units(units: Sequence[int] | np.ndarray) -> str:
    """Turn units (T,) into "7 7 0"."""
    return " ".join(map(str, np.asarray(units).tolist()))


def write_labels(path: str | Path, sequences: Iterable[np.ndarray]) -> None:
    """Write a .km of units (T,), in the order of the manifest's recordings."""
    write_lines(path, map(format_units, sequences))


def read_labels(path: str | Path, num_recordings: int, manifest: str | Path) -> Iterator[str]:
    """Yield the text of each line of a .km whose manifest has `num_recordings`.

    Raises UserError, after the last line that both have, if it has more lines or fewer.
    """
    count = 0
    for count, (_, line) in enumerate(read_lines(path), start=1):
        if count <= num_recordings:
            yield line
    if count != num_recordings:
        raise UserError(
            f"{path} has {count} lines, but {manifest} names {num_recordings} recordings; give the manifest it was "
            "made from, and join all shards of the labels in order"
        )


def write_quantized(path: str | Path, rows: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write a file of lines `name|u u u`; names are kept whole."""
    write_lines(path, (f"{check_name(name, '|')}|{format_units(units)}" for name, units in rows))


def read_quantized(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of the units of each line; raises UserError for no name or one that comes twice."""
    first: dict[str, str] = {}
    for where, line in read_lines(path):
        name, bar, text = line.rpartition("|")
        if not bar or not name:
            raise UserError(f"{where} has no name; write name|units, as without --hide-fname")
        if first.setdefault(name, where) != where:
            raise UserError(f"{where} has the name '{name}' of {first[name]}; names must tell utterances apart")
        yield name, text


@dataclass(frozen=True)
class UnitFile:
    """A .unit file: recording `number` of what `name` says, in one language."""

    name: str
    lang: str
    number: int

    @property
    def file_name(self) -> str:
        return f"{check_name(self.name, '/')}_{self.lang}_{self.number}.unit"


def write_unit_folder(folder: str | Path, rows: Iterable[tuple[UnitFile, Mapping[str, Any]]]) -> None:
    """Write a .unit file for each row of UNITS, and the table of the utterances."""
    written: dict[str, Mapping[str, Any]] = {}
    for file, row in rows:
        if file.file_name in written:
            raise UserError(f"{folder}/{file.file_name} would hold two utterances; give each its own number")
        written[file.file_name] = row
        write_lines(Path(folder, file.file_name), [format_units(row["units"])])
    write_utterances(Path(folder, IDS), written.items())


def read_unit_folder(
    folder: str | Path, complete_tables: bool = True
) -> Iterator[tuple[UnitFile, dict[str, Any], str]]:
    """Yield each .unit file below a folder, sorted, with what a table beside it tells, and its text.

    Raises UserError for names of another form, files of several lines, a folder without files, and a file that a
    complete table lacks.
    """
    paths = sorted(Path(folder).rglob("*.unit"))
    if not paths:
        raise UserError(f"there are no .unit files in {folder}; give the folder of <name>_<lang>_<n>.unit")
    tables: dict[Path, dict[str, dict[str, Any]] | None] = {}
    for path in paths:
        match = UNIT_FILE.fullmatch(path.name)
        if not match:
            raise UserError(f"{path} does not tell its language; name it <name>_<lang>_<n>.unit")
        lines = [line for _, line in read_lines(path)]
        if len(lines) > 1:
            raise UserError(f"{path} has {len(lines)} lines; write each utterance to a file of its own")
        table = path.parent / IDS
        if table not in tables:
            tables[table] = read_utterances(table)
        file = UnitFile(match[1], match[2], int(match[3]))
        yield file, find(tables[table], path.name, table, complete_tables), "".join(lines)
