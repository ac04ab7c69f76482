"""How soon a streamed translation is heard: python -m benchmarks.streaming [--seconds 4] [--runs 9]."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks import results, usage
from benchmarks.peer import module
from benchmarks.private_head import free_ports
from benchmarks.results import Row, row
from benchmarks.server import CALL_SECONDS, TRANSLATE, running
from benchmarks.streaming_steps import SOURCE
from benchmarks.units import last_line

GREEDY = 1
HEADER_BYTES = 44  # of a WAV, before its sound
UNIT = "share of the time of the whole"
HEADER = """\
Models of the demo's sizes with random weights, a recording of {seconds} s of the shipped sample, greedy search.
  first_audio: CPU time to the first chunk, in one process, one thread
  first_byte: time to the first sound over HTTP"""


def run(seconds: int = 4, runs: int = 9) -> Iterator[Row]:
    """Translate a recording in one process, then over HTTP."""
    print(HEADER.format(seconds=seconds))
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        usage.run(module("benchmarks.streaming_steps", "make", folder, seconds), folder / "make.log")
        log = folder / "alone.log"
        usage.run(module("benchmarks.streaming_steps", "alone", folder, GREEDY, runs), log)
        times = last_line(log)
        shares = [first / last for first, last in zip(times["first"], times["last"], strict=True)]
        print(f"an answer has {times['seconds']:.1f} s, and takes {statistics.median(times['last']):.2f} s")
        yield row("streaming.first_audio", statistics.median(shares), None, UNIT)
        (port,) = free_ports(1)
        with running(module("serve", folder, "--port", port), port, folder / "serve.log") as (address, _):
            wav = (folder / SOURCE).read_bytes()
            first_byte(address, wav)  # it warms up
            yield row(
                "streaming.first_byte", statistics.median(first_byte(address, wav) for _ in range(runs)), None, UNIT
            )


def first_byte(address: str, wav: bytes) -> float:
    """Ask once, and tell after which share of the answer's time its sound begins."""
    start, first, received = time.perf_counter(), None, 0
    with httpx.stream("POST", f"{address}{TRANSLATE}&stream=true", content=wav, timeout=CALL_SECONDS) as answer:
        answer.raise_for_status()
        for part in answer.iter_raw():
            received += len(part)
            if first is None and received > HEADER_BYTES:
                first = time.perf_counter() - start
    assert first is not None, "the answer has no sound"
    return first / (time.perf_counter() - start)


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of the recording; its answer is longer")
    parser.add_argument("--runs", type=int, default=9)
    results.add_option(parser)
    arguments = parser.parse_args()
    print(results.table(results.kept(run(arguments.seconds, arguments.runs), arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
