import numpy as np
import pyarrow as pa
import pytest
import torch

from trainers.examples import JoinUnits, group, pad


@pytest.mark.parametrize("seed", range(5))
def test_every_example_is_in_one_batch_within_the_budget(seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 50, 200).tolist()
    groups = group(sizes, 120, random)
    assert sorted(i for indices in groups for i in indices) == list(range(200))
    assert all(max(sizes[i] for i in indices) * len(indices) <= 120 for indices in groups)


def test_an_example_over_the_budget_is_a_batch_of_its_own():
    assert sorted(map(sorted, group([500, 3, 4], 10, np.random.default_rng(0)))) == [[0], [1, 2]]


def test_no_examples_are_no_batches():
    assert group([], 10, np.random.default_rng(0)) == []


def test_batches_hold_little_padding():
    random = np.random.default_rng(0)
    sizes = random.integers(10, 300, 2000).tolist()
    padded = sum(max(sizes[i] for i in indices) * len(indices) for indices in group(sizes, 3000, random))
    assert padded / sum(sizes) < 1.1


def test_order_of_batches_changes():
    random = np.random.default_rng(0)
    assert group(list(range(1, 60)), 100, random) != group(list(range(1, 60)), 100, random)


def test_pad():
    padded, lengths = pad([np.array([1, 2, 3]), np.array([4])], -1)
    assert padded.tolist() == [[1, 2, 3], [4, -1, -1]]
    assert lengths.tolist() == [3, 1]
    assert padded.dtype == torch.int64


def test_join_leaves_out_what_has_no_units(local_ray):
    join = JoinUnits(pa.table({"utterance_id": ["a", "c"], "units": [[1, 2], [3]]}))
    joined = join(pa.table({"utterance_id": ["a", "b", "c"], "n": [1, 2, 3]}))
    assert joined.to_pylist() == [
        {"utterance_id": "a", "n": 1, "units": [1, 2]},
        {"utterance_id": "c", "n": 3, "units": [3]},
    ]
