"""A training as Ray Train runs it: its settings, its folders, its workers and their data."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray.data
import ray.train
import ray.train.torch

from s2st import storage
from s2st.config import UserError
from stages.console import tell
from stages.stage import Step, fingerprint, resource
from trainers import state
from trainers.batches import open_once, open_stream
from trainers.examples import Examples
from trainers.schedule import ScheduleConfig


@dataclass(frozen=True)
class LoopConfig(ScheduleConfig):
    clip_norm: float = 10.0  # of the gradient; 0 does not clip
    accumulate: int = 1  # batches an update, of each worker
    bf16: bool = False  # autocast, on devices that have it
    fp16: bool = False  # autocast with a scaled loss, for GPUs without bf16
    compile: bool = resource(False)  # torch.compile: starts minutes later, runs faster on GPUs
    checkpoint_every: int = 500  # updates between checkpoints
    keep_checkpoints: int = resource(2)  # of the training's state: the best where there is validation, and the last
    validation_batches: int = 16  # that each checkpoint is judged by, where there is a validation split; 0 judges none
    best_metric: str = "loss"  # of the validation split, that keep_best, keep_checkpoints and patience go by
    keep_best: bool = False  # the finished model is the one with the best validation metric, not the last
    average_last: int = 0  # the finished model has the mean of the weights at so many last checkpoints; 0 the last ones
    patience: int = 0  # checkpoints without a better validation metric after which the training stops; 0 never stops
    log_every: int = resource(50)  # updates between lines of the log
    seed: int = 0  # of weights, dropout, masks and the order of batches
    num_workers: int = 1  # 0 trains in the process of the step; each more makes an update's batch larger
    min_workers: int = resource(0)  # above 0, the training goes on with as few while nodes are lost, up to num_workers
    cpus_per_worker: float = resource(1.0)  # also the number of threads of each
    use_gpu: bool = resource(False)
    max_failures: int = resource(3)  # of workers, before the training gives up; nodes that are taken back do not count

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("accumulate", "checkpoint_every", "log_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("num_workers", "min_workers", "clip_norm", "validation_batches", "average_last", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 or more")
        if self.min_workers > self.num_workers:
            raise ValueError(f"min_workers={self.min_workers} must not be above num_workers={self.num_workers}")
        if self.bf16 and self.fp16:
            raise ValueError("bf16 and fp16 cannot both be true")
        if (self.keep_best or self.patience) and not self.validation_batches:
            raise ValueError("keep_best and patience need validation_batches above 0")
        if self.keep_best and self.average_last:
            raise ValueError("keep_best and average_last cannot both say which weights the finished model has")


@dataclass(frozen=True)
class Run:
    """What a worker knows of the step that it trains for."""

    name: str
    output: str  # folder of the finished model
    folder: str  # of this run while it lasts: Ray Train's checkpoints, the best model, what went wrong
    curves: str  # folder for TensorBoard
    validates: bool  # there is a validation split to judge checkpoints by

    @property
    def state(self) -> str:
        """Folder for the state of trainings in process; Ray Train keeps that of others."""
        return f"{self.folder}/state"

    @property
    def failures(self) -> str:
        """Folder for what workers say of a loss that was no number."""
        return f"{self.folder}/failures"

    def failure(self, rank: int) -> str:
        """File for what a worker says of it."""
        return f"{self.failures}/worker-{rank}.json"

    def best(self, step: int) -> str:
        """Folder of the model that had the best validation metric after `step` updates."""
        return f"{self.folder}/best-{step:08d}"

    def snapshot(self, step: int) -> str:
        """Folder of the model after `step` updates, to be averaged with others."""
        return f"{self.folder}/snapshot-{step:08d}"

    def latest_state(self) -> str:
        """Folder of the newest state, whoever keeps it."""
        try:
            snapshot = storage.read_json(f"{self.folder}/checkpoint_manager_snapshot.json")  # Ray Train's
        except FileNotFoundError:
            return self.state
        latest = snapshot["latest_checkpoint_result"]
        return f"{self.folder}/{latest['checkpoint_dir_name']}" if latest else self.state


def fit(
    step: Step,
    config: LoopConfig,
    worker: Callable[[dict[str, Any]], None],
    settings: dict[str, Any],
    training: Examples | None,
    validation: Examples | None = None,
) -> None:
    """Run `worker` on the workers of a Ray Train run that is found again by its name after a kill.

    The workers get `settings`, with the LoopConfig as "loop" and the Run as "run". Raises UserError if there is no
    training example, no validation example where one is needed, or the loss becomes no number.
    """
    if training is None:
        raise UserError(f"section '{step.name}': its inputs have no row in the training split")
    if (config.keep_best or config.patience) and validation is None:
        raise UserError(f"section '{step.name}': keep_best and patience need a validation split, and there is none")
    name, storage_path = f"{step.name}-{fingerprint(step)}", f"{step.working_folder}/train"
    curves = f"{step.run_folder}/_tensorboard/{step.name}"
    validates = validation is not None and config.validation_batches > 0
    run = Run(step.name, step.output, f"{storage_path}/{name}", curves, validates)
    storage.delete_folder(run.failures)  # of an earlier try
    datasets: dict[str, Any] = {"train": functools.partial(_open_where_it_stopped, training, config, run)}
    if validates:
        datasets["validation"] = functools.partial(open_once, validation)
    if config.num_workers:
        tell(f"{step.name}: its training workers start, which takes a while")
    ray.train.torch.TorchTrainer(
        worker,
        train_loop_config={**settings, "loop": config, "run": run},
        datasets=datasets,
        dataset_config=ray.train.DataConfig(["train"], ray.data.ExecutionOptions(preserve_order=True)),
        scaling_config=_scaling(config),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage_path,
            failure_config=ray.train.FailureConfig(max_failures=config.max_failures),
            checkpoint_config=ray.train.CheckpointConfig(
                num_to_keep=config.keep_checkpoints,
                checkpoint_score_attribute="cost" if validates else None,
                checkpoint_score_order="min",
            ),
        ),
    ).fit()
    failures = [run.failure(rank) for rank in range(max(1, config.num_workers))]
    if told := [storage.read_json(file) for file in failures if storage.is_file(file)]:
        raise UserError(max(told, key=lambda failure: failure["in_loss"])["message"])
    storage.delete_folder(run.folder)  # the finished model is in the output


def _scaling(config: LoopConfig) -> ray.train.ScalingConfig:
    return ray.train.ScalingConfig(
        num_workers=(config.min_workers, config.num_workers) if config.min_workers else config.num_workers,
        use_gpu=config.use_gpu,
        resources_per_worker={"CPU": config.cpus_per_worker, **({"GPU": 1} if config.use_gpu else {})},
    )


def _open_where_it_stopped(training: Examples, config: LoopConfig, run: Run) -> ray.data.Dataset:
    """Open the batches that the latest state has not seen; Ray Train calls it for each group of workers it starts."""
    return open_stream(training, config.seed, state.read_progress(run.latest_state()).place, config.num_workers)
