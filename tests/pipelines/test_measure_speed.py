import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines.measure_speed import SPEEDS, MeasureSpeedConfig, check_inputs, run
from s2st import audio, storage
from s2st.config import UserError
from s2st.schemas import MANIFEST
from stages import datasets
from stages.stage import Step


@pytest.fixture
def step(tmp_path, tiny_model, tiny_direct_models, monkeypatch):
    """A section that measures a model of units, of both directions, and one that hears English."""
    monkeypatch.setattr("pipelines.measure_speed.tell", lambda line: None)
    shutil.copytree(tiny_model, tmp_path / "reads")
    shutil.copytree(tiny_direct_models["s2ut"], tmp_path / "hears")
    rows = []
    for lang, number in (("en", 0), ("en", 1), ("en", 2), ("hi", 0)):
        sound = audio.encode(np.random.default_rng(number).normal(0, 0.1, 8_000).astype(np.float32))
        row = {"utterance_id": f"{lang}-{number}", "lang": lang, "split": "test", "num_samples": 8_000}
        rows.append({**row, "audio": {"bytes": sound, "path": ""}})
    datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{tmp_path}/manifest")
    inputs = {"manifest": ["manifest"], "models": ["reads", "hears"]}
    return Step("speeds", "pipelines.measure_speed", str(tmp_path), {}, inputs)


def test_all_spoken_directions_of_all_models_are_measured(step):
    threads = torch.get_num_threads()
    config = MeasureSpeedConfig(recordings=2)
    check_inputs(config, step)
    assert run(config, step).rows_out == 2
    speeds = storage.read_json(f"{step.output}/{SPEEDS}")
    assert {name: set(found) for name, found in speeds.items()} == {"reads": {"en-hi", "hi-en"}, "hears": {"en-hi"}}
    for name, direction, recordings in (("reads", "en-hi", 2), ("reads", "hi-en", 1), ("hears", "en-hi", 2)):
        found = speeds[name][direction]
        assert (found["recordings"], found["speech_seconds"]) == (recordings, recordings / 2)
        assert found["cpu_seconds_per_second"] == pytest.approx(found["cpu_seconds"] / found["speech_seconds"])
        assert found["cpu_seconds"] > 0
    assert torch.get_num_threads() == threads


def test_mistakes_are_told_in_a_sentence(step, tmp_path):
    with pytest.raises(UserError, match="section 'speeds': reads hears 'en', of which the split 'train' has no"):
        check_inputs(MeasureSpeedConfig(split="train"), step)
    with pytest.raises(ValueError, match="recordings=0 must be at least 1"):
        MeasureSpeedConfig(recordings=0)
    known = storage.read_json(f"{tmp_path}/hears/model.json")
    storage.write_json(f"{tmp_path}/hears/model.json", {**known, "kind": "hosted"})
    with pytest.raises(UserError, match="section 'speeds': hears is a hosted service, whose time costs money"):
        check_inputs(MeasureSpeedConfig(), step)
