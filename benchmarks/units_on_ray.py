"""dump_units on Ray: throughput of two workers over one's, and memory of ten hours over one hour's.

python -m benchmarks.units_on_ray --text en=FILE hi=FILE ... [--hours 10] [--scaling-minutes 60]

Without --text the speech is the human sample, which has about an hour: it is repeated.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import results, usage
from benchmarks.peer import module
from benchmarks.results import Row, row
from benchmarks.units import TEXT_HELP
from stages.stage import MADE_BY

HEADER = """\
dump_units on Ray, {what}; fp32, one thread a worker, no GPU."""


def prepare(folder: Path, hours: float, text: Sequence[str], encoder: str) -> None:
    """Write a manifest of so many hours and a codebook of an encoder with random weights."""
    arguments = [folder, hours, encoder, *text]
    usage.run(module("benchmarks.ray_inputs", *arguments), folder / "prepare.log")


def step(folder: Path, workers: int) -> list[str]:
    """Make the command that runs the stage."""
    return module("benchmarks.ray_step", folder, f"units_{workers}", workers)


def scaling(minutes: float, text: Sequence[str], runs: int) -> Iterator[Row]:
    """Compare one worker with two, on HuBERT base."""
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        prepare(folder, minutes / 60, text, "base")
        print(HEADER.format(what=f"HuBERT base layer 6 (random weights), {minutes:g} minutes of speech, runs: {runs}"))
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(runs):
            for workers in (1, 2):
                shutil.rmtree(folder / f"units_{workers}", ignore_errors=True)
                usage.run(step(folder, workers), folder / "step.log")  # nobody watches: that takes time, too
                record = json.loads((folder / f"units_{workers}" / MADE_BY).read_text())
                seconds[workers].append(record["seconds"])
        one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
        yield row("units.seconds_1_worker", one, None, "s")
        yield row("units.seconds_2_workers", two, None, "s")
        yield row("units.scaling_2", one / two, None, "times one worker's speed")


def memory(hours: float, text: Sequence[str]) -> Iterator[Row]:
    """Compare the peaks of memory of one hour and more, on a small HuBERT."""
    peaks = []
    for size in (1.0, hours):
        with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
            prepare(Path(name), size, text, "small")
            print(HEADER.format(what=f"small HuBERT (random weights), {size:g} hours of speech, 2 workers"))
            peaks.append(usage.run_tree(step(Path(name), 2), Path(name) / "step.log").tree_peak_mb)
            yield row(f"units.memory_{size:g}h", peaks[-1], None, "MB of all processes")
    yield row(f"units.memory_{hours:g}h_over_1h", peaks[1] / peaks[0], None, "times the peak of 1 h")


def run(text: Sequence[str] = (), hours: float = 10.0, scaling_minutes: float = 60.0, runs: int = 1) -> Iterator[Row]:
    """Measure both."""
    yield from scaling(scaling_minutes, text, runs)
    yield from memory(hours, text)


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", nargs="+", default=[], help=TEXT_HELP)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--scaling-minutes", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=1, help="of one and two workers")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.text, arguments.hours, arguments.scaling_minutes, arguments.runs)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
