"""The training loop: batch, loss, backward, step, and every so often a report and a checkpoint.

A trainer gives an objective (a module whose forward takes one batch and returns the loss and metrics) and
datasets in which one row is one batch (see trainers.batches); Ray Train runs `train` on every worker.
"""

import contextlib
import io
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ray.data
import ray.train
import ray.train.torch
import torch
from torch import Tensor, nn

from s2st import storage
from s2st.precision import autocast
from stages.console import tell
from stages.stage import Step, fingerprint, resource
from trainers.batches import unpack


@dataclass(frozen=True)
class LoopConfig:
    max_steps: int = 1000  # updates
    learning_rate: float = 5e-4  # highest value
    warmup_steps: int = 0  # updates from 0 to the highest learning rate
    schedule: Literal["linear", "inverse_sqrt", "constant"] = "linear"  # after warm-up; linear falls to 0
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW
    adam_eps: float = 1e-6  # fairseq's for HuBERT; HiFi-GAN's is 1e-8
    weight_decay: float = 0.01
    clip_norm: float = 10.0  # of the gradient; 0 does not clip
    accumulate: int = 1  # batches an update
    bf16: bool = False  # autocast, on devices that have it
    checkpoint_every: int = 500  # updates between checkpoints
    log_every: int = 50  # updates between lines of the log
    seed: int = 0  # of weights and dropout; the order of batches is drawn anew in each run
    num_workers: int = 1  # 0 trains in the process of the step; each more makes an update's batch larger
    cpus_per_worker: float = resource(1.0)  # also the number of threads of each
    use_gpu: bool = resource(False)
    max_failures: int = resource(3)  # of workers, before the training gives up

    def __post_init__(self) -> None:
        for name in ("max_steps", "accumulate", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.num_workers < 0:
            raise ValueError(f"num_workers={self.num_workers} must be 0 (in process) or more")


@dataclass(frozen=True)
class Run:
    """What a worker knows of the step that it trains for."""

    name: str
    output: str  # folder of the finished model
    state: str | None  # file of the training state, for trainings in process; Ray Train keeps that of others


def fit(
    step: Step,
    config: LoopConfig,
    worker: Callable[[dict[str, Any]], None],
    settings: dict[str, Any],
    datasets: Mapping[str, ray.data.Dataset],
) -> None:
    """Run `worker` on the workers of a Ray Train run that is found again by its name after a kill.

    The workers get `settings`, with the LoopConfig as "loop" and the Run as "run".
    """
    name, storage_path = f"{step.name}-{fingerprint(step)}", f"{step.working_folder}/train"
    state = f"{storage_path}/{name}/state.pt" if config.num_workers == 0 else None
    ray.train.torch.TorchTrainer(
        worker,
        train_loop_config={**settings, "loop": config, "run": Run(step.name, step.output, state)},
        datasets=dict(datasets),
        scaling_config=ray.train.ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=config.use_gpu,
            resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if config.use_gpu else {})},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage_path,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        ),
    ).fit()
    storage.delete_folder(f"{storage_path}/{name}")  # the finished model is in the output


