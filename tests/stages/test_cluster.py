import pytest
import ray

from s2st.config import UserError
from stages import cluster


@pytest.mark.parametrize(
    ("message", "kind"),
    [("The current node timed out during startup.", UserError), ("another fault", RuntimeError)],
)
def test_a_busy_machine_is_a_sentence_and_other_faults_are_shown(monkeypatch, message, kind):
    def init(**_):
        raise RuntimeError(message)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster.os, "environ", {})
    with pytest.raises(kind):
        cluster.connect()


@pytest.mark.parametrize(
    ("free", "max_workers", "num_gpus", "begins_with"),
    [
        ({"CPU": 4.0}, 2, 0.0, 2),
        ({"CPU": 4.0}, 8, 0.0, 2),
        ({"CPU": 1.0}, 2, 0.0, 1),
        ({}, 2, 0.0, 1),  # machines come when they are asked for
        ({"CPU": 64.0, "GPU": 2.0}, 8, 0.5, 4),
        ({"CPU": 64.0}, 8, 1.0, 1),
    ],
)
def test_pools_begin_with_as_many_workers_as_find_room(monkeypatch, free, max_workers, num_gpus, begins_with):
    monkeypatch.setattr(ray, "available_resources", lambda: free)
    pool = cluster.worker_pool(max_workers, num_gpus)
    assert (pool.min_size, pool.initial_size, pool.max_size) == (1, begins_with, max_workers)
