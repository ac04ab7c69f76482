"""What each worker of a training does beside learning: take batches, make checkpoints, judge, tell what went wrong."""

import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import ray.train
import ray.train.torch
import torch
from ray.train.collective import broadcast_from_rank_zero
from torch import Tensor

from s2st import checkpoint, storage
from s2st.precision import autocast
from stages.stage import TRAINING_COST
from trainers import state
from trainers.batches import Stream, rows, to_device
from trainers.log import Log
from trainers.objective import Objective
from trainers.run import LoopConfig, Run
from trainers.state import Part, Progress

WORST = 1e9  # cost of a checkpoint that was not judged
Write = Callable[[str], None]


class Worker:
    """One of the workers of a training: its device, its batches, its part in checkpoints."""

    def __init__(self, config: LoopConfig, run: Run) -> None:
        self.config, self.run = config, run
        context = ray.train.get_context()
        self.times = time.process_time(), time.monotonic()  # since when nothing is in the progress
        self.rank, self.world_size = context.get_world_rank(), context.get_world_size()
        self.device = ray.train.torch.get_device()
        torch.set_num_threads(max(1, int(config.cpus_per_worker)))
        self.warned = False  # that a node will be taken back
        self.outdated: list[str] = []  # folders of models that the next state does without
        self.seen: list[tuple[Tensor, Sequence[str]]] = []  # losses of this update, and the names of their examples

    @contextmanager
    def begun(self, parts: Mapping[str, Part], objective: Objective | None = None) -> Iterator[None]:
        """Load the last state of this training, if there is one, into models and optimizers, and open the batches.

        With an objective, checkpoints are judged by the validation split, if the run has one.
        """
        self.parts, self.objective = parts, objective
        self.progress = self._restore()
        self.log = Log(self.run.name, self.progress, self.config, self.run.curves, objective)
        self.stream = Stream(ray.train.get_dataset_shard("train"), self.device)
        try:
            assert self.rank or self.stream.place == self.progress.place, "the data begin elsewhere than the training"
            yield
        finally:
            self.stream.close()

    def _restore(self) -> Progress:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                return state.load(folder, self.parts)
        if storage.is_file(f"{self.run.state}/{state.FILE}"):
            return state.load(self.run.state, self.parts)
        return Progress()

    def done(self) -> bool:
        """Tell whether the training has made its updates, or stopped early."""
        return 0 < self.config.patience <= self.progress.worse or self.progress.step >= self.config.max_steps

    def next_batch(self, micro_batch: int) -> dict[str, Tensor]:
        """Take the batch `micro_batch` of this update, and begin it."""
        batch, names = self.stream.take()
        self.begin_batch(micro_batch, names)
        return batch

    def begin_batch(self, micro_batch: int, names: Sequence[str]) -> None:
        """Seed what is drawn at random for the batch `micro_batch` of this update, of the examples `names`."""
        place = micro_batch * self.world_size + self.rank
        draw = np.random.SeedSequence((self.config.seed, self.progress.step, place))
        torch.manual_seed(int(draw.generate_state(1, np.uint64)[0]))
        self.names = names

    def mean(self, value: Tensor) -> Tensor:
        """Average a number over the workers."""
        if self.world_size > 1:
            torch.distributed.all_reduce(value)
        return value / self.world_size

    def see(self, loss: Tensor) -> None:
        """Keep the loss of the batch, to be looked at if the gradient is no number."""
        self.seen.append((loss.detach(), self.names))

    def fail(self) -> None:
        """Write down which examples made a gradient that is no number; every worker comes here in the same update."""
        bad = [names for loss, names in self.seen if not torch.isfinite(loss)]
        examples = list(itertools.chain(*(bad or [names for _, names in self.seen])))
        step, file = self.progress.step + 1, self.run.failure(self.rank)
        message = (
            f"section '{self.run.name}': the {'loss' if bad else 'gradient'} is not a number at step {step}; the "
            f"recordings of the batch are named in {file}: listen to them, or lower loop.learning_rate or "
            f"loop.clip_norm, and run again"
        )
        losses = [str(float(loss)) for loss, _ in self.seen]
        storage.write_json(file, {"message": message, "in_loss": bool(bad), "losses": losses, "names": examples})

    def end_update(self, metrics: Mapping[str, Tensor | float], write_model: Write) -> None:
        """Count the update, and make a checkpoint where one is due."""
        self.seen = []
        self.progress.step += 1
        step, config = self.progress.step, self.config
        self.log.add(step, metrics)
        if step % config.checkpoint_every == 0 or step == config.max_steps:
            if self.run.validates and self.objective is not None:
                self._validate(self.objective, write_model)
            if self.rank == 0 and config.average_last:
                self._take_snapshot(write_model)
            self._save()
        elif step % config.log_every == 0 and self._is_to_be_taken_back():
            self._save()

    def _is_to_be_taken_back(self) -> bool:
        """Tell once when a node of this training is about to be taken back, as spot machines are."""
        if self.warned or self.world_size == 1 or ray.train.get_preemption_info() is None:
            return False
        self.warned = True
        return True

    def _validate(self, objective: Objective, write_model: Write) -> None:
        """Judge the model on the validation split, on the first worker; all learn the outcome."""
        metrics: dict[str, float] = {}
        if self.rank == 0:
            metrics, before = self._metrics(objective), self.progress.best_step
            value = metrics[self.config.best_metric]
            cost = -value if objective.metrics[self.config.best_metric] == "max" else value
            if self.progress.judge(cost) and self.config.keep_best:
                write_model(self.run.best(self.progress.best_step))
                self.outdated += [self.run.best(before)] if before else []
        metrics, self.progress.worse = broadcast_from_rank_zero((metrics, self.progress.worse))
        self.log.add_validation(self.progress.step, metrics)

    @torch.no_grad()
    def _metrics(self, objective: Objective) -> dict[str, float]:
        """Average each metric over those of the first batches of the validation split that have it."""
        batches = rows(ray.train.get_dataset_shard("validation"), self.device)
        sums: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for number, row in enumerate(itertools.islice(batches, self.config.validation_batches)):
            torch.manual_seed(number)
            with autocast(self.device, self.config.bf16, self.config.fp16):
                metrics = objective.judge(to_device(row, self.device), number)
            sums.update({name: float(value) for name, value in metrics.items()})
            counts.update(metrics.keys())
        return {name: sums[name] / count for name, count in counts.items()}

    def _take_snapshot(self, write_model: Write) -> None:
        """Keep the model of this checkpoint, and of earlier ones as many as will be averaged with it."""
        write_model(self.run.snapshot(self.progress.step))
        taken = [*self.progress.snapshots, self.progress.step]
        self.progress.snapshots = taken[-self.config.average_last :]
        self.outdated += [self.run.snapshot(step) for step in taken[: -self.config.average_last]]

    def _save(self) -> None:
        """Report to Ray from all workers, with a checkpoint from the first."""
        self.progress.place = self.stream.place
        spent = torch.tensor(self._time_since(), dtype=torch.float64, device=self.device)
        self._count_time(self.world_size * self.mean(spent))
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = None
            if self.rank == 0 and self.config.num_workers == 0:
                state.save(self.run.state, self.parts, self.progress)
            elif self.rank == 0:
                state.save(folder, self.parts, self.progress)
                checkpoint = ray.train.Checkpoint.from_directory(folder)
            cost = self.progress.cost
            ray.train.report(
                {"step": self.progress.step, "cost": WORST if cost is None else cost},
                checkpoint=checkpoint,
                checkpoint_dir_name=f"step-{self.progress.step:08d}",
            )
        for folder in self.outdated:  # only now: the state knows of the newer ones
            storage.delete_folder(folder)
        self.outdated = []
        self.log.pause()

    def _time_since(self) -> list[float]:
        """Give the CPU time of this worker since it was last asked, and the time by the clock."""
        times = time.process_time(), time.monotonic()
        spent = [now - before for now, before in zip(times, self.times, strict=True)]
        self.times = times
        return spent

    def _count_time(self, spent: Iterable[float | Tensor]) -> None:
        """Add to what this training took."""
        core_seconds, seconds = map(float, spent)
        self.progress.core_seconds += core_seconds
        self.progress.worker_seconds += seconds

    def finish(self, write_model: Write) -> None:
        """Write the model, the metrics and the cost into the output, from the first worker."""
        if self.rank == 0:
            if self.config.keep_best and self.progress.best_step:
                storage.copy_folder(self.run.best(self.progress.best_step), self.run.output)
            elif self.progress.snapshots:
                checkpoint.average([self.run.snapshot(step) for step in self.progress.snapshots], self.run.output)
            else:
                write_model(self.run.output)
            self._count_time(self._time_since())
            cost = {name: getattr(self.progress, name) for name in ("core_seconds", "worker_seconds")}
            storage.write_json(f"{self.run.output}/{TRAINING_COST}", cost)
        self.log.write(self.run.output)
