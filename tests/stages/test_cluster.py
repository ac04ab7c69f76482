import pytest
import ray

from s2st.config import UserError
from stages import cluster


@pytest.mark.parametrize(
    ("message", "kind"),
    [("The current node timed out during startup.", UserError), ("another fault", RuntimeError)],
)
def test_a_busy_machine_is_a_sentence_and_other_faults_are_shown(monkeypatch, message, kind):
    def init(*_, **__):
        raise RuntimeError(message)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster.os, "environ", {})
    with pytest.raises(kind):
        cluster.connect()


@pytest.mark.parametrize(("resources", "takes_cpus"), [({"CPU": 4.0, cluster.CORES: 2.0}, False), ({"CPU": 4.0}, True)])
def test_workers_leave_the_cpus_of_our_own_cluster_to_readers(monkeypatch, resources, takes_cpus):
    monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
    arguments = cluster.pool(3, 0.5)
    assert (arguments["compute"].min_size, arguments["compute"].max_size, arguments["num_gpus"]) == (1, 3, 0.5)
    assert arguments.get("num_cpus", 1) == int(takes_cpus)
    assert ("resources" not in arguments) == takes_cpus
