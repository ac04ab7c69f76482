"""What every corpus gives: shards, each of which one worker reads as recordings.

A corpus is a class with two methods. `shards() -> list[Shard]` runs on the driver: it is cheap, and raises
UserError for what the user can mend (a missing folder, a language that the corpus does not have).
`read(shard) -> Iterator[Recording]` runs on a worker: it gives exactly `shard.rows` recordings, and a broken
row comes out with `reject` set instead of raising.
"""

import hashlib
from dataclasses import dataclass
from types import MappingProxyType

SPLITS = ("train", "validation", "test")

# How folders of others name the splits, in lower case.
SPLIT_OF = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("validation", "valid", "val", "dev", "devel", "development", "eval"), "validation"),
        **dict.fromkeys(("test", "testing"), "test"),
    }
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
