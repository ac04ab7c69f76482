"""The two sides of an adversarial training, each with its optimizer, and what the critic makes of speech.

Shapes: B batch, N samples.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import ray.train.torch
import torch
from torch import Tensor, nn

from s2st.models.discriminators import Discriminators
from s2st.models.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from trainers.run import LoopConfig
from trainers.schedule import adamw, set_rate


class Learner:
    """A module on its device, the same as DDP has it (`model`), and its optimizer."""

    def __init__(self, module: nn.Module, loop: LoopConfig) -> None:
        self.module, self.clip_norm = module, loop.clip_norm
        self.optimizer = adamw(module, loop)
        self.model = ray.train.torch.prepare_model(module)

    def step(self, rate: float) -> Tensor:
        """Follow the gradient, clipped, and forget it; give its norm of before."""
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm or torch.inf)
        set_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm


class Critic(Learner):
    """The discriminators."""

    module: Discriminators

    def loss(self, real: Tensor, fake: Tensor, micro_batch: int) -> Tensor:
        """Give the discriminators' loss: real speech (B, N) from generated (B, N), which gets no gradient.

        Spectral norms estimate their norms once an update, so that the batches of an update see the same weights.
        """
        self.module.train(micro_batch == 0)
        scores, _ = self.model(torch.cat([real, fake.detach()]))
        halves = [score.chunk(2) for score in scores]
        return discriminator_loss([real for real, _ in halves], [fake for _, fake in halves])

    def losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Give the generator's losses for what it made (B, N) of real speech (B, N).

        Only what was made gets a gradient: the discriminators' weights need none in the generator's turn.
        """
        with _frozen(self.module):
            with torch.no_grad():
                _, true_features = self.module(real)
            scores, features = self.module(fake)
        return {"adversarial": adversarial_loss(scores), "feature": feature_matching_loss(true_features, features)}


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    module.eval().requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