def train(config: LoopConfig, run: Run, objective: nn.Module, skips_layers: bool = False) -> None:
    """Train `objective` on this worker's shard of "train"; writes metrics.jsonl into the output folder.

    An objective that leaves out layers at random must say so, since DDP then looks for unused parameters.
    """
    set_up_worker(config)
    device = ray.train.torch.get_device()
    model = ray.train.torch.prepare_model(
        objective.to(device), parallel_strategy_kwargs={"find_unused_parameters": skips_layers}
    )
    optimizer = adamw(objective, config)
    parts = {"objective": objective, "optimizer": optimizer}
    start, history = restore(parts, run)
    log = Log(run.name, config, start, history)
    batches = endless(ray.train.get_dataset_shard("train"), device)
    for step in range(start, config.max_steps):
        set_rate(optimizer, learning_rate(config, step))
        if hasattr(objective, "begin_update"):
            objective.begin_update(step)
        for micro_batch in range(config.accumulate):
            with synchronised(model, micro_batch == config.accumulate - 1), autocast(device, config.bf16):
                loss, metrics = model(next(batches))
                (loss / config.accumulate).backward()
        if config.clip_norm:
            nn.utils.clip_grad_norm_(objective.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        log.add(step, metrics)
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.max_steps:
            save(step + 1, parts, log, run)
    log.write(run.output)


def set_up_worker(config: LoopConfig) -> None:
    """Seed this worker and give it its threads."""
    torch.manual_seed(config.seed * 1000 + ray.train.get_context().get_world_rank())
    torch.set_num_threads(max(1, int(config.cpus_per_worker)))


def adamw(model: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    """Make the optimizer of a model's parameters."""
    return torch.optim.AdamW(
        model.parameters(), config.learning_rate, config.betas, config.adam_eps, config.weight_decay, fused=True
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def learning_rate(config: LoopConfig, step: int) -> float:
    """Learning rate of the update `step`, counted from 0."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "inverse_sqrt":
        return config.learning_rate * math.sqrt(max(1, config.warmup_steps) / (step + 1))
    return config.learning_rate * (config.max_steps - step) / max(1, config.max_steps - config.warmup_steps)


def endless(shard: ray.data.DataIterator, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """Yield batches, epoch after epoch; raises RuntimeError if an epoch is empty."""
    while True:
        empty = True
        for row in shard.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=2):
            empty = False
            yield {key: value.to(device) for key, value in unpack(row["batch"][0].as_py()).items()}
        if empty:
            raise RuntimeError("the training set gives this worker no batch; use fewer workers or smaller batches")


def synchronised(model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Let DDP exchange gradients only in the last batch of an update."""
    if last or not isinstance(model, nn.parallel.DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()


def restore(parts: Mapping[str, Any], run: Run) -> tuple[int, list[dict[str, float]]]:
    """Load the last state of this training, if there is one, into models and optimizers.

    Returns the number of updates done and the history of metrics.
    """
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            data = storage.read_bytes(f"{folder}/state.pt")
    elif run.state is not None and storage.is_file(run.state):
        data = storage.read_bytes(run.state)
    else:
        return 0, []
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"], state["history"]


def save(step: int, parts: Mapping[str, Any], log: "Log", run: Run) -> None:
    """Report metrics from all workers, and a checkpoint from the first."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if ray.train.get_context().get_world_rank() == 0:
            state = {name: part.state_dict() for name, part in parts.items()}
            buffer = io.BytesIO()
            torch.save({**state, "step": step, "history": log.history}, buffer)
            storage.write_bytes(run.state or f"{folder}/state.pt", buffer.getvalue())
            checkpoint = None if run.state else ray.train.Checkpoint.from_directory(folder)
        ray.train.report({"step": step, **log.latest()}, checkpoint=checkpoint)


class Log:
    """Averages metrics between lines, prints the lines of the first worker, and keeps them as history."""

    def __init__(self, name: str, config: LoopConfig, start: int, history: list[dict[str, float]]):
        self.name, self.config, self.history = name, config, history
        self.sums: dict[str, Tensor] = {}
        self.count, self.first, self.start = 0, start, time.monotonic()
        self.speaks = ray.train.get_context().get_world_rank() == 0
        if start and self.speaks:
            tell(f"{name}: goes on at step {start} of {config.max_steps}")

    def add(self, step: int, metrics: Mapping[str, Tensor]) -> None:
        """Count in the metrics of the update `step`."""
        for key, value in metrics.items():
            self.sums[key] = self.sums.get(key, 0.0) + value.detach().float()
        self.count += 1
        if (step + 1) % self.config.log_every == 0 or step + 1 == self.config.max_steps:
            self._line(step + 1)

    def _line(self, step: int) -> None:
        means = {key: float(value) / self.count for key, value in self.sums.items()}
        self.sums, self.count = {}, 0
        seconds = (time.monotonic() - self.start) / (step - self.first)
        self.history.append({"step": step, **means, "milliseconds_per_step": 1000 * seconds})
        if self.speaks:
            left = seconds * (self.config.max_steps - step)
            shown = "  ".join(f"{key} {value:.3f}" for key, value in means.items())
            tell(
                f"{self.name}: step {step}/{self.config.max_steps}  {shown}  "
                f"{1000 * seconds:.0f} ms a step, {left:.0f} s left"
            )

    def latest(self) -> dict[str, float]:
        """Return the newest line of metrics."""
        return self.history[-1] if self.history else {}

    def write(self, folder: str) -> None:
        """Write the history as JSON lines, from the first worker."""
        if self.speaks:
            lines = "".join(json.dumps(line) + "\n" for line in self.history)
            storage.write_bytes(f"{folder}/metrics.jsonl", lines.encode())
