"""Learning rates of the updates: as fairseq's schedules of the same names give them."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class ScheduleConfig:
    max_steps: int = 1000  # updates
    learning_rate: float = 5e-4  # highest value
    warmup_steps: int = 0  # updates from 0 (tri_stage: from a hundredth) to the highest learning rate
    # After warm-up, polynomial falls to 0 at max_steps; tri_stage holds and then falls exponentially. Without warm-up
    # and hold it is HiFi-GAN's 0.999 an epoch: of E updates an epoch, final_scale is 0.999 ** (decay_steps / E).
    schedule: Literal["polynomial", "tri_stage", "inverse_sqrt", "constant"] = "polynomial"
    decay_power: float = 1.0  # of polynomial; 1 is a straight line
    hold_steps: int = 0  # updates of tri_stage at the highest learning rate
    decay_steps: int = 0  # updates of tri_stage from there to its last
    final_scale: float = 0.05  # last learning rate of tri_stage, as a share of the highest
    betas: tuple[float, float] = (0.9, 0.98)  # of AdamW
    adam_eps: float = 1e-6  # fairseq's for HuBERT; HiFi-GAN's is 1e-8
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        if self.max_steps < 1:
            raise ValueError(f"max_steps={self.max_steps} must be at least 1")
        for name in ("learning_rate", "warmup_steps", "decay_power", "hold_steps", "decay_steps", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 or more")
        if not 0 < self.final_scale <= 1:
            raise ValueError(f"final_scale={self.final_scale} must be above 0 and at most 1")
        if self.schedule == "tri_stage" and self.decay_steps < 1:
            raise ValueError("schedule=tri_stage needs decay_steps, the updates of its last stage")


INITIAL_SCALE = 0.01  # of tri_stage


def learning_rate(config: ScheduleConfig, step: int) -> float:
    """Learning rate of the update `step`, counted from 0.

    As in fairseq/optim/lr_scheduler, but in warm-ups from 0, where fairseq's second update has the rate of its first
    and the others follow one update later than here.
    """
    if config.schedule == "tri_stage":
        return config.learning_rate * _tri_stage(config, step)
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "inverse_sqrt":
        return config.learning_rate * math.sqrt(max(1, config.warmup_steps) / (step + 1))
    left = (config.max_steps - step) / max(1, config.max_steps - config.warmup_steps)
    return config.learning_rate * left**config.decay_power


def _tri_stage(config: ScheduleConfig, step: int) -> float:
    """Share of the highest learning rate: linear warm-up, hold, exponential decay, then constant."""
    if step < config.warmup_steps:
        return INITIAL_SCALE + (1 - INITIAL_SCALE) * step / config.warmup_steps
    decayed = step - config.warmup_steps - config.hold_steps
    return config.final_scale ** min(1.0, max(0, decayed) / config.decay_steps)


def adamw(model: nn.Module, config: ScheduleConfig) -> torch.optim.AdamW:
    """Make the optimizer of a model's parameters."""
    return torch.optim.AdamW(
        model.parameters(), config.learning_rate, config.betas, config.adam_eps, config.weight_decay, fused=True
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate
