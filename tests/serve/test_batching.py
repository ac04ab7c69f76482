import asyncio
import selectors
from itertools import cycle
from types import SimpleNamespace

import pytest

from s2st.baselines.hosted_client import ServiceError
from s2st.config import UserError
from serve import batching
from serve.batching import Batches


class Doubler:
    """Doubles numbers, and keeps what it was given."""

    def __init__(self, seconds=0.0):
        self.batches, self.seconds = [], seconds

    async def __call__(self, key, items):
        self.batches.append((key, list(items)))
        await asyncio.sleep(self.seconds)
        if 13 in items:
            raise UserError("13 is not doubled")
        return [2 * item for item in items]


def asked(doubler, *requests, max_size=100):
    async def ask():
        batches = Batches(doubler, lambda item: item, max_size)
        return await asyncio.gather(*(batches.ask(*request) for request in requests), return_exceptions=True)

    return asyncio.run(ask())


def test_who_waits_at_once_is_answered_together_within_the_size():
    doubler = Doubler()
    assert asked(doubler, ("a", 40), ("a", 50), ("b", 1), ("a", 60), ("a", 5)) == [80, 100, 2, 120, 10]
    assert doubler.batches == [("a", [40, 50, 5]), ("b", [1]), ("a", [60])]


def test_one_that_is_too_large_has_a_batch_of_its_own():
    doubler = Doubler()
    assert asked(doubler, ("a", 500), ("a", 1)) == [1000, 2]
    assert doubler.batches == [("a", [500]), ("a", [1])]


def test_one_that_is_refused_does_no_harm_to_others():
    first, refused, last = asked(Doubler(), ("a", 1), ("a", 13), ("a", 2))
    assert (first, last) == (2, 4)
    assert isinstance(refused, UserError)


def test_a_service_that_fails_is_not_asked_again_for_each():
    calls = []

    async def fail(key, items):
        calls.append(items)
        raise ServiceError("down")

    answers = asked(fail, ("a", 1), ("a", 2))
    assert all(isinstance(answer, ServiceError) for answer in answers)
    assert calls == [[1, 2]]


def test_who_has_gone_is_not_worked_for():
    doubler = Doubler(seconds=0.05)

    async def ask():
        batches = Batches(doubler, lambda item: item, 100)
        first = asyncio.create_task(batches.ask("a", 1))
        await asyncio.sleep(0.01)
        gone, stays = asyncio.create_task(batches.ask("a", 2)), asyncio.create_task(batches.ask("a", 3))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await first, await stays

    assert asyncio.run(ask()) == (2, 6)
    assert doubler.batches == [("a", [1]), ("a", [3])]


class TimelessSelector(selectors.SelectSelector):
    """Waits for nothing: the clock of its loop jumps to when something is to be done."""

    def select(self, timeout=None):
        self.loop.now += timeout or 0.0
        return []


class TimelessLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        selector, self.now = TimelessSelector(), 0.0
        selector.loop = self
        super().__init__(selector)

    def time(self):
        return self.now


@pytest.fixture
def batches_of(monkeypatch):
    """A function: the batches that callers make who come back as often, each after its own delay, and how long."""

    def talk(delays, patience, max_size=100, keys="a", rounds=5):
        loop, doubler = TimelessLoop(), Doubler(seconds=0.1)
        monkeypatch.setattr(batching, "time", SimpleNamespace(perf_counter=loop.time))

        async def call(batches, key, delay):
            for _ in range(rounds):
                await batches.ask(key, 1)
                await asyncio.sleep(delay)

        async def talk_all():
            batches = Batches(doubler, lambda item: item, max_size, patience)
            await asyncio.gather(*(call(batches, key, delay) for key, delay in zip(cycle(keys), delays, strict=False)))

        loop.run_until_complete(talk_all())
        loop.close()
        return [len(items) for _, items in doubler.batches], loop.now

    return talk


def test_callers_who_come_back_at_different_times_are_computed_together(batches_of):
    assert 1 in batches_of((0.0, 0.02, 0.04), 0.0)[0][1:]
    assert batches_of((0.0, 0.02, 0.04), 0.8)[0] == [3] * 5


def test_who_asks_alone_never_waits(batches_of):
    assert batches_of((0.01,), 0.9)[1] == pytest.approx(5 * 0.11)


@pytest.mark.parametrize(("max_size", "keys"), [(2, "a"), (100, "ab")])
def test_nobody_waits_for_callers_who_would_not_fit(batches_of, max_size, keys):
    delays = (0.01,) * 4
    patient, impatient = (batches_of(delays, patience, max_size, keys, rounds=20) for patience in (0.9, 0.0))
    assert patient[1] <= impatient[1] * 1.01
