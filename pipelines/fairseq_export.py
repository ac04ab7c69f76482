"""Write our datasets in fairseq's formats, each into a folder of its name; see pipelines.exchange.

manifest/<lang>/        audio/<utterance_id>.flac, train.tsv, train.ids.tsv, ...
km/<lang>/              train.km, its train.tsv, train.ids.tsv, ..., dict.km.txt
quantized/<lang>/       train.txt, train.ids.tsv, ...
unit_files/<split>/     <lang>/<sentence_id>_<lang>_<n>.unit, ids.tsv
text/<from>-<to>/       train.src, train.tgt, train.ids.tsv, ...
binarized/<from>-<to>/  train.src-tgt.src.idx, ..., dict.src.txt, dict.tgt.txt, train.ids.tsv, ...
kmeans/                 centroids.npy, km.bin
"""

import contextlib
import functools
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.fairseq import codebooks
from s2st.fairseq.binarized import side_prefixes, write_indexed
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.lines import check_name
from s2st.fairseq.manifest import Entry, split_name, write_manifest
from s2st.fairseq.parallel_text import SIDES, write_ids, write_parallel_text
from s2st.fairseq.unit_files import UnitFile, UnitsError, write_labels, write_quantized, write_unit_folder
from s2st.fairseq.utterances import table_of, write_utterances
from s2st.models.codebook import Codebook
from s2st.schemas import MANIFEST, PAIRS, UNITS
from s2st.speech_to_units import units_info
from stages import datasets
from stages.stage import Step

Order = Literal["number", "frequency"]  # of the units in a dictionary
UNIT_COLUMNS = {"units": ("units",), "pairs": ("source_units", "target_units")}


@dataclass(frozen=True)
class Export:
    """What the writers of formats share: where they write, and the settings of the step."""

    step: Step
    folder: Path  # local; what is in it ends up in the step's output
    formats: tuple[str, ...]  # all that the section writes
    num_units: int
    dictionary: Order
    multitask: bool

    def table(self, name: str, schema: pa.Schema) -> tuple[pa.Table, int]:
        """Read an input with units, checked to be of one codebook, and the number of units of that codebook."""
        table = datasets.read_table(self.step.input(name), schema)
        columns = [pc.max(pc.list_flatten(table[column])).as_py() or 0 for column in UNIT_COLUMNS[name]]
        names, greatest = set(table["codebook"].to_pylist()), max(columns)
        num_units = self.num_units or greatest + 1
        if self.step.input_list("codebook"):
            expected, num_units = units_info(self.step.input("codebook"))
            if names != {expected}:
                raise UserError(f"section '{self.step.name}': the {name} are not of {self.step.input('codebook')}")
        if len(names) > 1:
            raise UserError(f"section '{self.step.name}': the {name} are of {len(names)} codebooks; export each alone")
        if greatest >= num_units:
            raise UserError(
                f"section '{self.step.name}': there is a unit {greatest}, but num_units={num_units}; raise num_units"
            )
        return table, num_units


@contextlib.contextmanager
def local_folder(output: str) -> Iterator[str]:
    """Give the output's folder if it is local, or else one that is copied into the output at the end."""
    if "://" not in output:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="s2st-") as folder:
        yield folder
        storage.copy_folder(folder, output)


def write_manifests(given: Export, folder: Path) -> int:
    """Write the recordings as FLAC, and a .tsv for each language and split."""
    recordings: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    columns = ["utterance_id", "sentence_id", "lang", "split", "speaker", "text", "audio", "num_samples"]
    for batch in datasets.read_batches(given.step.input("manifest"), MANIFEST, columns):
        for row in batch.to_pylist():
            path = folder / row["lang"] / "audio" / recording(row).path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row.pop("audio")["bytes"])
            recordings[row["lang"], row["split"]].append(row)
    for (lang, split), rows in recordings.items():
        write_manifest_of(rows, folder / lang / f"{split_name(split)}.tsv", audio_folder(given, lang))
    return sum(map(len, recordings.values()))


def write_manifest_of(rows: list[dict[str, Any]], path: Path, audio: str) -> None:
    """Write the .tsv of some utterances, sorting them by path, and the table of them."""
    rows.sort(key=lambda row: recording(row).path)
    write_manifest(path, audio, map(recording, rows))
    write_utterances(table_of(path), ((recording(row).name, row) for row in rows))


def recording(row: dict[str, Any]) -> Entry:
    """Make the entry of a manifest of an utterance."""
    return Entry(f"{check_name(row['utterance_id'], '/')}.flac", row["num_samples"])


def audio_folder(given: Export, lang: str) -> str:
    """Where the recordings of a language are, or "." if this section does not write them."""
    return f"{given.step.output}/manifest/{lang}/audio" if "manifest" in given.formats else "."


