"""Read pairs from fairseq's formats into a dataset of PAIRS; see pipelines.exchange.

Beside files that we wrote, a sidecar tells which recordings a pair is of; else ids are made of the numbers of lines.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.fairseq_import import Parts, Units, check_new
from s2st.config import UserError
from s2st.fairseq.binarized import IndexedSequences, side_prefixes
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.lines import check_language, check_local
from s2st.fairseq.manifest import SPLITS
from s2st.fairseq.parallel_text import SIDES, read_ids, read_parallel_text
from s2st.fairseq.unit_files import UnitsError, check_units, parse_units
from s2st.schemas import PAIRS
from s2st.units import reduce
from stages.stage import Counts, Step

SPLIT_BEGINNINGS = ("train", "valid", "val", "dev", "eval", "test")  # of files that someone takes for a split

Read = Callable[[], list[np.ndarray]]  # gives the units of both sides of a pair, or raises UnitsError


@dataclass(frozen=True)
class PairsSource:
    """A folder with the files of one direction: every split that is there is read."""

    format: Literal["text", "binarized"]
    path: str  # folder of train.src and train.tgt, or of train.src-tgt.src.idx, ... and dict.src.txt, dict.tgt.txt
    source_lang: str
    target_lang: str
    sides: tuple[str, str] = SIDES  # how the files' names end: --source-lang, --target-lang of the tools

    def __post_init__(self) -> None:
        check_local(self.path, "path of read_pairs")
        check_language(self.source_lang, f"source_lang of {self.path}")
        check_language(self.target_lang, f"target_lang of {self.path}")


def import_pairs(sources: tuple[PairsSource, ...], step: Step, units: Units) -> Counts:
    """Read every source into PAIRS, reduced; pairs without units on one side are set aside."""
    parts = Parts(step.output, PAIRS)
    seen: set[str] = set()
    for source in sources:
        for row, read in read_pairs(source, units.num_units):
            check_new(row["pair_id"], seen, source.path)
            try:
                source_units, target_units = (reduce(value)[0] for value in read())
                row.update(source_units=source_units, target_units=target_units, codebook=units.columns["codebook"])
            except UnitsError as error:
                row.update(utterance_id=row["pair_id"], lang=source.source_lang, reason=str(error))
            parts.add(row)
    return parts.close()


def read_pairs(source: PairsSource, num_units: int) -> Iterator[tuple[dict[str, Any], Read]]:
    """Yield the row of each pair, all but its units, and what reads these."""
    if source.format == "text":
        endings = [f".{side}" for side in source.sides]
    else:
        endings = [f".{'-'.join(source.sides)}.{side}.idx" for side in source.sides]
    for split, theirs in find_splits(Path(source.path), endings).items():
        reads = list(READERS[source.format](source, theirs, num_units))
        identifiers = read_ids(source.path, theirs, len(reads))
        for i, read_pair in enumerate(reads):
            name = f"{source.source_lang}-{source.target_lang}-{split}-{i + 1}"
            row = {
                "pair_id": name,
                "sentence_id": name,
                "source_utterance_id": f"{name}-source",
                "target_utterance_id": f"{name}-target",
                **(identifiers[i] if identifiers else {}),
                "source_lang": source.source_lang,
                "target_lang": source.target_lang,
                "split": split,
            }
            yield row, read_pair


def find_splits(folder: Path, endings: list[str]) -> dict[str, str]:
    """Give our and fairseq's names of the splits that a folder holds; raises UserError if one would be left out."""
    splits = {ours: name for ours, name in SPLITS.items() if any(Path(folder, name + end).exists() for end in endings)}
    if not splits:
        raise UserError(
            f"there is no train{endings[0]}, nor of valid or test, in {folder}; "
            f"name the folder of one direction, such as {folder}/en-hi, and its sides"
        )
    for end in endings:
        for path in sorted(folder.glob(f"*{end}")):
            name = path.name.removesuffix(end)
            if name.startswith(SPLIT_BEGINNINGS) and name not in splits.values():
                known = ", ".join(SPLITS.values())
                raise UserError(f"{path} would be left out: only {known} are read; rename or move it")
    return splits


def read_text(source: PairsSource, split: str, num_units: int) -> Iterator[Read]:
    """Yield for each line what reads its units."""
    for texts in read_parallel_text(source.path, split, source.sides):
        yield lambda texts=texts: [parse_units(text, num_units) for text in texts]


def read_binarized(source: PairsSource, split: str, num_units: int) -> Iterator[Read]:
    """Yield for each pair of sequences what reads its units; each side has a dictionary."""
    dictionaries = [Dictionary.load(Path(source.path, f"dict.{side}.txt")) for side in source.sides]
    prefixes = side_prefixes(source.path, split, source.sides)
    sides = [IndexedSequences(prefix) for prefix in prefixes]
    if len(sides[0]) != len(sides[1]):
        raise UserError(f"{prefixes[0]} has {len(sides[0])} sequences, {prefixes[1]} {len(sides[1])}; binarize again")
    both = list(zip(dictionaries, sides, strict=True))
    for i in range(len(sides[0])):
        yield lambda i=i: [check_units(dictionary.decode(side[i]), num_units) for dictionary, side in both]


READERS = {"text": read_text, "binarized": read_binarized}
