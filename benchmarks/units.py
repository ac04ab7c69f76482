"""From recordings to units, in one process: ours against fairseq's own scripts.

python -m benchmarks.units [--minutes 12] [--mfcc-minutes 180] [--runs 3] [--text en=FILE hi=FILE ...]
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile

from benchmarks import peer, results, usage
from benchmarks.peer import module
from benchmarks.results import Row, row
from benchmarks.usage import Usage

NUM_UNITS = 100
LAYER = 6
HEADER = """\
Recordings to units of {what}, {minutes:.1f} minutes in {files} files ({kind}), K={units}.
Counted: CPU-seconds (user and system) of whole processes, imports included, one thread each, no GPU.
  peer: dump_{{mfcc,hubert}}_feature.py, learn_kmeans.py and dump_km_label.py of fairseq, unmodified
  ours: k-means of fit_codebook, SpeechToUnits of dump_units, without Ray; units with the centroids fairseq fitted
Medians of {runs} runs, each side in turn. Ratio: ours / peer, so times as fast for speeds."""
SPEED = "audio h / CPU-h"
TEXT_HELP = "lang=FILE of sentences, a line each, for espeak-ng to speak beside the human sample"


def last_line(log: Path) -> Any:
    """Read the JSON that a command printed last."""
    return json.loads(log.read_text().splitlines()[-1])


def run_ours(folder: Path, part: str, *arguments: object) -> Usage:
    """Run a part of our side."""
    return usage.run(module("benchmarks.ours", part, *arguments), folder / "ours.log")


def median(runs: Sequence[Usage]) -> float:
    """Median of the CPU-seconds of some runs."""
    return statistics.median(run.cpu_seconds for run in runs)


def prepare(folder: Path, minutes: float, text: Sequence[str], hubert: bool, runs: int) -> float:
    """Write recordings and what both sides start from; prints the header, gives the hours."""
    arguments = ["--minutes", minutes, *(["--text", *text] if text else []), *(["--hubert"] if hubert else [])]
    usage.run(module("benchmarks.prepare", folder, *arguments), folder / "log")
    wavs = [soundfile.info(path) for path in (folder / "wavs").rglob("*.wav")]
    seconds = sum(wav.duration for wav in wavs)
    what = f"HuBERT base (random weights), layer {LAYER}" if hubert else "MFCC"
    kind = "half human, half espeak-ng" if text else "human"
    print(HEADER.format(minutes=seconds / 60, files=len(wavs), kind=kind, units=NUM_UNITS, runs=runs, what=what))
    return seconds / 3600


def mfcc(minutes: float, runs: int, text: Sequence[str] = ()) -> Iterator[Row]:
    """Compare units of MFCC."""
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        hours = prepare(folder, minutes, text, hubert=False, runs=runs)
        theirs, wavs = folder / "peer", folder / "wavs"
        theirs.mkdir()
        peer.manifest(wavs, theirs)
        peer.mfcc_features(theirs)
        peer.kmeans(theirs, NUM_UNITS)
        run_ours(folder, "codebook", theirs / "km.bin", folder / "codebook", "mfcc")
        peers, ours = [], []
        for _ in range(runs):
            peers.append(peer.mfcc_features(theirs).cpu_seconds + peer.labels(theirs).cpu_seconds)
            ours.append(run_ours(folder, "dump", wavs, folder / "codebook", folder / "units.parquet", "fp32"))
        yield row("units.mfcc", hours * 3600 / median(ours), hours * 3600 / statistics.median(peers), SPEED)
        run_ours(folder, "compare", folder / "units.parquet", theirs)
        yield row("units.mfcc_equal", last_line(folder / "ours.log")["equal"], None, "share of frames")


def hubert(minutes: float, runs: int, text: Sequence[str] = ()) -> Iterator[Row]:
    """Compare k-means on frames of HuBERT, and units of it."""
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        hours = prepare(folder, minutes, text, hubert=True, runs=runs)
        theirs, features = folder / "peer", folder / "peer" / "features" / "train_0_1.npy"
        theirs.mkdir()
        peer.manifest(folder / "wavs", theirs)
        peers: dict[str, list[Usage]] = {"features": [], "kmeans": [], "labels": []}
        run_ours(folder, "precisions")
        precisions = last_line(folder / "ours.log")
        ours: dict[str, list[Usage]] = {name: [] for name in ("fit", *precisions)}
        for _ in range(runs):
            peers["features"].append(peer.hubert_features(theirs, folder / "hubert.pt", LAYER))
            peers["kmeans"].append(peer.kmeans(theirs, NUM_UNITS))
            peers["labels"].append(peer.labels(theirs))
            ours["fit"].append(run_ours(folder, "fit", features, folder / "centroids.npy", NUM_UNITS))
            arguments = (theirs / "km.bin", folder / "codebook", "hubert", folder / "hubert", LAYER)
            run_ours(folder, "codebook", *arguments)
            for precision in precisions:
                arguments = (folder / "wavs", folder / "codebook", folder / f"{precision}.parquet", precision)
                ours[precision].append(run_ours(folder, "dump", *arguments))
        speed = {name: hours * 3600 / median(runs) for name, runs in {**peers, **ours}.items()}
        peer_units = hours * 3600 / (median(peers["features"]) + median(peers["labels"]))

        if "bf16" not in precisions:
            print("no row for bf16: this processor is faster in fp32")
        yield row("units.kmeans_fit", speed["fit"], speed["kmeans"], SPEED)
        inertias = []
        for centroids in (folder / "centroids.npy", theirs / "km.bin"):
            run_ours(folder, "inertia", features, centroids)
            inertias.append(last_line(folder / "ours.log")["inertia"])
        yield row("units.kmeans_inertia", *inertias, "per frame")
        for precision in precisions:
            yield row(f"units.hubert_{precision}", speed[precision], peer_units, SPEED)
            run_ours(folder, "compare", folder / f"{precision}.parquet", theirs)
            yield row(
                f"units.hubert_{precision}_equal", last_line(folder / "ours.log")["equal"], None, "share of frames"
            )
        peak = statistics.median(run.peak_mb for run in ours["fp32"])
        yield row("units.hubert_peak_memory", peak, statistics.median(run.peak_mb for run in peers["features"]), "MB")
        sizes = [(folder / "fp32.parquet").stat().st_size, usage.bytes_below(theirs)]
        yield row("units.bytes_per_hour", *(size / hours / 1e6 for size in sizes), "MB / audio h")


def run(minutes: float = 12, mfcc_minutes: float = 180, runs: int = 3, text: Sequence[str] = ()) -> Iterator[Row]:
    """Compare both kinds of units."""
    yield from mfcc(mfcc_minutes, runs, text)
    yield from hubert(minutes, runs, text)


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12, help="of speech for HuBERT")
    parser.add_argument("--mfcc-minutes", type=float, default=180, help="of speech for MFCC")
    parser.add_argument("--runs", type=int, default=3, help="of each side; the table has their medians")
    parser.add_argument("--text", nargs="+", default=[], help=TEXT_HELP)
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.minutes, arguments.mfcc_minutes, arguments.runs, arguments.text)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
