"""What all requests share: their parameters, the server that they ask, and the time that it has."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import Query
from starlette.requests import HTTPConnection

from s2st.config import UserError
from serve.graph import Graph, Order
from serve.load import Load
from serve.models import Model, check_voice, pick_model
from serve.settings import MAX_BEAM, ServeSettings

MOST_NAMED = 64  # characters of a name: answers repeat it
TO = Query(max_length=MOST_NAMED, description="language to translate to", examples=["hi"])
FROM = Query(
    None,
    alias="from",
    max_length=MOST_NAMED,
    description="language spoken; needed if several are translated",
    examples=["en"],
)
MODEL = Query(
    None,
    max_length=MOST_NAMED,
    description="name of a model (GET /v1/models); without it, the first that knows the direction",
    examples=["demo"],
)
VOICE = Query(
    None,
    max_length=MOST_NAMED,
    description="name of a speaker; without it, the one that the voice was mostly trained on",
    examples=["female"],
)
BEAM = Query(None, ge=1, le=MAX_BEAM, description="width of the beam search: 1 is fastest", examples=[5])


class Server(Protocol):
    """What the interface needs to know of the gateway."""

    settings: ServeSettings
    keys: tuple[bytes, ...]
    models: dict[str, Model]
    graph: Graph
    load: Load
    refused: str | None


def check_names(asked: HTTPConnection) -> None:
    """Raise UserError for a parameter in the address that its route does not know, or that comes twice."""
    route = asked.scope["route"]
    if not route.path.startswith("/v1/"):  # the page, and what watchers ask, may be asked in any way
        return
    names = [parameter.alias for parameter in route.dependant.query_params]
    for name in asked.query_params:
        if name not in names:
            known = ", ".join(names) or "none"
            raise UserError(f"there is no parameter '{name[:MOST_NAMED]}' in this address; known are: {known}")
        if len(asked.query_params.getlist(name)) > 1:
            raise UserError(f"the parameter '{name}' comes twice in the address; give it once")


def make_order(
    server: Server, to: str, source: str | None, model: str | None, voice: str | None, beam: int | None
) -> Order:
    """Check what is asked for against the models; raises UserError."""
    chosen, source = pick_model(server.models, to, source, model)
    check_voice(chosen, to, voice)
    return Order(chosen, source, to, voice, beam or server.settings.beam)


@asynccontextmanager
async def at_work(server: Server, seconds: float) -> AsyncIterator[None]:
    """Work on some seconds of speech, for no longer than an answer may take; raises BusyError and TimeoutError."""
    with server.load.take(seconds, server.settings.max_waiting_seconds):
        async with asyncio.timeout(server.settings.timeout_seconds):
            yield


async def within(server: Server, answer: Any) -> Any:
    """Wait for an answer; raises TimeoutError after the time that one may take."""
    async with asyncio.timeout(server.settings.timeout_seconds):
        return await answer


async def each_within(server: Server, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Give what comes, each within the time that an answer may take; raises TimeoutError."""
    while True:
        try:
            yield await within(server, anext(items))
        except StopAsyncIteration:
            return
