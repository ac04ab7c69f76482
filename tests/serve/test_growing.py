import asyncio
import time

from serve.growing import in_thread


def test_parts_hold_all_in_order_and_slow_ones_come_at_once():
    async def parts(seconds, count):
        def items():
            for number in range(count):
                time.sleep(seconds)
                yield number

        return [part async for part in in_thread(items())]

    quick, slow = asyncio.run(parts(0.0, 1_000)), asyncio.run(parts(0.05, 3))
    assert [number for part in quick for number in part] == list(range(1_000))
    assert len(quick) < 1_000
    assert slow == [[0], [1], [2]]
