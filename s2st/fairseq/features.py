"""Features as simple_kmeans dumps them: `<split>_<rank>_<shards>.npy` with the frames of all utterances of a shard,
one behind the other, and `.len` with the number of frames of each, a line an utterance.

Source: simple_kmeans/feature_utils.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from s2st.config import UserError
from s2st.fairseq.lines import read_lines


def read_features(folder: str | Path, split: str) -> Iterator[np.ndarray]:
    """Yield the features (T, D) of each utterance, in the order of the manifest, from disk one at a time.

    Raises UserError if a shard is missing or an array has another number of frames than its .len says.
    """
    for path in _shards(folder, split):
        lengths = []
        for where, line in read_lines(path.with_suffix(".len")):
            if not re.fullmatch(r"\d+", line.strip()):
                raise UserError(f"{where}: '{line}' is no number of frames; dump the features again")
            lengths.append(int(line))
        frames = _open(path)
        if len(frames) != sum(lengths):
            raise UserError(f"{path} has {len(frames)} frames, but its .len {sum(lengths)}; dump the features again")
        start = 0
        for length in lengths:
            yield np.array(frames[start : start + length], dtype=np.float32)
            start += length


def _shards(folder: str | Path, split: str) -> list[Path]:
    """List the arrays of a split in the order of ranks."""
    ranks: dict[int, Path] = {}
    totals = set()
    for path in Path(folder).glob("*.npy"):
        match = re.fullmatch(rf"{re.escape(split)}_(\d+)_(\d+)\.npy", path.name)
        if match:
            ranks[int(match[1])] = path
            totals.add(int(match[2]))
    if len(totals) > 1:
        raise UserError(f"{folder} has {split} in {sorted(totals)} shards; remove those that you do not mean")
    total = max(totals, default=1)
    missing = [rank for rank in range(total) if rank not in ranks]
    if missing:
        raise UserError(f"{folder}/{split}_{missing[0]}_{total}.npy is missing; dump every shard of the features")
    return [ranks[rank] for rank in range(total)]


def _open(path: Path) -> np.ndarray:
    """Map a matrix of floats; an array of Python objects is refused, since it would run what it holds."""
    try:
        frames = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as features ({error}); dump them again") from None
    if frames.ndim != 2 or frames.dtype.kind != "f":
        raise UserError(f"{path} is {frames.dtype}, {frames.shape}; features are floats (frames, dimensions)")
    return frames
