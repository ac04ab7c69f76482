"""A parallel corpus of units as text: train.src and train.tgt, line by line the same sentence, and valid, test.

Beside them train.ids.tsv says which recordings a line is of, so that nothing is aligned by faith. fairseq does not
read it. Source: what fairseq-preprocess reads with --source-lang src --target-lang tgt.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from s2st.config import UserError
from s2st.fairseq.lines import check_name, read_lines, write_lines
from s2st.fairseq.unit_files import format_units

SIDES = ("src", "tgt")  # the ends of the names of our files
IDS = ("pair_id", "sentence_id", "source_utterance_id", "target_utterance_id")  # columns of .ids.tsv, as in PAIRS


def write_parallel_text(folder: str | Path, split: str, pairs: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of PAIRS, in their order, as `<split>.src`, `<split>.tgt` and `<split>.ids.tsv`."""
    rows = list(pairs)
    for side, column in zip(SIDES, ("source_units", "target_units"), strict=True):
        write_lines(Path(folder, f"{split}.{side}"), (format_units(row[column]) for row in rows))
    write_ids(folder, split, rows)


def write_ids(folder: str | Path, split: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `<split>.ids.tsv`: the IDS of each line."""
    lines = ("\t".join(check_name(row[name], "\t") for name in IDS) for row in rows)
    write_lines(Path(folder, f"{split}.ids.tsv"), ["\t".join(IDS), *lines])


def read_parallel_text(folder: str | Path, split: str, sides: tuple[str, str] = SIDES) -> Iterator[tuple[str, str]]:
    """Yield the text of both sides of each line; raises UserError if one file has more lines than the other."""
    files = [Path(folder, f"{split}.{side}") for side in sides]
    for source, target in zip_longest(*map(read_lines, files)):
        if source is None or target is None:
            longer, shorter = files if target is None else files[::-1]
            raise UserError(f"{longer} has more lines than {shorter}; they must be of one corpus, line by line")
        yield source[1], target[1]


def read_ids(folder: str | Path, split: str, num_lines: int) -> list[dict[str, str]] | None:
    """Read `<split>.ids.tsv`, None if there is none; raises UserError if it is not of `num_lines` lines."""
    path = Path(folder, f"{split}.ids.tsv")
    if not path.is_file():
        return None
    (where, header), *lines = list(read_lines(path)) or [(f"{path}, line 1", "")]
    if tuple(header.split("\t")) != IDS:
        raise UserError(f"{where} must be the names {', '.join(IDS)}, with tabs between")
    if len(lines) != num_lines:
        raise UserError(f"{path} names {len(lines)} pairs, but there are {num_lines}; write both anew, or remove it")
    rows = []
    for where, line in lines:
        if line.count("\t") != len(IDS) - 1:
            raise UserError(f"{where} has not {len(IDS)} fields")
        rows.append(dict(zip(IDS, line.split("\t"), strict=True)))
    return rows
