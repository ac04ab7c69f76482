import filelock
import pytest

from s2st.config import UserError
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
