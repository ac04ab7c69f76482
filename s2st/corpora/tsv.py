"""Recordings that fairseq's manifests list: `train.tsv` as wav2vec_manifest.py writes it, one a language and split.

A recording's name is its path below the manifest's folder without suffix, and the sentence's too: the same path in
two languages is the same sentence.
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
class TsvShard(Shard):
    """Some recordings of one manifest."""

    file: TsvFile
    folder: str
    entries: tuple[Entry, ...]


class Tsv:
    """A corpus in fairseq's manifests; see s2st.corpora.corpus for what a corpus is."""

    def __init__(self, config: TsvConfig) -> None:
        self.config = config

    def shards(self) -> list[TsvShard]:
        """Read the manifests, but no audio; raises UserError for what is wrong in them as a whole."""
        shards = []
        splits: dict[str, TsvFile] = {}
        for file in self.config.files:
            folder, entries = read_manifest(file.path)
            try:
                storage.resolve(folder)
            except ValueError as error:
                raise UserError(f"{file.path}, line 1: {error}; give the path or the bucket of the folder") from None
            if not entries:
                raise UserError(f"{file.path} lists no recordings; leave it out, or write it again")
            for entry in entries:
                other = splits.setdefault(entry.name, file)
                if other.split != file.split:
                    raise UserError(
                        f"'{entry.name}' is in two splits ({other.path} and {file.path}); move it to one, or the test "
                        "would be on what was trained on"
                    )
            for start in range(0, len(entries), FILES_PER_SHARD):
                part = tuple(entries[start : start + FILES_PER_SHARD])
                shards.append(TsvShard(file.path, len(part), file, folder, part))
        return shards

    def read(self, shard: TsvShard) -> Iterator[Recording]:
        """Read the recordings of a shard, one at a time."""
        for entry in shard.entries:
            data, reject = b"", None
            try:
                data = read_address(*parse_address(f"{shard.folder}/{entry.path}"))
            except (OSError, ValueError) as error:  # ValueError: an address of an unknown kind
                reject = f"the file cannot be read: {getattr(error, 'strerror', None) or error}"
            yield Recording(
                utterance_id=recording_id(shard.file.lang, shard.file.split, entry.name),
                sentence_id=entry.name,
                lang=shard.file.lang,
                split=shard.file.split,
                speaker=f"fairseq-{shard.file.lang}",
                text="",
                audio=data,
                reject=reject,
            )
