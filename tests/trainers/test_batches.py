import contextlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray.data
import safetensors.torch
import torch

from trainers.batches import Place, Stream, open_once, open_stream
from trainers.examples import Packing, examples

SCHEMA = pa.schema([("name", pa.string()), ("size", pa.int64()), ("split", pa.string())])


def collate(rows, random):
    return {"size": torch.tensor([row["size"] for row in rows]), "drawn": torch.tensor(random.integers(1 << 40))}


@pytest.fixture
def dataset(tmp_path):
    """60 training rows in 15 row groups of 3 files, and 5 rows of another split."""
    for part, (split, count) in enumerate([("train", 20), ("train", 20), ("train", 20), ("validation", 5)]):
        rows = [{"name": f"{part}-{i}", "size": i % 7 + 1} for i in range(count)]
        folder = tmp_path / f"split={split}"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{part}.parquet", row_group_size=4)
    return str(tmp_path)


def opened(dataset, split="train"):
    return examples(
        dataset, SCHEMA, ["name", "size"], {"split": split}, Packing(16, window=20), lambda row: row["size"], collate
    )


def rows_of(batches):
    return [(row["window"], row["number"], tuple(row["names"]), row["batch"]) for row in batches]


def test_an_epoch_has_every_row_of_the_split_once(dataset):
    training = opened(dataset)
    assert training.windows == 3
    for epoch in range(2):
        windows = [list(training.make(0, epoch * 3 + part)) for part in range(3)]
        names = [name for window in windows for batch in window for name in batch["names"]]
        assert sorted(names) == sorted(f"{part}-{i}" for part in range(3) for i in range(20))


def test_batches_are_a_function_of_seed_and_place(dataset):
    first, again = opened(dataset), opened(dataset)
    assert rows_of(first.make(0, 4)) == rows_of(again.make(0, 4))
    assert rows_of(first.make(0, 4, 2)) == rows_of(again.make(0, 4))[2:]
    assert rows_of(first.make(1, 4)) != rows_of(again.make(0, 4))
    assert [row[2] for row in rows_of(first.make(0, 1))] != [row[2] for row in rows_of(again.make(0, 4))]


def test_no_row_group_of_a_split_is_none(dataset):
    assert opened(dataset, "test") is None


def test_a_split_of_which_nothing_is_left_is_none(dataset):
    def keep_only(name):
        return examples(
            dataset,
            SCHEMA,
            ["name", "size"],
            {"split": "validation"},
            Packing(16),
            lambda row: row["size"],
            collate,
            lambda table: table.filter(pc.equal(table["name"], name)),
        )

    assert keep_only("none") is None
    assert [batch["names"] for batch in keep_only("3-4").make(0, 0)] == [["3-4"]]  # the last one of two row groups


def test_rows_of_files_that_hold_several_splits_are_chosen(tmp_path):
    rows = [{"name": str(i), "size": 1, "split": "train" if i % 3 else "test"} for i in range(9)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "all.parquet")
    names = [name for batch in opened(str(tmp_path)).make(0, 0) for name in batch["names"]]
    assert sorted(names) == ["1", "2", "4", "5", "7", "8"]


def test_stream_goes_on_from_any_place(local_ray, dataset):
    training = opened(dataset)

    def stream(start):
        return Stream(open_stream(training, 7, start, 1).iterator(), torch.device("cpu"))

    places, taken = [], []
    with contextlib.closing(stream(Place())) as whole:
        for _ in range(40):
            places.append(whole.place)
            taken.append(whole.take())
    assert [place for place in places if place.window == 0] == [Place(0, i) for i in range(places.index(Place(1, 0)))]
    for start in (5, 13):
        with contextlib.closing(stream(places[start])) as rest:
            for place, (batch, names) in zip(places[start:30], taken[start:30], strict=True):
                assert rest.place == place
                other, other_names = rest.take()
                assert other_names == names
                assert torch.equal(other["drawn"], batch["drawn"])


def test_executions_give_the_next_windows(local_ray, dataset, monkeypatch):
    monkeypatch.setattr("trainers.batches.WINDOWS_AT_ONCE", 2)
    shard = open_stream(opened(dataset), 0, Place(1, 0), 1).iterator()
    for expected in ({1, 2}, {3, 4}, {5, 6}):
        assert {row["window"] for row in shard.iter_rows()} == expected


def test_two_workers_take_turns(local_ray, dataset):
    training = opened(dataset)
    alone = [tuple(batch["names"]) for window in range(3) for batch in training.make(0, window)]
    options = ray.data.ExecutionOptions(preserve_order=True)
    dataset = open_stream(training, 0, Place(), 2)
    dataset.context.execution_options = options
    shards = dataset.streaming_split(2, equal=True)
    streams = [ray.remote(take_some).options(num_cpus=0.1).remote(shard, 5) for shard in shards]
    left, right = ray.get(streams)
    assert left == alone[:10:2]
    assert right == alone[1:10:2]


def take_some(shard, count):
    with contextlib.closing(Stream(shard, torch.device("cpu"))) as stream:
        return [tuple(stream.take()[1]) for _ in range(count)]


def test_validation_is_the_same_each_time(local_ray, dataset):
    data = open_once(opened(dataset, "validation"))
    first, second = ([safetensors.torch.load(row["batch"]) for row in data.iter_rows()] for _ in range(2))
    assert sum(len(batch["size"]) for batch in first) == 5
    assert [batch["drawn"].item() for batch in first] == [batch["drawn"].item() for batch in second]


def test_a_validation_waits_for_no_cpu(local_ray, dataset):
    """Streams of trainings that validate may hold all of them."""
    hold = ray.remote(Hold).options(num_cpus=4).remote()
    try:
        ray.get(hold.wait.remote())
        assert ray.get(read_once.remote(opened(dataset, "validation")), timeout=60) == 5
    finally:
        ray.kill(hold)


class Hold:
    def wait(self):
        return True


@ray.remote(num_cpus=0)
def read_once(training):
    return sum(len(row["names"]) for row in open_once(training).iter_rows())
