"""wav -> features -> k-means -> units on the shipped human sample: ours against fairseq's own scripts.

python -m benchmarks.wav_to_units [--minutes 6] [--runs 3] [--settings mfcc hubert] [--without-ray]
"""

import argparse
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from benchmarks import results, usage
from benchmarks.results import Row, row
from benchmarks.usage import Usage
from s2st.config import UserError

NUM_UNITS = 100
MINUTES = 6.0
RUNS = 3
HEADER = """\
wav to units, {minutes:.1f} minutes of human speech in {files} files, K={units}; HuBERT is base with random weights.
Counted: CPU-seconds (user and system) of whole processes, imports included, one thread each, no GPU.
  peer: wav2vec_manifest.py, dump_{{mfcc,hubert}}_feature.py, learn_kmeans.py, dump_km_label.py of fairseq, unmodified
  ours: the classes of ingest, fit_codebook and dump_units in one process; features are computed twice, never written
  ours on Ray: these stages, two workers each, Ray's own processes included
Memory is resident, of the largest process. Written: all files but the wavs and HuBERT's weights; ours have a FLAC copy
of the audio in them, "audio aside" is without it. Inertia: squared distance of a frame to its centroid, on average.
Medians of {runs} runs for MFCC, one run for HuBERT. Ratio: ours / peer, so times as fast for speeds."""


@dataclass(frozen=True)
class Setting:
    """One kind of features."""

    name: str
    kind: str  # mfcc | hubert
    layer: int = 0


SETTINGS = {"mfcc": Setting("MFCC", "mfcc"), "hubert": Setting("HuBERT layer 6", "hubert", 6)}


@dataclass(frozen=True)
class Run:
    """What one side used for the whole path."""

    cpu_seconds: float
    peak_mb: float
    parts: dict[str, float]  # CPU-seconds of each


def fairseq_examples() -> Path:
    """Find fairseq's scripts; they are part of its package."""
    package = importlib.util.find_spec("fairseq")
    if package is None or package.origin is None:
        raise UserError("the benchmark runs fairseq's scripts, and fairseq is not installed: pip install -e '.[dev]'")
    return Path(package.origin).parent / "examples"


def module(name: str, *arguments: object) -> list[str]:
    """Make the command line of a module."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def run_peer(setting: Setting, folder: Path, output: Path) -> Run:
    """Run fairseq's scripts one after the other, as its guide to simple_kmeans says."""
    examples = fairseq_examples()
    kmeans = examples / "hubert" / "simple_kmeans"
    features, labels, centroids = output / "features", output / "labels", output / "km.bin"
    dump = [kmeans / f"dump_{setting.kind}_feature.py", output, "train"]
    if setting.kind == "hubert":
        dump += [folder / "hubert.pt", setting.layer]
    manifest = [examples / "wav2vec" / "wav2vec_manifest.py", folder / "wavs", "--dest", output]
    scripts = {
        "wav2vec_manifest": [*manifest, "--ext", "wav", "--valid-percent", 0],
        f"dump_{setting.kind}_feature": [*dump, 1, 0, features],
        "learn_kmeans": [kmeans / "learn_kmeans.py", features, "train", 1, centroids, NUM_UNITS],
        "dump_km_label": [kmeans / "dump_km_label.py", features, "train", centroids, 1, 0, labels],
    }
    used: dict[str, Usage] = {}
    for name, command in scripts.items():
        used[name] = usage.run(module("benchmarks.fairseq_script", *command), folder / "log")
    parts = {name: part.cpu_seconds for name, part in used.items()}
    return Run(sum(parts.values()), max(part.peak_mb for part in used.values()), parts)


def our_command(name: str, setting: Setting, folder: Path, output: Path) -> list[str]:
    """Make the command line of one of our two sides."""
    command = module(name, folder / "wavs", output, setting.kind, NUM_UNITS)
    if setting.kind == "hubert":
        command += ["--encoder", str(folder / "hubert"), "--layer", str(setting.layer)]
    return command


def run_ours(setting: Setting, folder: Path, output: Path) -> Run:
    """Run our classes in one process."""
    used = usage.run(our_command("benchmarks.one_process", setting, folder, output), folder / "log")
    return Run(used.cpu_seconds, used.peak_mb, last_line(folder / "log"))


