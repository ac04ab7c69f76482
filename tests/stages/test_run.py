import json

import pytest
import ray

from pipelines.fit_codebook import FitCodebookConfig
from s2st import storage
from s2st.config import UserError, to_mapping
from stages import run
from stages.run import describe, done_before, parse_arguments, run_steps, stop_on_mistakes
from stages.stage import MADE_BY, Step


def steps_in(folder):
    return [Step("manifest", "pipelines.ingest", str(folder), {"phrasebook": {}}, {})]


def test_the_folder_is_free_again_after_a_run_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "done_before", lambda steps, redo: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run_steps(steps_in(tmp_path), parallel=1)


def test_a_command_line_without_a_recipe_is_told(monkeypatch, capsys):
    for line in ("", "run=x"):
        monkeypatch.setattr("sys.argv", ["recipes", *line.split()])
        with pytest.raises(SystemExit):
            parse_arguments("recipes", "A test.")
        assert "python -m recipes: error: name a recipe, for example demo" in capsys.readouterr().err


def test_ctrl_c_ends_in_one_sentence(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        stop_on_mistakes(interrupted)
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "stopped; the same command goes on from here\n"


def test_an_output_of_other_settings_is_refused_before_anything_runs(tmp_path):
    """Also if its inputs are to be made first, as in a run that was killed, with a setting changed since."""
    first, second = (
        Step("manifest", "pipelines.ingest", str(tmp_path), {"phrasebook": {}}, {}),
        Step("codebook", "pipelines.fit_codebook", str(tmp_path), {"num_units": 50}, {"manifest": ["manifest"]}),
    )
    (tmp_path / "codebook").mkdir()
    settings = to_mapping(FitCodebookConfig(num_units=100))
    record = {"fingerprint": "x", "settings": settings, "rows_out": 1}
    (tmp_path / "codebook" / MADE_BY).write_text(json.dumps(record))
    with pytest.raises(UserError, match="codebook was made with num_units=100, and now num_units=50"):
        run_steps([first, second], parallel=1)
    assert done_before([first, second], redo=True) == {}


def test_mistakes_that_settings_tell_end_the_command_before_ray_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "connect", lambda: 1 / 0)
    (tmp_path / "km.bin").write_text("")
    features = {"kind": "hubert", "layer": 2}
    for settings, inputs, message in [
        ({"features": features}, {}, "section 'codebook': features of kind hubert need the input 'encoder'"),
        ({}, {"encoder": ["manifest"]}, "section 'codebook': features of kind mfcc need no encoder; remove"),
        ({"centroids": f"{tmp_path}/nothing"}, {}, "codebook.centroids: there is no file .*/nothing; give one that"),
        ({"centroids": str(tmp_path)}, {}, "codebook.centroids: there is no file"),
        ({"centroids": "ftq://x/km.bin"}, {}, "codebook.centroids: cannot look for ftq://x/km.bin .*; give a path or"),
    ]:
        inputs = {"manifest": ["manifest"], **inputs}
        codebook = Step("codebook", "pipelines.fit_codebook", str(tmp_path), settings, inputs)
        with pytest.raises(UserError, match=message):
            run_steps([*steps_in(tmp_path), codebook], parallel=1)
        record = {"fingerprint": "x", "settings": to_mapping(FitCodebookConfig()), "rows_out": 1}
        storage.write_json(f"{codebook.output}/{MADE_BY}", record)  # the next one is no reason to add --redo either
    with pytest.raises(ZeroDivisionError):
        run_steps(steps_in(tmp_path), parallel=1)


def test_options_and_settings_may_stand_in_any_order(monkeypatch):
    for line in ("demo --redo run=x a.b=1", "--redo demo run=x a.b=1", "demo run=x a.b=1 --redo"):
        monkeypatch.setattr("sys.argv", ["recipes", *line.split()])
        arguments = parse_arguments("recipes", "A test.")
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
    monkeypatch.setattr(run, "finished", lambda step, *_: {"rows_out": 3} if step.name == "made" else None)
    monkeypatch.setattr(run, "_task", lambda step, address: record)
    told = []
    run_steps(steps, parallel=1, tell=told.append)
    assert [line.split(":")[0] for line in told if "starts" in line] == ["first", "second"]
    assert told[0] == "made: done before, 3 rows"


def test_a_line_says_what_went_in_and_came_out_and_why_rows_did_not():
    step = Step("units", "pipelines.dump_units", "runs/x", {}, {})
    record = {"rows_in": 5, "rows_out": 4, "rejects": 1, "seconds": 2.0, "usual_reason": "the audio is silent"}
    assert describe(step, record) == (
        "5 rows in, 4 rows out, 1 reject (the audio is silent; see runs/x/units/_rejects), 2 s"
    )
    assert "rows out, 9 rejects (most: the audio is silent; see" in describe(step, {**record, "rejects": 9})
    assert "out, 2 rejects, 2 s" in describe(step, {**record, "rejects": 2, "usual_reason": None})
    codebook = {**record, "rows_in": 1, "rows_out": 100, "rejects": 0, "unit": "centroids"}
    assert describe(step, codebook) == "1 row in, 100 centroids out, 2 s"
