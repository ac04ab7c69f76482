"""Read units from fairseq's formats into a dataset of UNITS; see pipelines.exchange.

An utterance has only a name there. If the input `manifest` is given, the utterance must be in it, by the id that the
table of utterances beside the units tells or by its name, and the sentence, the speaker and the length come from it.
Else they come from that table, which those that we wrote have (s2st.fairseq.utterances). Without either, the name is
taken for the sentence's, so that files of two languages that have the same names make pairs. Targets of S2UT take the
sentence of their source's recording.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.fairseq_import import Parts, Units, check_new
from s2st import audio
from s2st.config import UserError
from s2st.fairseq import speech_folder, utterances
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.features import read_features
from s2st.fairseq.lines import check_language, check_local
from s2st.fairseq.manifest import read_manifest, recording_id
from s2st.fairseq.speech_to_speech import parse_target
from s2st.fairseq.unit_files import UnitsError, format_units, read_labels, read_quantized, read_unit_folder
from s2st.schemas import MANIFEST, UNITS
from s2st.units import reduce
from stages import datasets
from stages.stage import Counts, Step

KNOWN = ("utterance_id", "sentence_id", "lang", "split", "speaker", "num_samples")


@dataclass(frozen=True)
class UnitsSource:
    """Units of one split, if they have one, and of one language, unless the files' names tell theirs."""

    format: Literal["km", "quantized", "unit_files", "features", "s2ut"]
    path: str  # a file (km, quantized) or a folder (unit_files, s2ut; features, where <name of the tsv>_0_1.npy is)
    split: Literal["train", "validation", "test", ""] = ""  # none: the manifest's, or build_pairs makes splits
    lang: str = ""  # of all but unit_files; of s2ut, where the tables do not name the target's
    tsv: str = ""  # km and features: the manifest that names the utterances, in order

    def __post_init__(self) -> None:
        if (self.format in ("km", "features")) != bool(self.tsv):
            raise ValueError(f"format={self.format} and tsv='{self.tsv}' contradict: km and features need a tsv, only")
        if self.format == "s2ut" and self.split:
            raise ValueError(f"format=s2ut and split={self.split} contradict: all tables of the folder are read")
        if self.format != "s2ut" and (self.format != "unit_files") != bool(self.lang):
            raise ValueError(f"format={self.format} and lang='{self.lang}' contradict: all but unit_files need a lang")
        check_local(self.path, "path of read_units")
        check_local(self.tsv, "tsv of read_units")
        if self.lang:
            check_language(self.lang, f"lang of {self.path}")


@dataclass(frozen=True)
class Utterance:
    """An utterance as fairseq's files have it."""

    name: str
    sentence: str
    lang: str
    value: str | np.ndarray  # text of units, or features (T, D)
    num_samples: int = 0  # 0 if unknown
    told: dict[str, Any] = field(default_factory=dict)  # by a table beside the units


def import_units(sources: tuple[UnitsSource, ...], step: Step, units: Units) -> Counts:
    """Read every source into UNITS; utterances that have no units, or are not in the manifest, are set aside."""
    known = known_utterances(step)
    parts = Parts(step.output, UNITS)
    seen: set[str] = set()
    num_samples = 0
    for source in sources:
        for utterance in read_units(source, units, complete_tables=known is None):
            row = identify(utterance, source, known)
            check_new(row["utterance_id"], seen, source.path)
            try:
                if "reason" not in row:
                    value = units.of(utterance.value)
                    row.update(units=value, durations=reduce(value)[1], **units.columns)
                    num_samples += row["num_samples"]
            except UnitsError as error:
                row["reason"] = str(error)
            parts.add(row)
    return parts.close(num_samples / audio.SAMPLE_RATE / 3600)


