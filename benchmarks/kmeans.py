"""k-means on frames of HuBERT (base, random weights) and on frames in groups: ours against fairseq's learn_kmeans.py.

python -m benchmarks.kmeans [--frames 36000] [--runs 3]
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import results, usage
from benchmarks.results import Row, row
from benchmarks.wav_to_units import NUM_UNITS, fairseq_examples, last_line, module

FRAMES = 36_000
RUNS = 3
FRAMES_A_MINUTE = 2950  # of speech: 50 a second, less what the ends of recordings lose
KINDS = {"hubert": "HuBERT layer 6", "groups": "synthetic groups"}
HEADER = """\
k-means fit, {frames} frames of 768 features, K={units}. Counted: CPU-seconds (user and system) of whole processes,
imports included, one thread each, no GPU; memory is resident.
  peer: learn_kmeans.py of fairseq, unmodified (scikit-learn's MiniBatchKMeans, best of 20 starts)
  ours: `fit` of the stage fit_codebook with its settings as they are
Inertia: squared distance of a frame to its centroid, on average. Medians of {runs} runs; each side has one seed."""


def compare(folder: Path, kind: str, runs: int) -> Iterator[Row]:
    """Run both sides, in turn, and give the rows of one kind of frames."""
    features, log = folder / f"{kind}_frames", folder / "log"
    script = fairseq_examples() / "hubert" / "simple_kmeans" / "learn_kmeans.py"
    peers, ours = [], []
    for _ in range(runs):
        command = [script, features, "train", 1, features / "km.bin", NUM_UNITS]
        peers.append(usage.run(module("benchmarks.fairseq_script", *command), log))
        ours.append(usage.run(module("benchmarks.kmeans_parts", "fit", features, NUM_UNITS), log))
    usage.run(module("benchmarks.kmeans_parts", "score", features), log)
    found, name = last_line(log), f"k-means fit, {KINDS[kind]}"
    seconds = [statistics.median(used.cpu_seconds for used in side) for side in (ours, peers)]
    peaks = [statistics.median(used.peak_mb for used in side) for side in (ours, peers)]
    yield row(f"{name}: CPU time", *seconds, "CPU-s")
    yield row(f"{name}: peak memory", *peaks, "MB")
    yield row(f"{name}: inertia", found["ours"], found["peer"], "per frame")


def run(frames: int = FRAMES, runs: int = RUNS) -> Iterator[Row]:
    """Compare ours with fairseq's on both kinds of frames; prints what is counted, and gives rows as they are there."""
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        minutes = frames / FRAMES_A_MINUTE
        usage.run(module("benchmarks.prepare", folder, "--minutes", minutes, "--hubert"), folder / "log")
        usage.run(module("benchmarks.kmeans_parts", "frames", folder, frames), folder / "log")
        print(HEADER.format(frames=frames, units=NUM_UNITS, runs=runs))
        for kind in KINDS:
            yield from compare(folder, kind, runs)


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--runs", type=int, default=RUNS)
    arguments = parser.parse_args()
    print(results.table(results.kept(run(arguments.frames, arguments.runs))))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
