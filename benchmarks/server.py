"""A server that a benchmark starts as a process, and callers that ask it, each in a thread."""

import contextlib
import itertools
import os
import re
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.usage import NO_GPU, ONE_THREAD, ROOT, descendants

START_SECONDS = 300.0
CALL_SECONDS = 300.0
TITLE = re.compile(r"ray::ServeReplica:[^:]*:(\w+)")  # a method follows while one is called
TRANSLATE = "/v1/translate?to=hi&from=en"


@dataclass(frozen=True)
class Answer:
    """How a request was answered."""

    status: int  # 0: not at all
    seconds: float


@contextlib.contextmanager
def running(command: Sequence[str], port: int, log: Path) -> Iterator[tuple[str, int]]:
    """Run a server until it is not needed any more: its address and its process, once it is ready."""
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment = {**inherited, **ONE_THREAD, **NO_GPU, "RAY_AUTH_MODE": "disabled"}
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + START_SECONDS
        while not _is_ready(address):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.5)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def _is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def ask_all(address: str, wavs: Sequence[bytes], callers: int, count: int) -> tuple[list[Answer], float]:
    """Have callers ask `count` times, each again as soon as it is answered: the answers, and how long all took."""
    with httpx.Client(timeout=CALL_SECONDS, limits=httpx.Limits(max_connections=callers)) as client:
        start = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            answers = list(pool.map(lambda index: _ask(client, address, wavs[index % len(wavs)]), range(count)))
        return answers, time.perf_counter() - start


def ask_at_rate(address: str, wavs: Sequence[bytes], rate: float, seconds: float) -> list[Answer]:
    """Ask `rate` times a second, whether or not there are answers."""
    answers: list[Answer] = []
    with httpx.Client(timeout=CALL_SECONDS, limits=httpx.Limits(max_connections=None)) as client:
        threads = []
        start = time.perf_counter()
        for index in itertools.count():
            time.sleep(max(0.0, start + index / rate - time.perf_counter()))
            if time.perf_counter() - start > seconds:
                break
            arguments = (answers, client, address, wavs[index % len(wavs)])
            threads.append(threading.Thread(target=_ask_into, args=arguments))
            threads[-1].start()
        for thread in threads:
            thread.join()
    return answers


def _ask_into(answers: list[Answer], client: httpx.Client, address: str, wav: bytes) -> None:
    answers.append(_ask(client, address, wav))


def _ask(client: httpx.Client, address: str, wav: bytes) -> Answer:
    start = time.perf_counter()
    try:
        answer = client.post(f"{address}{TRANSLATE}", content=wav, headers={"Content-Type": "audio/wav"})
        return Answer(answer.status_code, time.perf_counter() - start)
    except httpx.HTTPError:
        return Answer(0, time.perf_counter() - start)


def percentile(answers: Sequence[Answer], percent: int) -> float:
    """Give the seconds under which a share of the accepted requests were answered."""
    seconds = [answer.seconds for answer in answers if answer.status == 200]
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def replicas(pid: int) -> dict[int, tuple[str, float]]:
    """Find the replicas below a process: id -> deployment, resident MB."""
    found = {}
    for below, (_, megabytes) in descendants(pid).items():
        try:
            title = Path(f"/proc/{below}/cmdline").read_text()
        except OSError:
            continue  # gone since
        if named := TITLE.match(title):
            found[below] = (named[1], megabytes)
    return found


def replica_megabytes(pid: int) -> float:
    """Add up the resident memory of the replicas below a process."""
    return sum(megabytes for _, megabytes in replicas(pid).values())
