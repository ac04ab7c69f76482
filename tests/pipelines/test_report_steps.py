import pyarrow as pa
import pytest

from pipelines.report_steps import HourPrices, data_rows, elapsed_seconds, reject_rows, stage_rows
from s2st import storage
from s2st.config import UserError, build
from s2st.schemas import MANIFEST
from stages import datasets
from stages.stage import TRAINING_COST, Step

HOUR = 3600.0


def record(seconds=HOUR, date="2001-02-03T05:00:00+00:00", rejects=0, inputs=None, **settings):
    counts = {"rows_in": 3, "rows_out": 2, "rejects": rejects, "audio_hours": 0.0}
    return {**counts, "settings": settings, "inputs": inputs or {}, "date": date, "seconds": seconds}


@pytest.fixture
def step(tmp_path):
    return Step("report", "pipelines.report", str(tmp_path), {}, {"trainings": ["b"]})


def test_time_is_from_the_first_begin_to_the_last_end():
    records = [record(date="2001-02-03T04:00:00+00:00"), record(HOUR / 2)]
    assert elapsed_seconds(records) == 2 * HOUR


@pytest.mark.parametrize(
    ("settings", "cpu_hours", "gpu_hours"),
    [
        ({}, 1, 0),
        ({"max_workers": 4, "num_gpus": 0.25}, 4, 1),
    ],
)
def test_hours_are_those_of_a_step_s_workers(step, settings, cpu_hours, gpu_hours):
    (row,) = stage_rows(step, {"a": record(**settings)}, None)
    assert (row.cpu_hours, row.gpu_hours, row.costs) == (cpu_hours, gpu_hours, {})


def test_hours_of_a_training_are_those_of_all_its_starts(step):
    storage.write_json(f"{step.run_folder}/a/{TRAINING_COST}", {"core_seconds": 1.0, "worker_seconds": 8 * HOUR})
    loop = {"num_workers": 2, "cpus_per_worker": 3.0, "use_gpu": True}
    (row,) = stage_rows(step, {"a": record(loop=loop)}, None)
    assert (row.cpu_hours, row.gpu_hours) == (24, 8)


def test_money_is_told_where_prices_are_known(step):
    storage.write_json(f"{step.run_folder}/hosted/_cost.json", {"requests": 3, "cost": 1.5, "currency": "USD"})
    storage.write_json(f"{step.run_folder}/free/_cost.json", {"requests": 3})
    records = {name: record(max_workers=2, num_gpus=1.0) for name in ("hosted", "free", "local")}
    assert [row.costs for row in stage_rows(step, records, None)] == [{"USD": 1.5}, {}, {}]
    prices = HourPrices(cpu_hour=0.5, gpu_hour=2.0, currency="EUR")
    assert [row.costs for row in stage_rows(step, records, prices)] == [{"EUR": 5, "USD": 1.5}, {"EUR": 5}, {"EUR": 5}]
    with pytest.raises(UserError, match="prices must not be negative"):
        build(HourPrices, {"gpu_hour": -1}, "report.prices")


def test_reasons_that_differ_in_names_and_numbers_are_one(step):
    reasons = [f"pair 'p-{i}': a source of {1000 + i} units cannot be translated" for i in range(3)] + ["silent"]
    reasons += [f"{letter} is broken" for letter in "abcdef"]
    rows = [{"utterance_id": "u", "lang": "en", "split": "test", "reason": reason} for reason in reasons]
    datasets.set_aside(rows, f"{step.run_folder}/a")
    found = reject_rows(step, {"a": record(rejects=len(rows)), "b": record()})
    assert [(row.reason, row.count) for row in found[:2]] == [(reasons[0], 3), ("a is broken", 1)]
    assert (found[-1].reason, found[-1].count) == ("3 other reasons", 3)  # of eight kinds, five are told
    assert sum(row.count for row in found) == len(rows)
    assert {row.stage for row in found} == {"a"}


def test_data_are_counted_by_language_and_split(tmp_path):
    rows = [
        {"lang": lang, "split": split, "sentence_id": sentence, "speaker": speaker, "num_samples": 16_000 * 900}
        for lang, split, sentence, speaker in (
            ("hi", "test", "s", "v"),
            ("en", "test", "s", "v"),
            ("en", "train", "t", "v"),
            ("en", "train", "t", "w"),
        )
    ]
    datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{tmp_path}/m")
    found = [tuple(vars(row).values()) for row in data_rows(f"{tmp_path}/m")]
    assert found == [("en", "train", 2, 1, 2, 0.5), ("en", "test", 1, 1, 1, 0.25), ("hi", "test", 1, 1, 1, 0.25)]
