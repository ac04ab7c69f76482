"""The training loop: batch, loss, backward, step, and every so often a checkpoint.

A trainer gives an Objective and examples (see trainers.examples); Ray Train runs `train` on every worker. What an
update draws at random depends on the seed, its number and the batch's place in it: a training that was killed goes on
with the very batches, masks and dropout that it would have had, and two workers do what one with accumulate=2 does (but
for BatchNorm's running statistics, which are the first worker's).
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import ray.train.torch
import torch
from torch import Tensor, nn

from s2st.precision import autocast
from trainers.objective import Objective
from trainers.run import LoopConfig, Run
from trainers.schedule import adamw, learning_rate, set_rate
from trainers.worker import Worker

SMALLEST_SCALE = 2.0**-13  # of fp16: when gradients overflow even so, the training has failed


def train(config: LoopConfig, run: Run, objective: Objective, write_model: Callable[[str], None]) -> None:
    """Train `objective` on this worker's batches; the first writes the model and metrics.jsonl into the output."""
    worker = Worker(config, run)
    if config.compile:
        objective.compile(dynamic=True)
    model = ray.train.torch.prepare_model(
        objective.to(worker.device), parallel_strategy_kwargs={"find_unused_parameters": objective.skips_layers}
    )
    optimizer = adamw(objective, config)
    scaler = torch.amp.GradScaler(worker.device.type, enabled=config.fp16)
    with worker.begun({"objective": objective, "optimizer": optimizer}, objective):
        if worker.progress.scaler:
            scaler.load_state_dict(worker.progress.scaler)
        while not worker.done():
            objective.begin_update(worker.progress.step)
            set_rate(optimizer, learning_rate(config, worker.progress.step))
            metrics = update(config, worker, model, optimizer, scaler, objective.weight)
            if "gradient_norm" not in metrics and not (config.fp16 and scaler.get_scale() > SMALLEST_SCALE):
                worker.fail()
                return
            worker.progress.scaler = scaler.state_dict()
            worker.end_update(metrics, write_model)
        worker.finish(write_model)


def update(
    config: LoopConfig,
    worker: Worker,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    weight: str | None,
) -> dict[str, Tensor]:
    """Take one step; give the metrics of its last batch, and the norm of the gradient before clipping, if it is finite.

    Where an update has several batches, on one worker or more, their losses count by the metric `weight`, as in
    fairseq: a mean over all their tokens. A gradient that is no number changes nothing where the loss is scaled;
    elsewhere it ruins the weights.
    """
    several = config.accumulate * worker.world_size > 1
    total = torch.zeros((), device=worker.device)
    for micro_batch in range(config.accumulate):
        batch = worker.next_batch(micro_batch)
        exchange = synchronised(model, micro_batch == config.accumulate - 1)
        with exchange, autocast(worker.device, config.bf16, config.fp16):
            loss, metrics = model(batch)
            share = metrics[weight].detach().float() if weight and several else torch.ones_like(total)
            scaler.scale(loss * share / config.accumulate).backward()
        total += share
        worker.see(loss)
    scaler.unscale_(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if weight and several:
        divide_gradients(parameters, worker.mean(total) / config.accumulate)
    norm = nn.utils.clip_grad_norm_(parameters, config.clip_norm or torch.inf)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return {**metrics, "gradient_norm": norm} if torch.isfinite(norm) else metrics


def divide_gradients(parameters: Sequence[nn.Parameter], divisor: Tensor) -> None:
    """Divide gradients, where there are some."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.div_(divisor)


def synchronised(model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
    """Let DDP exchange gradients only in the last batch of an update."""
    if last or not isinstance(model, nn.parallel.DistributedDataParallel):
        return contextlib.nullcontext()
    return model.no_sync()
