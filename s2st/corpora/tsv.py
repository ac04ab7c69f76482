"""Recordings that fairseq's manifests list: `train.tsv` as wav2vec_manifest.py writes it, one a language and split.

A recording's name is its path below the manifest's folder without suffix. Its sentence is told by the table beside the
manifest, train.ids.tsv, which those that we wrote have (s2st.fairseq.utterances). Without a table it is the name: the
same path in two languages is the same sentence, and must be in one split. What a table puts into two splits is set
aside by pipelines.build_pairs, as it was before it was exported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from s2st import storage
from s2st.config import UserError
from s2st.corpora.corpus import Recording, Shard
from s2st.fairseq.address import parse_address, read_address
from s2st.fairseq.lines import check_language, check_local
from s2st.fairseq.manifest import Entry, read_manifest, recording_id
from s2st.fairseq.utterances import check_agrees, find, read_utterances, table_of

FILES_PER_SHARD = 100


@dataclass(frozen=True)
class TsvFile:
    path: str  # of the manifest; the folder that it names may be in a bucket
    lang: str
    split: Literal["train", "validation", "test"]

    def __post_init__(self) -> None:
        check_local(self.path, "path of a file of tsv")
        check_language(self.lang, f"lang of {self.path}")


@dataclass(frozen=True)
class TsvConfig:
    files: tuple[TsvFile, ...]


@dataclass(frozen=True)
class Item:
    """A recording of a manifest, and what is known of it."""

    entry: Entry
    utterance_id: str
    sentence_id: str
    speaker: str
    text: str


@dataclass(frozen=True)
class TsvShard(Shard):
    """Some recordings of one manifest."""

    file: TsvFile
    folder: str
    items: tuple[Item, ...]


class Tsv:
    """A corpus in fairseq's manifests; see s2st.corpora.corpus for what a corpus is."""

    def __init__(self, config: TsvConfig) -> None:
        self.config = config

    def shards(self) -> list[TsvShard]:
        """Read the manifests, but no audio; raises UserError for what is wrong in them as a whole."""
        shards = []
        splits: dict[str, TsvFile] = {}
        owners: dict[str, TsvFile] = {}
        for file in self.config.files:
            folder, entries = read_manifest(file.path)
            try:
                storage.resolve(folder)
            except ValueError as error:
                raise UserError(f"{file.path}, line 1: {error}; give the path or the bucket of the folder") from None
            if not entries:
                raise UserError(f"{file.path} lists no recordings; leave it out, or write it again")
            items = _items(file, entries)
            _check_ids(items, file, owners)
            if not table_of(file.path).is_file():  # what a table tells is for pipelines.build_pairs to judge
                _check_splits(items, file, splits)
            for start in range(0, len(items), FILES_PER_SHARD):
                part = tuple(items[start : start + FILES_PER_SHARD])
                shards.append(TsvShard(file.path, len(part), file, folder, part))
        return shards

    def read(self, shard: TsvShard) -> Iterator[Recording]:
        """Read the recordings of a shard, one at a time."""
        for item in shard.items:
            data, reject = b"", None
            try:
                data = read_address(*parse_address(f"{shard.folder}/{item.entry.path}"))
            except (OSError, ValueError) as error:  # ValueError: an address of an unknown kind
                reject = f"the file cannot be read: {getattr(error, 'strerror', None) or error}"
            yield Recording(
                utterance_id=item.utterance_id,
                sentence_id=item.sentence_id,
                lang=shard.file.lang,
                split=shard.file.split,
                speaker=item.speaker,
                text=item.text,
                audio=data,
                reject=reject,
            )


def _items(file: TsvFile, entries: list[Entry]) -> list[Item]:
    """Give the recordings of a manifest with what its table tells, if it has one."""
    path = table_of(file.path)
    table = read_utterances(path)
    items = []
    for entry in entries:
        told = find(table, entry.name, path)
        given: dict[str, str | int] = {"lang": file.lang, "split": file.split, "num_samples": entry.num_samples}
        check_agrees(told, given, f"{file.path}: '{entry.name}'")
        items.append(
            Item(
                entry,
                told.get("utterance_id") or recording_id(file.lang, file.split, entry.name),
                told.get("sentence_id") or entry.name,
                told.get("speaker") or f"fairseq-{file.lang}",
                told.get("text", ""),
            )
        )
    return items


def _check_ids(items: list[Item], file: TsvFile, owners: dict[str, TsvFile]) -> None:
    """Add the utterances of a file to those of the files before; raises UserError for one that was there."""
    for item in items:
        if item.utterance_id in owners:
            raise UserError(
                f"the utterance '{item.utterance_id}' comes twice (in {owners[item.utterance_id].path} and "
                f"{file.path}); give each file once, and each recording an utterance_id of its own"
            )
        owners[item.utterance_id] = file


def _check_splits(items: list[Item], file: TsvFile, splits: dict[str, TsvFile]) -> None:
    """Add the sentences of a file that their names tell; raises UserError for one that was in another split."""
    for item in items:
        other = splits.setdefault(item.sentence_id, file)
        if other.split != file.split:
            raise UserError(
                f"the sentence '{item.sentence_id}' is in two splits ({other.path} and {file.path}); move it to one, "
                "or the test would be on what was trained on"
            )