def read_units(source: UnitsSource, units: Units, complete_tables: bool) -> Iterator[Utterance]:
    """Yield the utterances of a source, in the order of its files; complete tables beside them must name each."""
    if source.format == "unit_files":
        for file, told, text in read_unit_folder(source.path, complete_tables):
            name = file.file_name.removesuffix(".unit")
            yield Utterance(name, f"{file.name}-{file.number}", file.lang, text, told=told)
        return
    if source.format == "s2ut":
        yield from read_targets(Path(source.path), source.lang)
        return
    path = utterances.table_of(source.tsv or source.path)
    table = utterances.read_utterances(path)
    if source.format == "quantized":
        for name, text in read_quantized(source.path):
            told = utterances.find(table, name, path, complete_tables)
            yield Utterance(name, name, source.lang, text, told=told)
        return
    _, entries = read_manifest(source.tsv)
    values: Iterator[Any] = read_labels(source.path, len(entries), source.tsv)
    if source.format == "features":
        values = checked_features(source, len(entries), units)
    for entry, value in zip(entries, values, strict=True):
        told = utterances.find(table, entry.name, path, complete_tables)
        yield Utterance(entry.name, entry.name, source.lang, value, entry.num_samples, told)


def read_targets(folder: Path, lang: str) -> Iterator[Utterance]:
    """Yield the targets of every table of an S2UT folder; the sentence is the source's, as s2st.corpora.s2s has it."""
    for split in speech_folder.splits(folder):
        for line in speech_folder.read_table(folder, split):
            text = format_units(parse_target(line))
            target_lang = speech_folder.language(line, "tgt_lang", lang)
            sentence = speech_folder.utterance_name(line)
            told = {"split": speech_folder.our_split(split)}
            yield Utterance(line.values["id"], sentence, target_lang, text, told=told)


def check_dictionary(path: Path, num_units: int) -> None:
    """Raise UserError if there is a dictionary beside the labels, and it is malformed or has too many units."""
    if path.is_file() and (found := len(Dictionary.load(path).symbols)) > num_units:
        raise UserError(f"{path} names {found} units, but there are only {num_units}; are the labels of this codebook?")


def checked_features(source: UnitsSource, num_recordings: int, units: Units) -> Iterator[np.ndarray]:
    """Yield the features (T, D) of each recording; raises UserError if they fit neither codebook nor manifest."""
    assert units.speech_to_units is not None
    feature_dim = units.speech_to_units.codebook.config.feature_dim
    count = 0
    for count, features in enumerate(read_features(source.path, Path(source.tsv).stem), start=1):
        if features.shape[1] != feature_dim:
            raise UserError(f"{source.path} has features of {features.shape[1]} dimensions, the codebook {feature_dim}")
        if count <= num_recordings:
            yield features
    if count != num_recordings:
        raise UserError(f"{source.path} has features of {count} utterances, but {source.tsv} names {num_recordings}")


def known_utterances(step: Step) -> dict[str, dict[str, Any]] | None:
    """Read the manifest, without its audio, if there is one: utterance_id -> its row."""
    if not step.input_list("manifest"):
        return None
    rows = datasets.read_table(step.input("manifest"), MANIFEST, KNOWN).to_pylist()
    return {row["utterance_id"]: row for row in rows}


def identify(utterance: Utterance, source: UnitsSource, known: dict[str, dict[str, Any]] | None) -> dict[str, Any]:
    """Make the row of an utterance, all but its units; the key `reason` is there if it cannot be used."""
    own = {
        "utterance_id": recording_id(utterance.lang, source.split, utterance.name),
        "sentence_id": utterance.sentence,
        "lang": utterance.lang,
        "split": source.split,
        "speaker": f"fairseq-{utterance.lang}",
        "num_samples": utterance.num_samples,
    }
    row = {column: utterance.told.get(column) or value for column, value in own.items()}
    if known is None:
        given = {column: own[column] for column in ("lang", "split", "num_samples")}
        utterances.check_agrees(utterance.told, given, f"{source.path}: '{utterance.name}'")
        return row
    names = (row["utterance_id"], own["utterance_id"], utterance.name)
    found = next((known[name] for name in names if name in known), None)
    if found is None:
        return {**row, "reason": "the manifest has no such utterance"}
    if (found["lang"], found["split"]) != (utterance.lang, source.split or found["split"]):
        return {**row, "reason": f"the manifest has it in {found['lang']}, {found['split']}"}
    return dict(found)
