"""Whether ours and fairseq's units are the same ones, given the same centroids, and how good each codebook is.

python -m benchmarks.agreement PEER OURS, after a run of each side. The last line of what it prints is JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.one_process import dump
from s2st import checkpoint
from s2st.fairseq import codebooks
from s2st.models.codebook import Codebook
from s2st.schemas import UNITS
from s2st.speech_to_units import FeatureExtractor, SpeechToUnits
from stages import datasets

FRAMES_AT_ONCE = 10_000


def peer_units(peer: Path) -> dict[str, np.ndarray]:
    """Read fairseq's labels: path below the root of its manifest -> units (T,)."""
    paths = [line.split("\t")[0] for line in (peer / "train.tsv").read_text().splitlines()[1:]]
    lines = (peer / "labels" / "train_0_1.km").read_text().splitlines()
    return {path: np.array(line.split(), np.int32) for path, line in zip(paths, lines, strict=True)}


def units_with(codebook: Codebook, ours: str) -> dict[str, np.ndarray]:
    """Give the units of our whole path with other centroids: path below the root -> units (T,)."""
    extractor = SpeechToUnits.load(f"{ours}/codebook").extractor
    SpeechToUnits(FeatureExtractor(extractor.config, extractor.encoder), codebook).save(f"{ours}/peers_codebook", {})
    dump(f"{ours}/manifest", f"{ours}/peers_codebook", f"{ours}/peers_units")
    found = {}
    for row in datasets.read_table(f"{ours}/peers_units", UNITS).to_pylist():
        _, lang, split, number = row["utterance_id"].split("-")
        found[f"{lang}/{split}/{number}.wav"] = np.array(row["units"], np.int32)
    return found


def share_of_equal(ours: dict[str, np.ndarray], peer: dict[str, np.ndarray]) -> float:
    """Give the share of the peer's frames whose unit is the same; a frame that is missing is not."""
    if ours.keys() != peer.keys():
        raise ValueError(f"units of different recordings: {sorted(ours.keys() ^ peer.keys())[:3]}")
    equal = 0
    for path, expected in peer.items():
        length = min(len(expected), len(ours[path]))
        equal += int((ours[path][:length] == expected[:length]).sum())
    return equal / sum(map(len, peer.values()))


def inertia(codebook: Codebook, frames: np.ndarray) -> float:
    """Give the mean squared distance of frames (N, D) to their nearest centroids."""
    total = 0.0
    for start in range(0, len(frames), FRAMES_AT_ONCE):
        part = torch.from_numpy(np.array(frames[start : start + FRAMES_AT_ONCE]))
        nearest = codebook.centroids[codebook(part)]
        total += float((part - nearest).double().square().sum())
    return total / len(frames)


def main() -> None:
    """Compare the two sides."""
    peer, ours = Path(sys.argv[1]), sys.argv[2]
    codebook = codebooks.read(str(peer / "km.bin"))
    expected = peer_units(peer)
    frames = np.load(peer / "features" / "train_0_1.npy", mmap_mode="r")
    result = {
        "equal": share_of_equal(units_with(codebook, ours), expected),
        "frames": len(frames),
        "ours_inertia": inertia(checkpoint.load(f"{ours}/codebook", "codebook")[0], frames),
        "peer_inertia": inertia(codebook, frames),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
