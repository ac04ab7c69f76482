"""What a training learns, as the loop sees it: a loss of a batch, and what a validation measures."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from torch import Tensor, nn

from s2st.config import UserError
from stages.stage import Step
from trainers.run import LoopConfig


class Objective(nn.Module):
    """What is trained: `forward` takes a batch and gives its loss and metrics."""

    weight: str | None = None  # metric of `forward` that the batches of an update count by; None: all count alike
    skips_layers = False  # in some updates parameters get no gradient: DDP then looks for them
    # What `validation` measures that a model can be chosen by, and where the best value lies.
    metrics: ClassVar[Mapping[str, Literal["min", "max"]]] = MappingProxyType({"loss": "min"})
    speech: Mapping[str, Tensor] = MappingProxyType({})  # waveforms (N,) of the last validation, to be heard

    def begin_update(self, step: int) -> None:
        """Learn that the update `step`, counted from 0, begins."""

    def validation(self, batch: dict[str, Tensor], number: int) -> Mapping[str, Tensor | float]:
        """Give metrics of a batch of the validation split, `loss` among them; called in eval mode, without gradient.

        Batches are numbered from 0, the same in each validation: what is dear to measure may be given of the first.
        """
        return self(batch)[1]

    def judge(self, batch: dict[str, Tensor], number: int) -> Mapping[str, Tensor | float]:
        """Call `validation` in eval mode."""
        self.eval()
        try:
            return self.validation(batch, number)
        finally:
            self.train()

    def concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say what is wrong with averaged metrics of some updates; None if nothing is."""
        return None

    def validation_concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say what is wrong with averaged metrics of the validation split, under `validation`'s names."""
        return None


def check_best_metric(step: Step, config: LoopConfig, objective: type[Objective]) -> None:
    """Raise UserError if loop.best_metric is nothing that a validation of this objective measures."""
    if config.best_metric not in objective.metrics:
        known = ", ".join(objective.metrics)
        raise UserError(f"section '{step.name}': loop.best_metric '{config.best_metric}' is not one of {known}")


def refuse_validation(config: LoopConfig) -> None:
    """Raise ValueError for settings that go by a validation, in a trainer that has none."""
    if config.keep_best or config.patience or config.best_metric != LoopConfig.best_metric:
        raise ValueError("this trainer does not validate; leave best_metric, keep_best and patience out of loop")
