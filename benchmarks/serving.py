"""The serving graph under load: beside its own models in one process, and behind plain FastAPI.

python -m benchmarks.serving [--runs 3] [--rounds 8] [--overload-seconds 15] [--soak-minutes 0]
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np

from benchmarks import results, usage
from benchmarks.peer import module
from benchmarks.private_head import free_ports
from benchmarks.results import Row, row
from benchmarks.server import (
    ask_all,
    ask_at_rate,
    percentile,
    replica_megabytes,
    running,
)
from benchmarks.units import last_line

CONCURRENCY = (1, 4, 16)
OVERLOAD = 2  # times the rate that 16 callers reach
SOAK_CALLERS, SOAK_LOOK_SECONDS = 4, 10.0
HEADER = """\
Models of the demo's sizes with random weights, recordings of 2 to 4 s of the shipped sample, beam 5, one thread for the
models of each process. Ratio: ours / peer.
  overhead_ms: median, over requests one after another, of the time of a request less that of the same models, decoding
       and encoding in one process, right after it; peer: plain FastAPI with a pool of threads
  throughput_N: requests / s of N callers; peer: batches of N in one process, right after it; throughput_N_fastapi:
       beside FastAPI
  overload_p99: of those accepted, at {overload} times the rate of 16 callers, {seconds:.0f} s: FastAPI refuses nothing
  overload_refused, overload_failed: shares of those requests that are told to come again (503), and that get neither"""


def measure(folder: Path, part: str, *sizes: object) -> dict[str, Any]:
    """Run a part as a process and read what it prints."""
    log = folder / f"{part}.log"
    usage.run(module("benchmarks.serving_steps", part, folder, *sizes), log)
    return last_line(log)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[Callable[[int], float]]:
    """Run the models in a process of their own: what translates the recording of a number there, and tells its time."""
    command = module("benchmarks.serving_steps", "alone", folder)
    environment = {**os.environ, **usage.ONE_THREAD, **usage.NO_GPU}
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True, cwd=usage.ROOT, env=environment) as process:
        stdin, stdout = process.stdin, process.stdout

        def translate(number: int) -> float:
            print(number, file=stdin, flush=True)
            return float(stdout.readline())  # type: ignore[union-attr]

        yield translate


def run(runs: int = 3, rounds: int = 8, overload_seconds: float = 15.0, soak_minutes: float = 0.0) -> Iterator[Row]:
    """Compare how soon and how much is answered, then overload the servers, and at will run ours for long."""
    print(HEADER.format(overload=OVERLOAD, seconds=overload_seconds))
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder = Path(name)
        usage.run(module("benchmarks.serving_steps", "make", folder), folder / "make.log")
        wavs = [path.read_bytes() for path in sorted(folder.glob("*.wav"))]
        (port,) = free_ports(1)
        command = module("benchmarks.serving_steps", "peer", folder, port)
        with running(command, port, folder / "peer.log") as (address, _):
            theirs = {"overhead": overhead(address, folder, wavs, runs)}
            theirs |= {f"rate_{number}": throughput(address, wavs, number, rounds) for number in CONCURRENCY}
            theirs |= overload(address, wavs, theirs[f"rate_{CONCURRENCY[-1]}"], overload_seconds)
        (port,) = free_ports(1)
        with running(module("serve", folder, "--port", port), port, folder / "serve.log") as (address, pid):
            yield row("serving.overhead_ms", overhead(address, folder, wavs, runs), theirs["overhead"], "ms / request")
            for number in CONCURRENCY:
                rate = throughput(address, wavs, number, rounds)
                batched = measure(folder, "batched", number, number * rounds)["rate"]
                yield row(f"serving.throughput_{number}", rate, batched, "requests / s")
                yield row(f"serving.throughput_{number}_fastapi", rate, theirs[f"rate_{number}"], "requests / s")
            ours = overload(address, wavs, rate, overload_seconds)
            yield row("serving.overload_p99", ours["p99"], theirs["p99"], "s")
            yield row("serving.overload_refused", ours["refused"], theirs["refused"], "share of requests")
            yield row("serving.overload_failed", ours["failed"], theirs["failed"], "share of requests")
            if soak_minutes:
                yield from soak(address, pid, wavs, soak_minutes)


def overhead(address: str, folder: Path, wavs: Sequence[bytes], runs: int) -> float:
    """Ask for each recording some times, each time beside the same models in a process of their own: ms."""
    ask_all(address, wavs, 1, len(wavs))  # it warms up
    over = []
    with alone(folder) as translate:
        for number in [*range(len(wavs))] * runs:
            (answer,), _ = ask_all(address, wavs[number : number + 1], 1, 1)
            over.append(answer.seconds - translate(number))
    return float(np.median(over)) * 1000


def throughput(address: str, wavs: Sequence[bytes], callers: int, rounds: int) -> float:
    """Have callers ask, each for some times: requests a second."""
    ask_all(address, wavs, callers, callers)
    answers, seconds = ask_all(address, wavs, callers, callers * rounds)
    assert all(answer.status == 200 for answer in answers), Counter(answer.status for answer in answers)
    return len(answers) / seconds


def overload(address: str, wavs: Sequence[bytes], rate: float, seconds: float) -> dict[str, float]:
    """Ask at a multiple of a rate: the slowest of those accepted, and the shares that are refused and that fail."""
    answers = ask_at_rate(address, wavs, OVERLOAD * rate, seconds)
    counts = Counter(answer.status for answer in answers)
    failed = 1 - (counts[200] + counts[503]) / len(answers)
    return {"p99": percentile(answers, 99), "refused": counts[503] / len(answers), "failed": failed}


def soak(address: str, pid: int, wavs: Sequence[bytes], minutes: float) -> Iterator[Row]:
    """Ask for some minutes, and tell by how much the replicas grew in the second half."""
    end = time.monotonic() + 60 * minutes
    times, megabytes = [], []
    total = failed = 0
    while time.monotonic() < end:
        look = time.monotonic() + SOAK_LOOK_SECONDS
        while time.monotonic() < look:
            answers, _ = ask_all(address, wavs, SOAK_CALLERS, 2 * SOAK_CALLERS)
            total += len(answers)
            failed += sum(answer.status != 200 for answer in answers)
        times.append(time.monotonic())
        megabytes.append(replica_megabytes(pid))
        print(f"  {total} requests, {failed} failed, replicas {megabytes[-1]:.0f} MB", flush=True)
    half = len(times) // 2
    slope = float(np.polyfit(np.array(times[half:]) / 60, megabytes[half:], 1)[0])
    yield row("serving.soak_growth", slope, None, "MB / minute of all replicas")
    yield row("serving.soak_failed", failed / total, None, "share of requests")


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="of each recording, alone")
    parser.add_argument("--rounds", type=int, default=8, help="requests of each caller")
    parser.add_argument("--overload-seconds", type=float, default=15.0)
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="that our server is asked without a break")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.runs, arguments.rounds, arguments.overload_seconds, arguments.soak_minutes)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
