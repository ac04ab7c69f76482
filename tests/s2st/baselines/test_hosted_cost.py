from concurrent.futures import ThreadPoolExecutor

import pytest

from s2st import storage
from s2st.baselines.hosted_cost import Prices, Usage, add_up

PRICES = Prices(
    "EUR", minute_heard=0.6, million_characters_translated=20, million_characters_spoken=10, minute_spoken=1.2
)


def test_cost_is_what_was_done_by_its_prices():
    usage = Usage()
    usage.add(seconds_heard=90.0)
    usage.add(characters_translated=1000)
    usage.add(characters_spoken=500, seconds_spoken=30.0)
    assert usage.cost(PRICES) == pytest.approx(1.5 * 0.6 + 0.001 * 20 + 0.0005 * 10 + 0.5 * 1.2)
    assert usage.totals(PRICES)["requests"] == 3
    assert "cost" not in usage.totals(None)


def test_threads_lose_no_count():
    usage = Usage()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: usage.add(characters_spoken=1), range(400)))
    assert usage.requests == usage.characters_spoken == 400


def test_the_totals_of_several_translators_add_up(tmp_path):
    for number in (1, 2):
        usage = Usage()
        usage.add(seconds_heard=60.0 * number)
        storage.write_json(f"{tmp_path}/{number}.json", usage.totals(PRICES))
    added = add_up(str(tmp_path))
    assert (added["requests"], added["seconds_heard"], added["currency"]) == (2, 180.0, "EUR")
    assert added["cost"] == pytest.approx(3 * 0.6)
    assert add_up(f"{tmp_path}/none") is None


def test_negative_prices_are_refused():
    with pytest.raises(ValueError, match="prices must not be negative"):
        Prices(minute_spoken=-1)
