import pytest

from trainers.balance import repetitions

COUNTS = {"en-hi": 900, "en-ko": 90, "hi-ko": 10}


def shares(temperature):
    times = repetitions(COUNTS, temperature)
    rows = {kind: times[kind] * count for kind, count in COUNTS.items()}
    assert sum(rows.values()) == pytest.approx(1000)  # an epoch is as long as before
    return {kind: count / 1000 for kind, count in rows.items()}


def test_temperature_one_leaves_the_data_as_they_are():
    assert repetitions(COUNTS, 1) == pytest.approx(dict.fromkeys(COUNTS, 1.0))


def test_shares_are_smoothed_as_the_formula_says():
    found = shares(5)
    weights = {kind: (count / 1000) ** 0.2 for kind, count in COUNTS.items()}
    assert found == pytest.approx({kind: weight / sum(weights.values()) for kind, weight in weights.items()})


def test_a_high_temperature_makes_all_equal():
    assert shares(1e9) == pytest.approx(dict.fromkeys(COUNTS, 1 / 3))
