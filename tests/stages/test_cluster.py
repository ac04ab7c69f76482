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
