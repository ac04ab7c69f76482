"""The unit vocoder, speaking and in training: ours against fairseq's CodeHiFiGAN with the same weights.

python -m benchmarks.vocoder [--frames 500] [--runs 5] [--steps 3] [--rows 4]
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import results, usage
from benchmarks.peer import module
from benchmarks.results import Row, row
from benchmarks.units import last_line

FRAME_SECONDS = 0.02
BATCH = 16
HEADER = """\
Unit HiFi-GAN V1, 100 units, random weights, float32 on one thread, no GPU. Medians of {runs} runs of each side in turn,
CPU-seconds. Ratio: ours / peer.
  rtf: time for a second of speech, full units given: {frames} frames alone, and {batch} of {least} to {frames}, which
       fairseq's CodeHiFiGANVocoder speaks one after the other; difference: largest, as a share of the loudest sample
  first_audio: time to the first chunk of {frames} units, durations predicted first, as a share of the time of all
  train: steps on {rows} segments of 28 units, discriminators included; peer: the paper's step (hifigan_reference.py)"""


def measure(folder: Path, part: str, *sizes: object) -> dict[str, Any]:
    """Run a part as a process and read what it prints."""
    log = folder / f"{part}.log"
    usage.run(module("benchmarks.vocoder_steps", part, *sizes), log, gpu="cuda" in sizes)
    return last_line(log)


def run(frames: int = 500, runs: int = 5, steps: int = 3, rows: int = 4) -> Iterator[Row]:
    """Compare how fast units are spoken, alone and in a batch, streamed, and learned to be spoken."""
    print(HEADER.format(frames=frames, runs=runs, rows=rows, batch=BATCH, least=frames // 5))
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        for batch in (1, BATCH):
            found = measure(folder, "speak", runs, batch, frames)
            yield from spoken(f"b{batch}", "CPU-s / s of speech", found)
        found = measure(folder, "stream", runs, frames)
        for model, suffix in (("hifigan", ""), ("vocos", "_vocos")):
            share = statistics.median(found[f"{model}_first"]) / statistics.median(found[model])
            yield row(f"vocoder.first_audio{suffix}", share, None, "share of the time of the whole")
        found = measure(folder, "train", steps, rows)
        ours, theirs = (60 / statistics.median(found[side]) for side in ("ours", "reference"))
        yield row("vocoder.train_rate", ours, theirs, "steps / CPU-min")
        if torch.cuda.is_available():
            yield from run_gpu(folder, frames, runs)


def spoken(name: str, unit: str, found: dict[str, Any]) -> Iterator[Row]:
    """Make the rows of speech that was spoken."""
    seconds = found["frames"] * FRAME_SECONDS
    ours, theirs, light = (statistics.median(found[side]) / seconds for side in ("ours", "fairseq", "vocos"))
    yield row(f"vocoder.rtf_{name}", ours, theirs, unit)
    yield row(f"vocoder.rtf_{name}_vocos", light, None, unit)
    yield row(f"vocoder.difference_{name}", found["difference"], None, "of the loudest sample")


def run_gpu(folder: Path, frames: int, runs: int, steps: int = 20, rows: int = 16) -> Iterator[Row]:
    """Compare on a GPU, and with how fast it copies memory."""
    found = measure(folder, "speak", runs, BATCH, frames, "cuda")
    yield from spoken(f"b{BATCH}_gpu", "s / s of speech", found)
    rate = found["bytes"] / statistics.median(found["ours"])
    peak = measure(folder, "copy_rate", "cuda")["bytes"]
    yield row("vocoder.bandwidth_gpu", rate / peak, None, "share of the rate of copies")
    found = measure(folder, "train", steps, rows, "cuda")
    ours, theirs = (1 / statistics.median(found[side]) for side in ("ours", "reference"))
    yield row("vocoder.train_rate_gpu", ours, theirs, "steps / s")


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=500, help="of the longest sequence, 20 ms each")
    parser.add_argument("--runs", type=int, default=5, help="of each side; the table has their medians")
    parser.add_argument("--steps", type=int, default=3, help="of training that count, after one that warms up")
    parser.add_argument("--rows", type=int, default=4, help="segments of a training step")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.frames, arguments.runs, arguments.steps, arguments.rows)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
