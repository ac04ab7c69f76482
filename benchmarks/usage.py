"""What a command uses: CPU time and memory, of the process and of all that it starts.

The peak of memory that the kernel tells of a child begins with that of its parent: a process that measures
must stay small, so no benchmark imports torch before it measures. For Linux: the units of others differ.
"""

import ctypes
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
POLL_SECONDS = 0.25
LAST_WAIT_SECONDS = 60.0  # for what a command leaves behind
PR_SET_CHILD_SUBREAPER = 36  # of Linux: orphans become children of this process
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Usage:
    """What a command used."""

    cpu_seconds: float  # user and system
    peak_mb: float  # resident memory of the largest process
    tree_peak_mb: float = 0.0  # of all processes together; what they share counts once


def run(command: Sequence[str], log: Path, gpu: bool = False) -> Usage:
    """Run a command on one thread of the CPU to its end, with a GPU or none; its output goes to `log`."""
    process = _start(command, log, ONE_THREAD if gpu else {**ONE_THREAD, **NO_GPU})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    _check(process, log)
    return Usage(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def run_tree(command: Sequence[str], log: Path) -> Usage:
    """Run a command as `run` does, and count processes that nobody waits for, such as Ray's.

    They are looked at four times a second, which takes a third of a core for those of Ray; what one uses after the
    last look is missed.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    process = _start(command, log, {**ONE_THREAD, **NO_GPU})
    seconds: dict[int, float] = {}
    peak = tree_peak = 0.0
    deadline: float | None = None
    while True:
        found = descendants(os.getpid())
        for pid, (cpu_seconds, megabytes) in found.items():
            seconds[pid] = cpu_seconds
            peak = max(peak, megabytes)
        tree_peak = max(tree_peak, sum(map(own_and_share, found)))
        if process.poll() is not None:
            _reap()
            if not found:
                break
            deadline = deadline or time.monotonic() + LAST_WAIT_SECONDS
            if time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} ended, but left the processes {sorted(found)}")
        time.sleep(POLL_SECONDS)
    _check(process, log)
    return Usage(sum(seconds.values()), peak, tree_peak)


def own_and_share(pid: int) -> float:
    """Memory of a process in MB, with its share of what it has in common with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0  # gone since
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def descendants(ancestor: int) -> dict[int, tuple[float, float]]:
    """Find the processes below a process: id -> CPU-seconds of its own, resident MB."""
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone since
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        used[pid] = ((int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * page / 2**20)
    below, newest = set(), {ancestor}
    while newest:
        newest = {pid for pid, parent in parents.items() if parent in newest}
        below |= newest
    return {pid: used[pid] for pid in below}


def bytes_below(folder: Path) -> int:
    """Add up the sizes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen:
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env={**inherited, **environment}, stdout=output, stderr=subprocess.STDOUT
        )


def _check(process: subprocess.Popen, log: Path) -> None:
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"{' '.join(process.args)} ended with status {process.returncode}:\n{tail}")


def _reap() -> None:
    """Take note of orphans that ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