def run_ours_on_ray(setting: Setting, folder: Path, output: Path) -> Run:
    """Run our stages on Ray."""
    used = usage.run_tree(our_command("benchmarks.on_ray", setting, folder, output), folder / "log")
    return Run(used.cpu_seconds, used.peak_mb, {})


def last_line(log: Path) -> dict[str, float]:
    """Read the JSON that a command printed last."""
    return json.loads(log.read_text().splitlines()[-1])


def emptied(folder: Path) -> Path:
    """Give a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def megabytes_written(output: Path) -> float:
    """Size of what a side wrote, without the copy of HuBERT that our codebook keeps."""
    size = usage.bytes_below(output) - usage.bytes_below(output / "codebook" / "encoder")
    return size / 1e6


def compare(setting: Setting, folder: Path, hours: float, runs: int, with_ray: bool) -> list[Row]:
    """Run both sides, in turn, and give the rows of a setting."""
    peers, ours = [], []
    for _ in range(runs):
        peers.append(run_peer(setting, folder, emptied(folder / "peer")))
        ours.append(run_ours(setting, folder, emptied(folder / "ours")))
    for side, used in (("peer", peers), ("ours", ours)):
        parts = {name: statistics.median(run.parts[name] for run in used) for name in used[0].parts}
        print(f"{setting.name}, {side}, CPU-s: " + ", ".join(f"{name} {value:.2f}" for name, value in parts.items()))
    written = [megabytes_written(folder / side) for side in ("ours", "peer")]
    without_audio = written[0] - usage.bytes_below(folder / "ours" / "manifest") / 1e6
    usage.run(module("benchmarks.agreement", folder / "peer", folder / "ours"), folder / "log")
    found = last_line(folder / "log")

    our_seconds, peer_seconds = median_seconds(ours), median_seconds(peers)
    peaks = [statistics.median(run.peak_mb for run in side) for side in (ours, peers)]
    name = f"wav to units, {setting.name}"
    rows = [
        row(f"{name}: CPU time", our_seconds, peer_seconds, "CPU-s"),
        row(f"{name}: speed", hours * 3600 / our_seconds, hours * 3600 / peer_seconds, "audio h / CPU-h"),
        row(f"{name}: peak memory", *peaks, "MB"),
        row(f"{name}: written", *written, "MB"),
        row(f"{name}: written, audio aside", without_audio, written[1], "MB"),
        row(f"{name}: inertia of the codebook", found["ours_inertia"], found["peer_inertia"], "per frame"),
        row(f"{name}: equal units, same centroids", found["equal"], None, "share of frames"),
    ]
    if with_ray:
        ray = run_ours_on_ray(setting, folder, emptied(folder / "ray"))
        rows.append(row(f"{name}: CPU time on Ray", ray.cpu_seconds, peer_seconds, "CPU-s"))
    return rows


def median_seconds(runs: Sequence[Run]) -> float:
    """Median of the CPU-seconds of some runs."""
    return statistics.median(run.cpu_seconds for run in runs)


def run(
    minutes: float = MINUTES, runs: int = RUNS, settings: Sequence[str] = tuple(SETTINGS), with_ray: bool = True
) -> Iterator[Row]:
    """Compare ours with fairseq's in some settings; prints what is counted, and gives rows as settings are done."""
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        flags = ["--hubert"] if "hubert" in settings else []
        usage.run(module("benchmarks.prepare", folder, "--minutes", minutes, *flags), folder / "log")
        wavs = [soundfile.info(path) for path in (folder / "wavs").rglob("*.wav")]
        seconds = sum(wav.duration for wav in wavs)
        print(HEADER.format(minutes=seconds / 60, files=len(wavs), units=NUM_UNITS, runs=runs))
        for key in settings:
            repeats = runs if key == "mfcc" else 1
            yield from compare(SETTINGS[key], folder, seconds / 3600, repeats, with_ray)


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of speech; the sample has 68")
    parser.add_argument("--runs", type=int, default=RUNS, help="of the MFCC setting; the table has their medians")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--without-ray", action="store_true", help="leave out the rows of the stages on Ray")
    arguments = parser.parse_args()
    rows = run(arguments.minutes, arguments.runs, arguments.settings, not arguments.without_ray)
    print(results.table(results.kept(rows)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
