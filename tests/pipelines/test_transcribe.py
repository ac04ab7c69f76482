"""Transcripts of a split, with models that hear the same letter in everything."""

import json

import pytest

from pipelines import transcribe
from pipelines.transcribe import TranscribeConfig
from s2st.config import UserError
from s2st.schemas import TRANSCRIPTS
from stages import datasets
from stages.stage import Step


def hear(folder, recognizer="letters", **settings):
    inputs = {"manifest": ["manifest"], "recognizer": [recognizer]}
    step = Step("heard", "pipelines.transcribe", str(folder), settings, inputs)
    config = TranscribeConfig(max_workers=1, **settings)
    transcribe.check_inputs(config, step)
    return transcribe.run(config, step)


def test_a_split_is_heard_and_scored(ctc_run, local_ray):
    counts = hear(ctc_run)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (3, 2, 1)
    rows = datasets.read_table(f"{ctc_run}/heard", TRANSCRIPTS).to_pylist()
    assert {row["utterance_id"]: (row["text"], row["heard_text"]) for row in rows} == {
        "u0": ("a", "a"),
        "u1": ("A b", "a"),
    }
    (reject,) = datasets.rejects(f"{ctc_run}/heard")
    assert reject["utterance_id"] == "u3"
    scores = json.loads((ctc_run / "heard" / "_scores.json").read_text())
    assert set(scores) == {"en"}
    seen, unseen = scores["en"]["seen"], scores["en"]["unseen"]
    assert (seen["recordings"], unseen["recordings"]) == (1, 1)
    assert seen["heard_text"] == {"word_error_rate": 0, "character_error_rate": 0}
    assert unseen["heard_text"] == pytest.approx({"word_error_rate": 1 / 2, "character_error_rate": 2 / 3})
    assert set(unseen["beam_text"]) == {"word_error_rate", "character_error_rate"}


def test_mistakes_are_told(ctc_run):
    with pytest.raises(UserError, match="units_heard hears units and not letters"):
        hear(ctc_run, "units_heard")
    with pytest.raises(UserError, match="the validation split has no speech in en, hi"):
        hear(ctc_run, split="validation")
