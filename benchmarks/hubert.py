"""Steps of HuBERT pre-training: ours against fairseq's and torchaudio's.

python -m benchmarks.hubert [--rows 3] [--seconds 10] [--steps 1] [--runs 3]
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import results, usage
from benchmarks.peer import module
from benchmarks.results import Row, row
from benchmarks.units import last_line, run_ours

PEERS = ("fairseq", "torchaudio")
MASKED = 0.55  # of frames
FRAME_RATE = 50
HEADER = """\
A step of HuBERT base, K=500, on {rows} x {seconds:g} s: forward, backward, Adam. float32 on one thread, no GPU.
  fairseq: its HubertModel, HubertCriterion and Adam; torchaudio: its HuBERTPretrainModel with its recipe's loss
Medians over {runs} processes of {steps} step(s) after the first, each side in turn. Memory is resident,
of the whole process; net: what the steps add to it. Ratio: ours / peer."""
SPEED = "steps / CPU-min"


def measure(folder: Path, side: str, *sizes: object) -> dict[str, Any]:
    """Run a side as a process: CPU-seconds of its steps, the MB that they add, and its peak."""
    log = folder / f"{side}.log"
    used = usage.run(module("benchmarks.hubert_steps", side, *sizes), log)
    return {**last_line(log), "peak_mb": used.peak_mb}


def seconds_of(processes: list[dict[str, Any]]) -> list[float]:
    """CPU-seconds of all their steps but the first of each."""
    return [seconds for process in processes for seconds in process["cpu_seconds"][1:]]


def run(rows: int = 3, seconds: float = 10, steps: int = 1, runs: int = 3) -> Iterator[Row]:
    """Compare speed and memory of steps, and the memory of the loss alone."""
    print(HEADER.format(rows=rows, seconds=seconds, steps=steps, runs=runs))
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        run_ours(folder, "precisions")
        sides = ["ours", *PEERS, *(["ours_bf16"] if "bf16" in last_line(folder / "ours.log") else [])]
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(runs):
            for side in sides:
                found[side].append(measure(folder, side, 1 + steps, rows, seconds))
        rate = {side: 60 / statistics.median(seconds_of(found[side])) for side in sides}
        peak = {side: statistics.median(r["peak_mb"] for r in found[side]) for side in sides}
        net = {side: statistics.median(r["added_mb"] for r in found[side]) for side in sides}
        for peer, suffix in zip(PEERS, ("", "_torchaudio"), strict=True):
            yield row(f"hubert.step_rate{suffix}", rate["ours"], rate[peer], SPEED)
            yield row(f"hubert.step_memory{suffix}", peak["ours"], peak[peer], "MB")
            yield row(f"hubert.step_memory_net{suffix}", net["ours"], net[peer], "MB")
        if "ours_bf16" in rate:
            yield row("hubert.step_rate_bf16", rate["ours_bf16"], None, SPEED)
        else:
            print("no row for bf16: this processor is faster in fp32")
        masked = int(rows * seconds * FRAME_RATE * MASKED)
        losses = [measure(folder, side, masked) for side in ("ours_loss", "fairseq_loss")]
        ours, theirs = (loss["added_mb"] for loss in losses)
        yield row("hubert.loss_memory", ours, theirs, "MB")


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3, help="utterances of a batch")
    parser.add_argument("--seconds", type=float, default=10, help="of each")
    parser.add_argument("--steps", type=int, default=1, help="that count, after one that warms up")
    parser.add_argument("--runs", type=int, default=3, help="of each side; the table has their medians")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.rows, arguments.seconds, arguments.steps, arguments.runs)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
