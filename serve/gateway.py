"""The deployment that all requests come to: it holds the HTTP interface, and asks the models."""

import asyncio
import logging
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.handle import DeploymentHandle

from serve.deployments import OPTIONS
from serve.errors import RETRY_SECONDS
from serve.graph import Graph
from serve.load import Load
from serve.models import Model, read_models
from serve.routes import create_app
from serve.settings import ServeSettings, read_keys, read_settings

ONGOING = 32  # requests that are read and answered at once: fewer than the models take in, so those refuse none
QUEUED = 32  # requests that wait to be read before the server says that it is busy

logger = logging.getLogger("ray.serve")


@serve.deployment(
    **OPTIONS,
    max_ongoing_requests=ONGOING,
    max_queued_requests=QUEUED,
    backpressure_config=BackpressureConfig(status_code=503, retry_after_s=RETRY_SECONDS),
)
@serve.ingress()
class Gateway:
    """Parses requests, asks the models, answers with audio. Its settings are Serve's `user_config`."""

    def __init__(self, *parts: DeploymentHandle):
        """Take the deployments of Graph, in its order."""
        self.graph = Graph(*parts)
        self.load = Load()
        self.settings: ServeSettings | None = None
        self.keys: tuple[bytes, ...] = ()
        self.models: dict[str, Model] = {}
        self.refused: str | None = None  # why the last settings were not taken

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self)  # type: ignore[arg-type]

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take new settings and load the models that they name, while requests go on with the old ones.

        What cannot be used ends the first deployment, with its reason; later, the server goes on as it was.
        """
        try:
            settings = read_settings(user_config)
            keys = read_keys(settings)
            models = await asyncio.to_thread(read_models, settings.models)
            await self.graph.warm(models)
        except Exception as error:  # also a bucket out of reach, or a replica that dies as it reads
            if self.settings is None:
                raise
            self.refused = str(error)
            logger.error("the new settings are refused, the old ones stay: %s", error)
            return
        self.settings, self.keys, self.models, self.refused = settings, keys, models, None
        self.graph.affine = len(models) > 1
