import filelock
import pytest
import ray

from s2st.config import UserError
from stages import run
from stages.run import parse_arguments, run_steps
from stages.stage import Step


def steps_in(folder):
    return [Step("manifest", "pipelines.ingest", str(folder), {"phrasebook": {}}, {})]


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another run is at work in .*run="):
        run_steps(steps_in(tmp_path), parallel=1)


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to .*/file/run"):
        run_steps(steps_in(tmp_path / "file" / "run"), parallel=1)


def test_options_and_settings_may_stand_in_any_order(monkeypatch):
    for line in ("demo --redo run=x a.b=1", "--redo demo run=x a.b=1", "demo run=x a.b=1 --redo"):
        monkeypatch.setattr("sys.argv", ["recipes", *line.split()])
        arguments = parse_arguments("A test.")
        assert (arguments.recipe, arguments.overrides, arguments.redo) == ("demo", ["run=x", "a.b=1"], True)


def test_a_run_that_goes_on_starts_in_the_recipes_order(local_ray, tmp_path, monkeypatch):
    """The first step of the recipe waits for one that is done before; it is not put off for one that does not."""

    @ray.remote
    def record(step):
        return {"step": step.name, "rows_in": 1, "rows_out": 1, "rejects": 0, "seconds": 0}

    steps = [
        Step("made", "pipelines.ingest", str(tmp_path), {"phrasebook": {}}, {}),
        Step("first", "pipelines.ingest", str(tmp_path), {"phrasebook": {}}, {"manifest": ["made"]}),
        Step("second", "pipelines.ingest", str(tmp_path), {"phrasebook": {}}, {}),
    ]
    monkeypatch.setattr(run, "finished", lambda step, redo: {"rows_out": 3} if step.name == "made" else None)
    monkeypatch.setattr(run, "_task", lambda step, address: record)
    told = []
    run_steps(steps, parallel=1, tell=told.append)
    assert [line.split(":")[0] for line in told if "starts" in line] == ["first", "second"]
    assert told[0] == "[1/3] made: done before, 3 rows"
