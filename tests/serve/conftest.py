"""The interface of a server without Ray: its models answer at once, and by rule."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from starlette.testclient import TestClient

from serve.deployments import Found, Heard, Spoken
from serve.load import Load
from serve.models import read_models
from serve.routes import create_app
from serve.settings import ServeSettings

LOCAL = ("127.0.0.1", 50_000)


class QuickGraph:
    """Hears the same units in all speech; an error or a time to wait can be set."""

    heard = Heard(np.array([3, 4], np.int32), np.array([2, 5]), 0.1)

    def __init__(self):
        self.error, self.wait_seconds, self.cancelled = None, 0.0, False

    async def translate(self, waveform, order):
        return await self.speak(self.heard.units, order, full=False)

    async def grow(self, waveform, order):
        self.order = order
        spoken = await self.translate(waveform, order)
        for start in range(0, len(spoken.waveform), 320):
            yield spoken.waveform[start : start + 320]

    async def units(self, waveform, model):
        await self._answer()
        return self.heard

    async def speak(self, units, order, full):
        await self._answer()
        found = Found(self.heard, units, finished=True, loops=False, seconds=0.1)
        return Spoken(found, np.zeros(320 * len(units), np.float32), np.ones(len(units), np.int64), 0.1)

    async def warm(self, models):
        await self._answer()

    async def _answer(self):
        try:
            await asyncio.sleep(self.wait_seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error


@pytest.fixture(scope="module")
def serving(local_ray, free_port):
    """A function that serves the whole graph under the given settings, on a port of its own; gives its address."""
    from ray import serve

    from serve.app import build

    def start(**settings):
        port = free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build(settings))
        return f"http://127.0.0.1:{port}"

    yield start
    serve.shutdown()


@pytest.fixture
def quick_server(tiny_model):
    """A function that makes what the interface asks, under the given settings, with `keys`."""

    def make(keys=(), **settings):
        models = {"tiny": tiny_model}
        return SimpleNamespace(
            settings=ServeSettings(models, **settings),
            keys=keys,
            models=read_models(models),
            graph=QuickGraph(),
            load=Load(),
            refused=None,
        )

    return make


@pytest.fixture
def calling():
    """A function that gives a client of a server, on this machine or another."""

    def call(server, client=LOCAL, host="127.0.0.1:8000"):
        return TestClient(create_app(server), f"http://{host}", raise_server_exceptions=False, client=client)

    return call
