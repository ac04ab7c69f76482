"""A vocoder with random weights speaks the test split again, and is scored by a judge that hears "a" in everything."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines import resynthesize, score_resynthesis
from pipelines.resynthesize import ResynthesizeConfig, reason_against
from pipelines.score_resynthesis import ScoreResynthesisConfig
from s2st import audio, storage
from s2st.config import UserError
from s2st.schemas import MANIFEST, RESYNTHESES, RESYNTHESIS_SCORES, UNITS
from stages import datasets
from stages.stage import Step


@pytest.fixture
def voiced(a_run, tiny_model, save_ctc):
    """The run with a vocoder of English, a judge, and a recording without units."""
    storage.copy_folder(f"{tiny_model}/vocoders/en", f"{a_run}/vocoder")
    save_ctc(f"{a_run}/judge", ("a", " "), 0, {"labels": "letters", "languages": ["en"]})
    rows = datasets.read_table(f"{a_run}/units", UNITS).to_pylist()
    click = {**rows[0], "utterance_id": "click", "lang": "en", "split": "test", "units": [], "durations": []}
    datasets.write_table(pa.Table.from_pylist([*rows, click], UNITS), f"{a_run}/units")
    return a_run


def speak(folder, **settings):
    step = Step("spoken", "pipelines.resynthesize", str(folder), {}, {"units": ["units"], "vocoder": ["vocoder"]})
    config = ResynthesizeConfig(max_workers=1, **settings)
    resynthesize.check_inputs(config, step)
    return resynthesize.run(config, step)


def judge(folder, **inputs):
    inputs = {"resyntheses": ["spoken"], "manifest": ["manifest"], **inputs}
    step = Step("scores", "pipelines.score_resynthesis", str(folder), {}, inputs)
    config = ScoreResynthesisConfig(max_workers=1, min_words=1)
    score_resynthesis.check_inputs(config, step)
    counts = score_resynthesis.run(config, step)
    return counts, json.loads((folder / "scores" / "_scores.json").read_text())


def test_recordings_are_spoken_again_and_scored(voiced, local_ray, rows_of):
    counts = speak(voiced, splits=("validation", "test"))
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (3, 2, 1)
    assert [row["utterance_id"] for row in datasets.rejects(f"{voiced}/spoken")] == ["click"]
    rows = rows_of(f"{voiced}/spoken", RESYNTHESES)
    for row in rows:
        assert row["predicted"]
        assert row["lang"] == "en"
        assert len(row["units"]) == len(row["durations"]) == len(row["true_durations"])
        assert len(audio.decode(row["audio"])) == sum(row["durations"]) * audio.HOP
    texts = {row["utterance_id"]: {**row, "text": "A b"} for row in rows_of(f"{voiced}/manifest", MANIFEST)}
    texts[rows[1]["utterance_id"]]["audio"]["bytes"] = b""
    datasets.write_table(pa.Table.from_pylist(list(texts.values()), MANIFEST), f"{voiced}/manifest")
    counts, scores = judge(voiced, recognizers=["judge"])
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (2, 1, 1)
    (row,) = rows_of(f"{voiced}/scores", RESYNTHESIS_SCORES)
    assert (row["text"], row["heard_text"], row["recording_text"], row["word_errors"]) == ("A b", "a", "a", 1)
    assert (scores["en"]["recordings"], scores["en"]["words"], scores["en"]["durations"]) == (1, 2, "predicted")
    assert scores["en"]["word_error_rate"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert scores["en"]["mcd"]["value"] > 0


def test_with_true_durations_it_is_as_long_as_the_recording(voiced, local_ray, rows_of):
    speak(voiced, durations="recorded")
    (row,) = rows_of(f"{voiced}/spoken", RESYNTHESES)
    assert row["durations"] == row["true_durations"]
    assert len(audio.decode(row["audio"])) == sum(row["true_durations"]) * audio.HOP
    _, scores = judge(voiced)
    assert "duration_error" not in scores["en"]
    assert "word_error_rate" not in scores["en"]
    assert np.isfinite(scores["en"]["mel_l1"]["value"])


def test_mistakes_are_told(voiced, save_ctc):
    with pytest.raises(ValueError, match="must be validation, test, or both"):
        ResynthesizeConfig(splits=("train",))
    assert reason_against([1] * 3001) == "it is longer than 60 s, which are judged as one"
    config = storage.read_json(f"{voiced}/vocoder/config.json")
    storage.write_json(f"{voiced}/vocoder/config.json", {**config, "info": {**config["info"], "languages": ["ko"]}})
    with pytest.raises(UserError, match="no recording of the splits test is in a language of the vocoder .ko."):
        speak(voiced)
    storage.write_json(
        f"{voiced}/vocoder/config.json", {**config, "info": {**config["info"], "units": "mfcc-0-20-other"}}
    )
    with pytest.raises(UserError, match="the vocoder does not speak these units of stacked mfcc"):
        speak(voiced)
    storage.write_json(
        f"{voiced}/vocoder/config.json", {**config, "config": {**config["config"], "predict_durations": False}}
    )
    with pytest.raises(UserError, match="predicts no durations"):
        speak(voiced)
