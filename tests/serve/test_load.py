import asyncio

import pytest

from serve.load import BusyError, Load


def test_what_is_too_much_is_refused_unless_there_is_nothing_else():
    load = Load()
    with load.take(500, 240), pytest.raises(BusyError), load.take(1, 240):
        pass
    for _ in range(1000):  # seconds that no float holds exactly leave nothing behind
        with load.take(0.1, 240), load.take(0.2, 240):
            pass
    with load.take(500, 240):
        assert load.seconds == 500


def test_who_waits_gets_its_turn():
    async def main():
        load, order = Load(), []

        async def work(name):
            async with load.wait(200, 240):
                order.append(name)
                await asyncio.sleep(0.02)
                order.append(name)

        await asyncio.gather(work("a"), work("b"))
        return order

    assert asyncio.run(main()) == ["a", "a", "b", "b"]
