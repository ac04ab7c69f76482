"""The deployments as the gateway sees them: how a request goes from one to the next."""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from serve.deployments import Found
from serve.models import Model


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
        self.affine = len(models) > 1
        for model in models.values():
            parts = [self.encoder, self.translator, self.vocoder] if model.in_parts else [self.whole]
            await asyncio.gather(*(part.warm.remote(model.version) for part in parts))

    def translate(self, waveform: np.ndarray, order: Order) -> DeploymentResponse:
        """Translate a waveform (N,): a response with Spoken.

        Un-awaited answers go straight from one model to the next, not through this process.
        """
        version = order.model.version
        if not order.model.in_parts:
            return self._of(self.whole, version).remote(waveform, version, order.source, order.to, order.beam)
        heard = self.units(waveform, order.model)
        found = self._of(self.translator, version).remote(heard, version, order.source, order.to, order.beam)
        return self._of(self.vocoder, version).remote(found, version, order.to, order.voice)

    def units(self, waveform: np.ndarray, model: Model) -> DeploymentResponse:
        """Give the units of a waveform (N,): a response with Heard."""
        return self._of(self.encoder, model.version).remote(waveform, model.version)

    def speak(self, units: np.ndarray, order: Order, full: bool) -> DeploymentResponse:
        """Speak units (L,), reduced or `full`: a response with Spoken."""
        version = order.model.version
        found = Found(None, units, finished=True, loops=False, seconds=0.0)
        return self._of(self.vocoder, version).remote(found, version, order.to, order.voice, full)

    def _of(self, part: DeploymentHandle, version: str) -> Any:
        return part.options(multiplexed_model_id=version) if self.affine else part