def write_km(given: Export, folder: Path) -> int:
    """Write labels with the .tsv that they are aligned to: only utterances that have units are in it."""
    table, num_units = given.table("units", UNITS)
    if pc.any(pc.less(table["num_samples"], 1)).as_py():
        raise UserError(
            f"section '{given.step.name}' cannot write km: {given.step.input('units')} does not know how many samples "
            "an utterance has; give the section that imported it the input 'manifest'"
        )
    for lang, split, rows in by_language(table):
        write_manifest_of(rows, folder / lang / f"{split}.tsv", audio_folder(given, lang))
        write_labels(folder / lang / f"{split}.km", (row["units"] for row in rows))
        Dictionary.by_number(num_units).save(folder / lang / "dict.km.txt")
    return len(table)


def write_quantized_files(given: Export, folder: Path) -> int:
    """Write lines `utterance_id|units`."""
    table, _ = given.table("units", UNITS)
    for lang, split, rows in by_language(table):
        path = folder / lang / f"{split}.txt"
        write_quantized(path, ((row["utterance_id"], row["units"]) for row in rows))
        write_utterances(table_of(path), ((row["utterance_id"], row) for row in rows))
    return len(table)


def write_unit_files(given: Export, folder: Path) -> int:
    """Write a file an utterance; the recordings of a sentence are numbered in each language."""
    table, _ = given.table("units", UNITS)
    for lang, split, rows in by_language(table):
        numbers: Counter[str] = Counter()
        files = []
        for row in rows:
            file = UnitFile(row["sentence_id"], lang, numbers[row["sentence_id"]])
            numbers[row["sentence_id"]] += 1
            files.append((file, row))
        write_unit_folder(folder / split / lang, files)
    return len(table)


def write_kmeans(given: Export, folder: Path) -> int:
    """Write the centroids, as pipelines.fit_codebook can too; gives their number."""
    codebook, _ = checkpoint.load(given.step.input("codebook"), "codebook")
    assert isinstance(codebook, Codebook)
    for name in codebooks.EXPORTS.values():
        codebooks.write(f"{folder}/{name}", codebook)
    return codebook.config.num_units


def by_language(table: pa.Table) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield the language, fairseq's name of the split, and the rows of UNITS in the order of their ids."""
    for (lang, split), part in grouped(table.sort_by("utterance_id"), ("lang", "split")):
        yield lang, split_name(split), list(rows_of(part))


def write_text(given: Export, folder: Path) -> int:
    """Write the lines of both sides, and which recordings they are of."""
    table, _ = given.table("pairs", PAIRS)
    for (source, target, split), part in grouped(table, ("source_lang", "target_lang", "split")):
        write_parallel_text(folder / f"{source}-{target}", split_name(split), rows_of(part))
    return len(table)


def write_binarized(given: Export, folder: Path) -> int:
    """Write tokens of one dictionary for both sides; pairs with a unit that it lacks are set aside."""
    table, num_units = given.table("pairs", PAIRS)
    for (source, target), part in grouped(table, ("source_lang", "target_lang")):
        path = folder / f"{source}-{target}"
        splits = {split: rows for (split,), rows in grouped(part, ("split",))}
        dictionary = Dictionary.by_number(num_units)
        if given.dictionary == "frequency":
            if "train" not in splits:
                raise UserError(f"{source}-{target} has no training pairs to count units in; take dictionary=number")
            training = rows_of(splits["train"])
            dictionary = Dictionary.by_frequency(row[side] for row in training for side in UNIT_COLUMNS["pairs"])
        for side in SIDES:
            dictionary.save(path / f"dict.{side}.txt")
        for split, rows in splits.items():
            write_tokens(given, path, split_name(split), rows, dictionary)
    return len(table)


def write_tokens(given: Export, folder: Path, split: str, table: pa.Table, dictionary: Dictionary) -> None:
    """Write the pairs of a split."""
    kept, tokens, rejects = [], [], []
    for row in rows_of(table):
        try:
            tokens.append([dictionary.encode(row.pop(side)) for side in UNIT_COLUMNS["pairs"]])
            kept.append(row)
        except UnitsError as error:
            reason = f"{error}, which lists the units of the training split"
            rejects.append({**row, "utterance_id": row["pair_id"], "lang": row["source_lang"], "reason": reason})
    datasets.set_aside(rejects, given.step.output)
    if kept:
        for prefix, side in zip(side_prefixes(folder, split), zip(*tokens, strict=True), strict=True):
            write_indexed(prefix, side, len(dictionary))
        write_ids(folder, split, kept)


def grouped(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[tuple[str, ...], pa.Table]]:
    """Yield each combination of values of the columns, sorted, and its rows, in the table's order."""
    for key in sorted(tuple(row.values()) for row in table.select(columns).group_by(columns).aggregate([]).to_pylist()):
        chosen = [pc.equal(table[column], value) for column, value in zip(columns, key, strict=True)]
        yield key, table.filter(functools.reduce(pc.and_, chosen))


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows one at a time, units as arrays."""
    lists = [name for name in table.column_names if pa.types.is_list(table.schema.field(name).type)]
    for batch in table.to_batches(max_chunksize=1 << 12):
        plain = batch.drop_columns(lists).to_pylist()
        for i, row in enumerate(plain):
            yield {**row, **{name: batch[name][i].values.to_numpy() for name in lists}}
