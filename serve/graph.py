"""The deployments as the gateway sees them: how a request goes from one to the next."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.exceptions import ObjectLostError, RayActorError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from serve.deployments import Found, Heard, Spoken
from serve.models import Model

logger = logging.getLogger("ray.serve")


class ReplicaLostError(RuntimeError):
    """The replicas that a request was with have died."""


@dataclass(frozen=True)
class Order:
    """What is asked for."""

    model: Model
    source: str
    to: str
    voice: str | None
    beam: int


class Graph:
    """Speech encoder -> unit translator -> unit vocoder, and one deployment for models that are not asked in parts."""

    def __init__(
        self,
        encoder: DeploymentHandle,
        translator: DeploymentHandle,
        vocoder: DeploymentHandle,
        whole: DeploymentHandle,
    ):
        self.encoder, self.translator, self.vocoder, self.whole = encoder, translator, vocoder, whole
        self.affine = False  # whether replicas that hold a model already are asked for it first

    async def warm(self, models: dict[str, Model]) -> None:
        """Load models; raises UserError if one is broken."""
        for model in models.values():
            parts = [self.encoder, self.translator, self.vocoder] if model.in_parts else [self.whole]
            await asyncio.gather(*(self._warm(part, model.version) for part in parts))

    async def _warm(self, part: DeploymentHandle, version: str) -> None:
        await ask(lambda: [part.warm.remote(version)])

    async def translate(self, waveform: np.ndarray, order: Order) -> Spoken:
        """Translate a waveform (N,); raises as `ask` does.

        Un-awaited answers go straight from one model to the next, not through this process.
        """
        version = order.model.version

        def chain() -> list[DeploymentResponse]:
            if not order.model.in_parts:
                return [self._of(self.whole, version).remote(waveform, version, order.source, order.to, order.beam)]
            heard = self._of(self.encoder, version).remote(waveform, version)
            found = self._of(self.translator, version).remote(heard, version, order.source, order.to, order.beam)
            return [heard, found, self._of(self.vocoder, version).remote(found, version, order.to, order.voice)]

        return await ask(chain)

    async def grow(self, waveform: np.ndarray, order: Order) -> AsyncIterator[np.ndarray]:
        """Translate a waveform (N,), and give that of the translation in chunks while it is made; raises as `ask` does.

        It is asked once: what was given cannot be taken back.
        """
        version = order.model.version
        if not order.model.in_parts:
            yield (await self.translate(waveform, order)).waveform
            return
        heard = self._of(self.encoder, version).remote(waveform, version)
        vocoder = self._of(self.vocoder, version).options(stream=True)
        growing = vocoder.grow.remote(heard, version, order.source, order.to, order.voice, order.beam)
        try:
            async for chunk in growing:
                yield chunk
        except Exception as error:
            raise (ReplicaLostError(str(error)) if is_loss(error) else getattr(error, "cause", error)) from None
        finally:
            for response in (heard, growing):
                response.cancel()

    async def units(self, waveform: np.ndarray, model: Model) -> Heard:
        """Give the units of a waveform (N,); raises as `ask` does."""
        return await ask(lambda: [self._of(self.encoder, model.version).remote(waveform, model.version)])

    async def speak(self, units: np.ndarray, order: Order, full: bool) -> Spoken:
        """Speak units (L,), reduced or `full`; raises as `ask` does."""
        version = order.model.version
        found = Found(None, units, finished=True, loops=False, seconds=0.0)
        return await ask(lambda: [self._of(self.vocoder, version).remote(found, version, order.to, order.voice, full)])

    def _of(self, part: DeploymentHandle, version: str) -> Any:
        return part.options(multiplexed_model_id=version) if self.affine else part


async def ask(chain: Callable[[], list[DeploymentResponse]], tries: int = 2) -> Any:
    """Give what the last of a chain of calls answers; all are cancelled once nobody waits any more.

    A chain that lost a replica is asked again: its work leaves no traces. Raises ReplicaLostError where all tries were
    lost, and what the replicas raise.
    """
    responses = chain()
    try:
        return await responses[-1]
    except asyncio.CancelledError:
        for response in responses:
            response.cancel()
        raise
    except Exception as error:
        if not is_loss(error):
            raise getattr(error, "cause", error) from None  # Ray wraps what a replica raises
        if tries == 1:
            raise ReplicaLostError("the replicas that were asked have died") from error
        logger.warning("a replica was lost, and its request is made again")
    return await ask(chain, tries - 1)


def is_loss(error: Exception) -> bool:
    """Tell whether an error says that a replica, or what it made, is gone; Serve wraps that of others in the chain."""
    causes = (error, error.__cause__, getattr(error, "cause", None))
    return any(isinstance(cause, RayActorError | ObjectLostError) for cause in causes)
