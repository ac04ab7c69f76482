"""Malformed and hostile requests against a real server: each is to get 4xx, or a right 200, and memory must not grow.

python -m benchmarks.hostile_requests [--cases 2000] [--first-seed 0]
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks import results, usage
from benchmarks.hostile import fault, make_case
from benchmarks.peer import module
from benchmarks.private_head import free_ports
from benchmarks.results import Row, row
from benchmarks.server import replica_megabytes, running

CALLERS = 4
SECONDS = 120.0  # without an answer for so long, a request hangs
WARM_SHARE = 0.25  # of the cases: memory counts from there on


def ask(client: httpx.Client, address: str, seed: int) -> tuple[str, int, str | None]:
    """Send the case of a seed; gives its kind, the status, and what is wrong with the answer."""
    case = make_case(seed)
    request = httpx.Request(case.method, address, content=case.body, headers=case.headers)
    request.url = request.url.copy_with(raw_path=case.url.encode())
    try:
        answer = client.send(request)
    except httpx.HTTPError as error:
        return case.kind, 0, f"no answer: {error!r}"
    return (
        case.kind,
        answer.status_code,
        fault(answer.status_code, answer.headers.get("content-type", ""), answer.content),
    )


def run(cases: int = 2000, first: int = 0) -> Iterator[Row]:
    """Send the cases, and print counts and the seed of each failure."""
    counts: Counter[tuple[str, int]] = Counter()
    failures = 0
    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as name:
        folder, (port,) = Path(name), free_ports(1)
        usage.run(module("benchmarks.serving_steps", "make", folder), folder / "make.log")
        command = module("serve", folder, "--port", port, "--beam", 1)
        with running(command, port, folder / "serve.log") as (address, pid), httpx.Client(timeout=SECONDS) as client:
            warm, end = first + int(cases * WARM_SHARE), first + cases
            grown = 0.0
            for seeds in (range(first, warm), range(warm, end)):
                before = replica_megabytes(pid)
                with ThreadPoolExecutor(CALLERS) as pool:
                    for seed, (kind, status, wrong) in zip(
                        seeds, pool.map(lambda seed: ask(client, address, seed), seeds), strict=True
                    ):
                        counts[kind, status] += 1
                        if wrong is not None:
                            failures += 1
                            print(f"  seed {seed} ({kind}): {wrong}")
                grown = replica_megabytes(pid) - before
    for (kind, status), count in sorted(counts.items()):
        print(f"  {kind:10} {status} {count:6}")
    yield row("serving.hostile_cases", cases, None, "requests")
    yield row("serving.hostile_failures", failures, None, "neither 4xx nor a right 200")
    yield row("serving.hostile_growth", grown, None, f"MB of all replicas, after the first {WARM_SHARE:.0%}")


def main() -> None:
    """Run the benchmark, keep its rows and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first-seed", type=int, default=0, help="cases have the seeds from there on")
    results.add_option(parser)
    arguments = parser.parse_args()
    rows = run(arguments.cases, arguments.first_seed)
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
