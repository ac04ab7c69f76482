"""A Ray head of its own folder, ports and processes, beside whatever else runs on the machine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RAY = str(Path(sys.executable).with_name("ray"))
ATTEMPTS = 4


@dataclass(frozen=True)
class Head:
    """Where a head listens."""

    port: int  # of the cluster
    dashboard: str  # address for jobs
    folder: str  # of its session; the command lines of its processes name it


@contextlib.contextmanager
def private_head(*options: str, environment: Mapping[str, str], port: int | None = None) -> Iterator[Head]:
    """Run a head with more `options` of `ray start`, and end all its processes after; needs Linux's /proc."""
    for attempt in range(ATTEMPTS):
        head, told = _start(options, environment, port)
        try:
            if "timed out during startup" in told and attempt + 1 < ATTEMPTS:
                continue  # the machine is busy
            if told:
                raise RuntimeError(f"ray start failed:\n{told}")
            yield head
            return
        finally:
            end(head)
            shutil.rmtree(head.folder, ignore_errors=True)


def _start(options: Sequence[str], environment: Mapping[str, str], port: int | None) -> tuple[Head, str]:
    """Start a head; gives what it said if it failed."""
    folder = tempfile.mkdtemp(prefix="s2sthead", dir="/tmp")  # short: sockets lie in it, and their paths are limited
    gcs, dashboard, agent = free_ports(3)
    head = Head(port or gcs, f"http://127.0.0.1:{dashboard}", folder)
    command = [RAY, "start", "--head", f"--port={head.port}", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", "--dashboard-host=127.0.0.1", f"--temp-dir={folder}"]
    command += ["--object-store-memory=200000000", "--disable-usage-stats", *options]
    started = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)
    return head, f"{started.stdout}{started.stderr}"[-2000:] if started.returncode else ""


def free_ports(number: int) -> list[int]:
    """Find ports on which nothing listens."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def end(head: Head) -> None:
    """SIGKILL what is left of a head and its nodes. Never `ray stop`: it would end every cluster of the machine."""
    while left := [number for number, line in processes() if head.folder in " ".join(line)]:
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.2)


def processes() -> Iterator[tuple[int, list[str]]]:
    """List the numbers and command lines of the machine's other processes."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if line != [""] and int(entry.name) != os.getpid():
                yield int(entry.name), line
