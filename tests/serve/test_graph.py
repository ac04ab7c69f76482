import asyncio

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError
from ray.serve.exceptions import RayServeException

from s2st.config import UserError
from serve.graph import ReplicaLostError, ask


class Response:
    """What a call of a replica gives."""

    def __init__(self, result, seconds=0.0):
        self.result, self.seconds, self.cancelled = result, seconds, False

    def __await__(self):
        yield from asyncio.sleep(self.seconds).__await__()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def cancel(self):
        self.cancelled = True


def upstream(error):
    """Wrap an error as Serve does that of a replica further up the chain."""
    wrapped = RayServeException("an upstream actor died")
    wrapped.__cause__ = error
    return wrapped


LOSSES = [
    ActorDiedError(),
    ActorUnavailableError("gone", None),
    upstream(ActorDiedError()),
    RayTaskError("call", "traceback", ActorDiedError()),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_what_lost_a_replica_is_asked_once_more(loss):
    results = [loss, "spoken"]
    assert asyncio.run(ask(lambda: [Response(results.pop(0))])) == "spoken"
    results = [loss, loss, "too late"]
    with pytest.raises(ReplicaLostError):
        asyncio.run(ask(lambda: [Response(results.pop(0))]))


def test_a_mistake_is_asked_once_and_told_without_rays_traceback():
    calls = []

    def chain():
        calls.append(1)
        return [Response(RayTaskError("call", "traceback", UserError("units repeat")).as_instanceof_cause())]

    with pytest.raises(UserError) as told:
        asyncio.run(ask(chain))
    assert str(told.value) == "units repeat"
    assert len(calls) == 1


def test_a_chain_that_nobody_waits_for_is_cancelled_as_a_whole():
    responses = [Response(1, 5), Response(2, 5)]

    async def give_up():
        async with asyncio.timeout(0.05):
            await ask(lambda: responses)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert all(response.cancelled for response in responses)
