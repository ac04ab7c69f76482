"""How long a training stands still after a SIGKILL: of a worker, of the driver, of a node.

python -m benchmarks.kills [--kinds worker driver node]

A small HuBERT is trained on tones by two workers, with a checkpoint every 10 steps. From the kill to the next step that
was not done before; a killed driver is started again at once, and for a killed node another one is added at once.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.peer import module
from benchmarks.results import Row, row

KINDS = ("worker", "driver", "node")
KILLED_AT, STEPS, CHECKPOINT_EVERY = 25, 60, 10
PATIENCE_SECONDS = 300.0


def train(folder: Path, nodes: bool) -> None:
    """Train until it is done, or somebody kills it: what the driver does."""
    import ray

    from stages import cluster

    if nodes:  # a head without CPUs, to which others join
        ray.init("local", num_cpus=0, include_dashboard=False, log_to_driver=False, logging_level="error")
        address = ray.get_runtime_context().gcs_address
        os.environ["RAY_ADDRESS"] = address
        (folder / "address").write_text(address)
    else:
        cluster.connect()
    _fit(folder)


def _fit(folder: Path) -> None:
    from stages.stage import Step
    from trainers import run
    from trainers.run import LoopConfig

    run.fingerprint = lambda step: "x"  # type: ignore[assignment]
    run.fit(
        Step("hubert", "trainers.hubert", str(folder / "run"), {}, {}),
        LoopConfig(
            max_steps=STEPS, checkpoint_every=CHECKPOINT_EVERY, log_every=10, num_workers=2, cpus_per_worker=0.5
        ),
        train_worker,
        {"clock": str(folder / "clock.jsonl")},
        _tones(folder),
    )


def _tones(folder: Path) -> Any:
    """Examples of HuBERT: a second of a tone each, with its number as every label."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from trainers.examples import Packing, examples

    data = folder / "data"
    if not data.exists():
        data.mkdir()
        rows = [{"utterance_id": str(i), "tone": i % 8, "split": "train"} for i in range(64)]
        pq.write_table(pa.Table.from_pylist(rows), data / "rows.parquet", row_group_size=8)

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, torch.Tensor]:
        tones = torch.tensor([row["tone"] for row in rows])
        waves = torch.sin(2 * torch.pi * (200 + 100 * tones[:, None]) * torch.arange(16_000) / 16_000)
        lengths = torch.full((len(rows),), 16_000)
        return {"waveform": (waves * 8000).short(), "lengths": lengths, "labels": tones[:, None].expand(-1, 50).clone()}

    schema = pa.schema([("utterance_id", pa.string()), ("tone", pa.int64()), ("split", pa.string())])
    return examples(str(data), schema, ["utterance_id", "tone"], {"split": "train"}, Packing(4), lambda row: 1, collate)


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; write down when each step begins."""
    import ray.train
    import torch

    from s2st.models.hubert import Hubert, HubertConfig
    from trainers.hubert import HubertObjective
    from trainers.loop import train

    class Timed(HubertObjective):
        def begin_update(self, step: int) -> None:
            if ray.train.get_context().get_world_rank() == 0:
                with open(settings["clock"], "a") as file:
                    file.write(json.dumps([step, time.time(), os.getpid()]) + "\n")
            time.sleep(0.1)  # so that the kill comes between steps of a known number

    torch.manual_seed(0)
    convolutions = ((32, 10, 5), *((32, 3, 2),) * 4, *((32, 2, 2),) * 2)
    size = {"width": 64, "num_layers": 2, "num_heads": 2, "ffn_dim": 128, "positional_kernel": 16}
    hubert = Hubert(HubertConfig(conv_layers=convolutions, num_classes=8, layer_drop=0.0, **size))
    train(settings["loop"], settings["run"], Timed(hubert), lambda folder: Path(folder).mkdir(parents=True))


def measure(kind: str) -> Iterator[Row]:
    """Kill once, and wait for the next new step and for the end."""
    with tempfile.TemporaryDirectory(prefix="s2st-kills-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        clock, command = (
            folder / "clock.jsonl",
            module("benchmarks.kills", "--train", folder, "--nodes", kind == "node"),
        )
        driver = _start(command, folder)
        stack.callback(lambda: driver.kill())
        node = _join(driver, folder, stack) if kind == "node" else None
        _wait(lambda: _steps(clock) and _steps(clock)[-1][0] >= KILLED_AT, driver, folder)
        victim = {"worker": _steps(clock)[-1][2], "driver": driver.pid, "node": node and _raylet(node)}[kind]
        os.kill(victim, signal.SIGKILL)
        killed, done = time.time(), _steps(clock)[-1][0]
        if kind == "driver":
            driver.wait()
            driver = _start(command, folder)
        elif kind == "node":
            _join(driver, folder, stack)
        _wait(lambda: any(step > done and when > killed for step, when, _ in _steps(clock)), driver, folder)
        if driver.wait(PATIENCE_SECONDS):
            raise RuntimeError(f"the training failed:\n{(folder / 'log').read_text()[-2000:]}")
        after = [(step, when - killed) for step, when, _ in _steps(clock) if when > killed + 0.5]
        print(f"{kind}: killed in step {done}; went on at step {after[0][0]} after {after[0][1]:.1f} s")
        yield row(f"train.kill_{kind}", after[0][1], None, "s from SIGKILL to the next step")


def _join(driver: subprocess.Popen, folder: Path, stack: contextlib.ExitStack) -> subprocess.Popen:
    """Start a node of the driver's cluster."""
    _wait((folder / "address").exists, driver, folder)
    address = (folder / "address").read_text()
    node = _start(module("ray.scripts.scripts", "start", "--address", address, "--num-cpus", 4, "--block"), folder)
    stack.callback(node.terminate)
    return node


def _raylet(node: subprocess.Popen) -> int:
    """Find the process that is a node: when it dies, its workers do."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        head, _, rest = path.read_text().rpartition(")")
        if head.endswith("(raylet") and int(rest.split()[1]) == node.pid:
            return int(path.parent.name)
    raise RuntimeError("the node has no raylet")


def _start(command: list[str], folder: Path) -> subprocess.Popen:
    with (folder / "log").open("ab") as log:
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def _steps(clock: Path) -> list[tuple[int, float, int]]:
    lines = clock.read_text().splitlines() if clock.exists() else []
    return [tuple(json.loads(line)) for line in lines if line.endswith("]")]


def _wait(there: Callable[[], Any], driver: subprocess.Popen, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not there():
        if driver.poll() not in (None, 0) or time.monotonic() > deadline:
            raise RuntimeError(f"the training ended or hangs:\n{(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)


def run() -> Iterator[Row]:
    """Measure all kinds."""
    for kind in KINDS:
        yield from measure(kind)


def main() -> None:
    """Run the benchmark, keep its rows and print its table; or be the driver that is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--nodes", help=argparse.SUPPRESS)
    results.add_option(parser)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train, arguments.nodes == "True")
        return
    rows = (entry for kind in arguments.kinds for entry in measure(kind))
    print(results.table(results.kept(rows, arguments.results)))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
