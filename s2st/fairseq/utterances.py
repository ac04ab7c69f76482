r"""Which recordings our files for fairseq are of: a table beside them, which fairseq does not read.

    train.ids.tsv    beside train.tsv, train.km or train.txt
    ids.tsv          beside .unit files

fairseq's files name an utterance. They tell neither its sentence, by which recordings of two languages make pairs, nor
its speaker. A table that was made elsewhere needs two columns, `name` (of the recording in the .tsv, or of the line or
file of units) and `sentence_id`; what else it tells of OPTIONAL is taken too. A value that is left blank is not told.

Texts, which only tables of recordings have, may hold tabs and line breaks: these are written \t, \n and \r, and a
backslash \\.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from s2st.config import UserError
from s2st.fairseq.lines import check_language
from s2st.fairseq.manifest import SPLITS
from s2st.fairseq.tsv import Line, count, read_tsv, write_tsv

REQUIRED = ("name", "sentence_id")
OPTIONAL = ("utterance_id", "lang", "split", "speaker", "num_samples", "text")
ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}


def table_of(path: str | Path) -> Path:
    """Name the table of a manifest or a file of units."""
    return Path(path).with_suffix(".ids.tsv")


def write_utterances(path: Path, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Write what rows of UNITS or MANIFEST tell, each with the name that fairseq's files give it."""
    told = [(name, {**row, "text": escape(row["text"])} if "text" in row else row) for name, row in rows]
    optional = [column for column in OPTIONAL if all(column in row for _, row in told)]
    lines = ([name, row["sentence_id"], *(row[column] for column in optional)] for name, row in told)
    write_tsv(path, (*REQUIRED, *optional), lines)


def read_utterances(path: Path) -> dict[str, dict[str, Any]] | None:
    """Read a table: by name, columns of UNITS or MANIFEST, blank or 0 where not told. None if there is no table."""
    if not path.is_file():
        return None
    utterances = {}
    owners: dict[str, str] = {}
    for line in read_tsv(path, REQUIRED, OPTIONAL):
        row = parse_row(line)
        identifier = row.get("utterance_id", "")
        if identifier and owners.setdefault(identifier, line.where) != line.where:
            raise UserError(f"{line.where} has the utterance_id '{identifier}' of {owners[identifier]}; rename one")
        utterances[row.pop("name")] = row
    return utterances


def parse_row(line: Line) -> dict[str, Any]:
    """Check a line of a table, and give its values."""
    row: dict[str, Any] = {**line.values}
    if not row["sentence_id"]:
        raise UserError(f"{line.where}: '{row['name']}' has no sentence_id; add it, the same in every language")
    if row.get("split", "") not in ("", *SPLITS):
        raise UserError(f"{line.where}: the split is '{row['split']}'; name it {', '.join(SPLITS)}")
    if row.get("lang"):
        check_language(row["lang"], line.where)
    if "num_samples" in row:
        row["num_samples"] = count(line, "num_samples") if row["num_samples"] else 0
    if "text" in row:
        row["text"] = unescape(row["text"])
    return row


def find(
    utterances: Mapping[str, dict[str, Any]] | None, name: str, path: Path, complete: bool = True
) -> dict[str, Any]:
    """Give the row of a name, an empty one without a table; raises UserError where a complete table lacks the name."""
    if utterances is None:
        return {}
    if complete and name not in utterances:
        raise UserError(f"{path} does not name '{name}', which is beside it; add its line, or remove the table")
    return utterances.get(name, {})


def check_agrees(row: Mapping[str, Any], given: Mapping[str, str | int], where: str) -> None:
    """Raise UserError where a table contradicts what settings (language, split) or a .tsv (num_samples) tell."""
    for column, value in given.items():
        told = row.get(column) or value
        if value and told != value:
            other = ".tsv" if column == "num_samples" else "settings"
            raise UserError(f"{where} has {column} {told} in the table beside it, not {value}; mend {other} or table")


def escape(text: str) -> str:
    """Write a text so that a value of a table can hold it."""
    return re.sub(r"[\\\t\n\r]", lambda found: ESCAPES[found[0]], text)


def unescape(text: str) -> str:
    """Give back a text that was escaped; a backslash before another letter stays what it is."""
    meant = {escaped: character for character, escaped in ESCAPES.items()}
    return re.sub(r"\\[\\tnr]", lambda found: meant[found[0]], text)
