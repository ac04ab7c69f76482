"""The guideline's unit Transformer, in training and in beam search: ours against fairseq's.

python -m benchmarks.translation [--pairs 38] [--length 60] [--steps 2] [--runs 3]
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
from benchmarks.translation_steps import our_model
from benchmarks.units import last_line

SIDES = ("ours", "fairseq")
LONGER = 4  # times the length, for as many times fewer sentences: about what 10 s of speech have in units
WARM_UPS = 5  # steps on a GPU
HEADER = """\
Unit Transformer, {layers}+{layers} layers, width 512, 1,004 symbols; {pairs} pairs of {length} tokens, one batch.
float32 on one thread, no GPU. Medians over {runs} processes of each side in turn, CPU-seconds. Ratio: ours / peer.
  decoding: beam 10, encoder included; fairseq: its SequenceGenerator. Untrained weights: all runs to the limit
    _long: {longer} times the length, {longer} times fewer sentences, one process of each side
  training: {steps} step(s) after the first; fairseq: its TransformerModel, label-smoothed criterion and Adam"""


def measure(folder: Path, side: str, part: str, *sizes: object) -> dict[str, Any]:
    """Run a side as a process and read what it prints."""
    log = folder / f"{side}_{part}.log"
    usage.run(module("benchmarks.translation_steps", f"{side}_{part}", *sizes), log, gpu="cuda" in sizes)
    return last_line(log)


def run(pairs: int = 38, length: int = 60, steps: int = 2, runs: int = 3, layers: int = 12) -> Iterator[Row]:
    """Compare how fast sentences are decoded and target tokens are learned, and whether the same is found."""
    print(HEADER.format(pairs=pairs, length=length, steps=steps, runs=runs, layers=layers, longer=LONGER))
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        decoded: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        trained: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(runs):
            for side in SIDES:
                decoded[side].append(measure(folder, side, "decode", pairs, length, layers))
                trained[side] += measure(folder, side, "train", 1 + steps, pairs, length, layers)["seconds"][1:]
        few = max(1, pairs // LONGER)
        longer = [measure(folder, side, "decode", few, length * LONGER, layers) for side in SIDES]
    ours, theirs = (pairs / statistics.median(found["seconds"] for found in decoded[side]) for side in SIDES)
    yield row("translation.decode_rate", ours, theirs, "sentences / CPU-s")
    same = [ours == theirs for ours, theirs in zip(*(decoded[side][0]["found"] for side in SIDES), strict=True)]
    yield row("translation.decode_equal", sum(same) / len(same), None, "share of sentences, all 10 hypotheses")
    ours, theirs = (few / measured["seconds"] for measured in longer)
    yield row("translation.decode_rate_long", ours, theirs, "sentences / CPU-s")
    ours, theirs = (pairs * length / statistics.median(trained[side]) for side in SIDES)
    yield row("translation.train_rate", ours, theirs, "target tokens / CPU-s")
    if torch.cuda.is_available():
        yield from run_gpu(runs, layers)


def run_gpu(runs: int, layers: int, pairs: int = 400, length: int = 60, steps: int = 20) -> Iterator[Row]:
    """Compare training in bf16 on a GPU, on a batch of the guideline's 24,000 tokens, and with its matrix products."""
    trained: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        for _ in range(runs):
            for side in SIDES:
                found = measure(Path(name), side, "train", WARM_UPS + steps, pairs, length, layers, "cuda")
                trained[side] += found["seconds"][WARM_UPS:]
        log = Path(name) / "matrix_rate.log"
        usage.run(module("benchmarks.translation_steps", "matrix_rate", "cuda"), log, gpu=True)
        peak = last_line(log)["flops"]
    ours, theirs = (pairs * length / statistics.median(trained[side]) for side in SIDES)
    yield row("translation.train_rate_gpu", ours, theirs, "target tokens / s, bf16")
    yield row("translation.train_rate_gpu_share", ours * flop_per_token(layers) / peak, None, "share of matrix peak")


def flop_per_token(layers: int) -> int:
    """FLOP of the matrix products with weights in a training step, of a pair of tokens: source and target."""
    model = our_model(layers)
    outside = sum(parameter.numel() for parameter in model.parameters() if parameter.dim() < 2)
    weights = sum(parameter.numel() for parameter in model.parameters()) - outside
    return 6 * (weights - model.source_embed_tokens.weight.numel() + model.embed_tokens.weight.numel())


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=38, help="of the batch")
    parser.add_argument("--length", type=int, default=60, help="tokens of each source and target")
    parser.add_argument("--steps", type=int, default=2, help="of training that count, after one that warms up")
    parser.add_argument("--runs", type=int, default=3, help="of each side; the table has their medians")
    parser.add_argument("--layers", type=int, default=12, help="of the encoder, and of the decoder")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.pairs, arguments.length, arguments.steps, arguments.runs, arguments.layers)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
