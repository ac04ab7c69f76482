"""Mel cepstral distortion: ours against fairseq's, in one process, on the same speech.

python -m benchmarks.distortion [--seconds 5] [--pairs 8] [--runs 5]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from benchmarks import results
from benchmarks.results import Row, row
from s2st.evaluation.mcd import mel_cepstra, mel_cepstral_distortion
from s2st.evaluation.warping import warping_cost

RATE = 16_000
HEADER = """\
{pairs} pairs of noise of about {seconds} s, float32, one thread, by CPU time. Medians of {runs} runs of each side in
turn.
  dtw: dynamic time warping of the distances of all frames; mcd: the same from waveforms, with their MFCC
  difference: largest of any pair, in fairseq's measure
Ratio: ours / peer, times as fast."""


def noise(seconds: float, seed: int) -> torch.Tensor:
    """Noise that is louder and softer three times a second."""
    times = torch.arange(int(seconds * RATE)) / RATE
    draws = torch.randn(len(times), generator=torch.Generator().manual_seed(seed))
    return draws * 0.05 * (torch.sin(2 * np.pi * 3 * times + seed) + 1.1)


def rate(work: Callable[[], object], count: int) -> float:
    """Pairs a CPU-second."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


def compare(ours: Callable[[], object], theirs: Callable[[], object], count: int, runs: int) -> Sequence[float]:
    """Measure both in turn, after one run of each that warms up."""
    ours(), theirs()
    rates = [(rate(ours, count), rate(theirs, count)) for _ in range(runs)]
    return [statistics.median(side) for side in zip(*rates, strict=True)]


def run(seconds: float = 5.0, num_pairs: int = 8, runs: int = 5) -> Iterator[Row]:
    """Compare speed, and what comes out."""
    from fairseq.tasks.text_to_speech import batch_dynamic_time_warping, batch_mel_cepstral_distortion

    print(HEADER.format(seconds=seconds, pairs=num_pairs, runs=runs))
    torch.set_num_threads(1)
    pairs = [(noise(seconds, 2 * i), noise(seconds * (0.8 + 0.05 * i), 2 * i + 1)) for i in range(num_pairs)]
    frames = [torch.cdist(mel_cepstra(one, RATE), mel_cepstra(other, RATE)) for one, other in pairs]
    warp = compare(
        lambda: [warping_cost(distances.numpy()) for distances in frames],
        lambda: [batch_dynamic_time_warping(distances[None]) for distances in frames],
        num_pairs,
        runs,
    )
    yield row("measures.dtw", *warp, "pairs / CPU-s")

    def ours() -> list[float]:
        return [mel_cepstral_distortion(one, other, RATE) for one, other in pairs]

    def theirs() -> list[float]:
        return [float(batch_mel_cepstral_distortion([one], [other], RATE, "len1")[0][0]) for one, other in pairs]

    yield row("measures.mcd", *compare(ours, theirs, num_pairs, runs), "pairs / CPU-s")
    difference = max(abs(one - other) for one, other in zip(ours(), theirs(), strict=True))
    yield row("measures.mcd_difference", difference, None, "of the distance of a frame")


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of speech on either side of a pair")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5, help="of each side; the table has their medians")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.seconds, arguments.pairs, arguments.runs)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
