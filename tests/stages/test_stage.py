import json

import pytest

from s2st.config import UserError, to_mapping
from stages import stage as stages
from stages.recipe import parse_steps

RECIPE = {
    "run": "runs/x",
    "manifest": {"stage": "pipelines.ingest", "phrasebook": {}},
    "codebook": {"stage": "pipelines.fit_codebook", "manifest": "manifest", "num_units": 20},
    "units": {"stage": "pipelines.dump_units", "manifest": "manifest", "codebook": "codebook"},
}


def steps_of(tmp_path, **sections):
    return parse_steps({**RECIPE, "run": str(tmp_path), **sections})


def write_record(step, **changes):
    record = {"fingerprint": stages.fingerprint(step), "settings": to_mapping(stages.config_of(step)), "rows_out": 1}
    record["date"] = "2020-01-01"
    stages.storage.write_json(f"{step.output}/{stages.MADE_BY}", {**record, **changes})


def test_a_finished_step_is_skipped_and_a_changed_one_refused(tmp_path):
    manifest, codebook, _ = steps_of(tmp_path)
    assert stages.finished(manifest) is None
    write_record(manifest)
    assert stages.finished(manifest)["rows_out"] == 1
    write_record(codebook)
    changed = steps_of(tmp_path, codebook={**RECIPE["codebook"], "num_units": 30})[1]
    with pytest.raises(UserError, match="was made with num_units=20, and now num_units=30; .*--redo"):
        stages.finished(changed)
    assert stages.finished(changed, redo=True) is None


def test_of_a_changed_section_the_setting_that_changed_is_named(tmp_path):
    manifest, _, _ = steps_of(tmp_path)
    write_record(manifest)
    changed = steps_of(tmp_path, manifest={"stage": "pipelines.ingest", "phrasebook": {"num_sentences": 2000}})[0]
    with pytest.raises(
        UserError, match=r"was made with phrasebook.num_sentences=\d+, and now phrasebook.num_sentences=2000"
    ):
        stages.finished(changed)


def test_settings_of_speed_do_not_outdate_a_step(tmp_path):
    manifest, codebook, _ = steps_of(tmp_path)
    write_record(manifest)
    write_record(codebook)
    faster = steps_of(tmp_path, codebook={**RECIPE["codebook"], "max_workers": 7})[1]
    assert stages.finished(faster) is not None


def test_a_new_input_outdates_its_readers(tmp_path):
    manifest, codebook, _ = steps_of(tmp_path)
    write_record(manifest)
    before = stages.fingerprint(codebook)
    write_record(manifest, fingerprint="another")
    other = stages.fingerprint(codebook)
    write_record(manifest, fingerprint="another", date="2020-01-02")
    assert len({before, other, stages.fingerprint(codebook)}) == 3


def test_resources_deep_in_the_settings_do_not_outdate_either(tmp_path):
    def trainer(**loop):
        section = {"stage": "trainers.recognizer", "manifest": "manifest", "lang": "en", "loop": loop}
        return steps_of(tmp_path, judge=section)[-1]

    write_record(steps_of(tmp_path)[0])
    first = stages.fingerprint(trainer())
    assert stages.fingerprint(trainer(max_failures=9, use_gpu=True)) == first
    assert stages.fingerprint(trainer(max_steps=9)) != first


def test_a_missing_input_is_named(tmp_path):
    _, codebook, _ = steps_of(tmp_path)
    with pytest.raises(UserError, match="step 'codebook' reads .*/manifest, which is not there yet"):
        stages.fingerprint(codebook)


def test_a_step_without_a_record_starts_from_an_empty_folder(tmp_path, monkeypatch):
    manifest = steps_of(tmp_path)[0]
    (tmp_path / "manifest").mkdir()
    (tmp_path / "manifest" / "half.parquet").write_bytes(b"left by a kill")
    with pytest.raises(UserError, match="holds files that no step made"):
        stages.execute(manifest)
    (tmp_path / "manifest" / stages.BEGUN).write_text("{}")

    def run(config, step):
        assert not (tmp_path / "manifest" / "half.parquet").exists()
        return stages.Counts(3, 2, 1, 0.5)

    real = stages.load_stage("pipelines.ingest")
    monkeypatch.setattr(stages, "load_stage", lambda name: stages.Stage(real.config, run, real.reads))
    record = stages.execute(manifest)
    assert (record["rows_in"], record["rows_out"], record["rejects"]) == (3, 2, 1)
    assert json.loads((tmp_path / "manifest" / stages.MADE_BY).read_text()) == record


def test_a_mistake_that_the_inputs_tell_leaves_the_old_output(tmp_path):
    """Of a run with --redo, which is here when the step starts."""
    manifest, codebook, _ = steps_of(tmp_path)
    write_record(manifest)
    write_record(codebook)
    (tmp_path / "km.bin").write_bytes(b"no centroids")
    settings = {"stage": "pipelines.fit_codebook", "manifest": "manifest", "centroids": f"{tmp_path}/km.bin"}
    with pytest.raises(UserError, match="km.bin is no"):
        stages.execute(steps_of(tmp_path, codebook=settings)[1])
    assert stages.finished(codebook)["rows_out"] == 1


def test_half_a_step_is_gone_on_with_if_its_settings_are_the_same(tmp_path, monkeypatch):
    real = stages.load_stage("pipelines.ingest")
    half = tmp_path / "manifest" / "half.parquet"
    found = []

    def run(config, step):
        found.append(half.exists())
        half.write_bytes(b"left by a kill")
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "load_stage", lambda name: stages.Stage(real.config, run, real.reads, resumes=True))
    for max_workers, languages, redo in ((1, ["en"], False), (2, ["en"], False), (2, ["hi"], True)):
        settings = {"phrasebook": {"languages": languages}, "max_workers": max_workers}
        step = stages.Step("manifest", "pipelines.ingest", str(tmp_path), settings, {})
        if redo:
            with pytest.raises(UserError, match="was begun with other settings"):
                stages.finished(step)
        assert stages.finished(step, redo) is None
        with pytest.raises(KeyboardInterrupt):
            stages.execute(step)
    assert found == [False, True, False]
