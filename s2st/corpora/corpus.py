"""What every corpus gives: shards, each of which one worker reads as recordings.

A corpus is a class with two methods. `shards() -> list[Shard]` runs on the driver: it is cheap, and raises
UserError for what the user can mend (a missing folder, a language that the corpus does not have).
`read(shard) -> Iterator[Recording]` runs on a worker: it gives exactly `shard.rows` recordings, and a broken
row comes out with `reject` set instead of raising.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from s2st.config import UserError

SPLITS = ("train", "validation", "test")

# How folders of others name the splits, in lower case.
SPLIT_OF = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("validation", "valid", "val", "dev", "devel", "development", "eval"), "validation"),
        **dict.fromkeys(("test", "testing"), "test"),
    }
)


def split_of(folder: str) -> str | None:
    """Give the split that a folder's name means, in any case of letters; None if it means none."""
    return SPLIT_OF.get(folder.lower())


def check_split_folders(root: str, files: Iterable[tuple[str, str, str]]) -> None:
    """Raise UserError where two folders of a language mean one split: of dev and eval, eval is rather the test.

    A file is given by its language, the folder that names its split, and its path below the root.
    """
    first: dict[tuple[str, str | None], tuple[str, str]] = {}
    for lang, folder, path in files:
        split = split_of(folder)
        other, other_path = first.setdefault((lang, split), (folder, path))
        if other.lower() != folder.lower():
            raise UserError(
                f"{root}: the folders of {other_path} and {path} would both be the split {split}; rename them "
                "train, validation or test"
            )


def place(sentence: str, seed: int) -> float:
    """Give a sentence a place in [0, 1) by a hash, so that shares of it split a corpus that comes without splits.

    It is the same in every run and language, and stays when sentences are added.
    """
    digest = hashlib.sha256(f"{seed} {sentence}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(frozen=True)
class Shard:
    """What one worker reads; each corpus adds what it needs to find it."""

    source: str  # a file, a folder or a voice, for messages
    rows: int  # recordings in it, broken ones included


@dataclass
class Recording:
    """One utterance as the corpus has it: audio encoded in any format, not yet decoded or checked."""

    utterance_id: str  # unique in the corpus, and the same in every run
    sentence_id: str  # shared by all recordings of a sentence, in all languages
    lang: str  # ISO 639-1
    split: str  # train | validation | test
    speaker: str
    text: str
    audio: bytes  # b"" when missing
    reject: str | None = None  # why the row cannot be used
