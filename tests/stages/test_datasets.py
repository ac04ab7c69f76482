import pyarrow as pa
import pyarrow.parquet as pq
import ray.data
from ray.data import DataContext

from stages import cluster, datasets

SCHEMA = pa.schema([("number", pa.int64())])
NUMBERS = list(range(12))


def numbers(folder, **settings):
    return [row["number"] for row in datasets.read(str(folder), SCHEMA, **settings).take_all()]


def test_files_come_in_order_or_in_a_new_one_each_time(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr(DataContext.get_current().execution_options, "preserve_order", True)
    for number in NUMBERS:
        pq.write_table(pa.table({"number": [number]}, SCHEMA), tmp_path / f"{number:02}.parquet")
    assert numbers(tmp_path) == NUMBERS
    shuffled = [numbers(tmp_path, shuffle_files=True) for _ in range(2)]
    assert sorted(shuffled[0]) == sorted(shuffled[1]) == NUMBERS
    assert len({tuple(order) for order in [NUMBERS, *shuffled]}) == 3


def test_batches_come_in_order_with_the_columns_of_partitions(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "BATCH_ROWS", 2)
    schema = pa.schema([("number", pa.int64()), ("lang", pa.string())])
    for lang, part in (("en", NUMBERS[:5]), ("hi", NUMBERS[5:])):
        datasets.write_table(pa.table({"number": part}), f"{tmp_path}/lang={lang}")
    batches = list(datasets.read_batches(str(tmp_path), schema))
    assert max(map(len, batches)) == 2
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["number"], row["lang"]) for row in rows] == [(n, "en" if n < 5 else "hi") for n in NUMBERS]


def test_the_loop_of_a_dataset_pauses(local_ray, monkeypatch):
    steps = []
    monkeypatch.setattr(cluster.Pause, "on_execution_step", lambda self, executor: steps.append(1))
    context = DataContext.get_current().copy()
    with DataContext.current(context):
        cluster.set_up_data()
        assert len(ray.data.range(8).map(lambda row: row).take_all()) == 8
    assert steps


def test_the_most_frequent_reason_of_rejects(tmp_path):
    assert datasets.usual_reason(str(tmp_path)) is None
    for name, reason in (("a", "cut"), ("b", "silent"), ("c", "silent")):
        datasets.set_aside([{"utterance_id": name, "lang": "en", "split": "train", "reason": reason}], str(tmp_path))
    assert datasets.usual_reason(str(tmp_path)) == "silent"
