"""What fairseq-preprocess --dataset-impl mmap makes: tokens in a .bin, where each sequence begins in an .idx.

    .idx    "MMIDIDX" 0 0, version 1 (u64), code of the type of tokens (u8), n (u64), n lengths (i32), n offsets (i64)
    .bin    the tokens, one sequence behind the other; all little-endian

Source: fairseq/data/indexed_dataset.py (MMapIndexedDataset), fairseq_cli/preprocess.py.
"""

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from s2st.config import UserError
from s2st.fairseq.parallel_text import SIDES

MAGIC = b"MMIDIDX\0\0"
HEADER = struct.Struct("<QBQ")  # version, type, number of sequences
TYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2", 9: "<u4", 10: "<u8"}  # 6 and 7 are of audio
SMALL_DICTIONARY = 65_500  # below it, tokens are uint16, else uint32


def side_prefixes(folder: str | Path, split: str, sides: tuple[str, str] = SIDES) -> list[str]:
    """Paths, without .idx and .bin, of both sides of a parallel corpus: train.src-tgt.src and train.src-tgt.tgt.

    `sides` are what fairseq-preprocess was given as --source-lang and --target-lang.
    """
    return [f"{folder}/{split}.{'-'.join(sides)}.{side}" for side in sides]


def write_indexed(prefix: str | Path, sequences: Iterable[np.ndarray], dictionary_size: int) -> None:
    """Write sequences of tokens (N,), one after the other, in the type that fairseq takes for such a dictionary."""
    code = 8 if dictionary_size < SMALL_DICTIONARY else 9
    kind = np.dtype(TYPES[code])
    lengths = []
    Path(prefix).parent.mkdir(parents=True, exist_ok=True)
    with open(f"{prefix}.bin", "wb") as file:
        for tokens in sequences:
            assert not len(tokens) or 0 <= np.min(tokens) <= np.max(tokens) < dictionary_size
            file.write(np.asarray(tokens, dtype=kind).tobytes())
            lengths.append(len(tokens))
    starts = np.cumsum([0, *lengths], dtype="<i8")[:-1] * kind.itemsize
    with open(f"{prefix}.idx", "wb") as file:
        file.write(MAGIC + HEADER.pack(1, code, len(lengths)))
        file.write(np.array(lengths, dtype="<i4").tobytes())
        file.write(starts.tobytes())


class IndexedSequences:
    """Sequences of tokens in `<prefix>.idx` and `<prefix>.bin`, read from disk one at a time.

    Raises UserError if the files are not there, are of another kind, or do not fit together.
    """

    def __init__(self, prefix: str | Path):
        try:
            index, self.size = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").stat().st_size
        except OSError as error:
            raise UserError(f"cannot read {error.filename}: {error.strerror}; give the folder of both files") from None
        begin = len(MAGIC) + HEADER.size
        if index[: len(MAGIC)] != MAGIC or len(index) < begin:
            raise UserError(f"{prefix}.idx is no memory-mapped index; run fairseq-preprocess with --dataset-impl mmap")
        version, code, count = HEADER.unpack_from(index, len(MAGIC))
        if version != 1 or code not in TYPES:
            raise UserError(f"{prefix}.idx is version {version} with tokens of type {code}; only version 1 is known")
        if len(index) != begin + 12 * count:
            raise UserError(f"{prefix}.idx promises {count} sequences, but is cut or has more; copy it again")
        self.kind = np.dtype(TYPES[code])
        self.lengths = np.frombuffer(index, "<i4", count, begin)
        self.starts = np.frombuffer(index, "<i8", count, begin + 4 * count)
        ends = self.starts + self.lengths.astype(np.int64) * self.kind.itemsize
        if count and not (self.lengths.min() >= 0 and self.starts.min() >= 0 and ends.max() <= self.size):
            raise UserError(f"{prefix}.bin is shorter than {prefix}.idx says; copy it again")
        self.tokens = np.memmap(f"{prefix}.bin", mode="r") if self.size else np.empty(0, np.uint8)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> np.ndarray:
        """Tokens (N,), int64, of sequence i."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        part = self.tokens[self.starts[i] : self.starts[i] + int(self.lengths[i]) * self.kind.itemsize]
        return part.view(self.kind).astype(np.int64)
