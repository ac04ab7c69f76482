import importlib.util

import pytest

from pipelines import import_recognizer
from pipelines.import_recognizer import ImportRecognizerConfig
from s2st.config import UserError, build
from s2st.recognizers import languages_of
from stages.stage import Step


def test_the_package_becomes_a_recognizer_of_english(tmp_path, monkeypatch):
    step = Step("judge", "pipelines.import_recognizer", str(tmp_path), {}, {})
    config = build(ImportRecognizerConfig, {"package": "moonshine-voice"}, "judge")
    assert import_recognizer.run(config, step).rows_out == 1
    assert languages_of(step.output) == ["en"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install moonshine-voice"):
        import_recognizer.check(config, step)


def test_other_packages_are_refused():
    with pytest.raises(UserError, match="package"):
        build(ImportRecognizerConfig, {"package": "whisper"}, "judge")
