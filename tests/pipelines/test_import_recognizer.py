import importlib.util

import pytest

from pipelines import import_recognizer
from pipelines.import_recognizer import ImportRecognizerConfig
from s2st import storage
from s2st.config import UserError, build
from s2st.recognizers import SPEECH_MODEL_FILE, languages_of, version_of
from stages.stage import Step


def test_the_package_becomes_a_recognizer_of_english(tmp_path, monkeypatch):
    step = Step("judge", "pipelines.import_recognizer", str(tmp_path), {}, {})
    config = build(ImportRecognizerConfig, {"package": "moonshine-voice"}, "judge")
    assert import_recognizer.run(config, step).rows_out == 1
    assert languages_of(step.output) == ["en"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install moonshine-voice"):
        import_recognizer.check(config, step)


def test_a_model_of_transformers_becomes_a_recognizer(tmp_path, monkeypatch):
    monkeypatch.setattr(import_recognizer.speech_models, "check_speech_model", lambda model: None)
    monkeypatch.setattr(import_recognizer.speech_models, "version_of", lambda model: f"{model.model}@abc")
    monkeypatch.setattr(import_recognizer.speech_models, "commit_of", lambda model: "abc")
    read = []
    monkeypatch.setattr(import_recognizer.speech_models, "load_speech_model", lambda model, device: read.append(model))
    step = Step("judge", "pipelines.import_recognizer", str(tmp_path), {}, {})
    for settings, model in (
        ({"model": "org/whisper", "languages": ["en", "hi"]}, "org/whisper"),
        ({"protocol": "seamless", "languages": ["en", "hi"]}, "openai/whisper-large-v2"),
        ({"protocol": "fairseq", "languages": ["es"]}, "jonatasgrosman/wav2vec2-large-xlsr-53-spanish"),
    ):
        config = build(ImportRecognizerConfig, settings, "judge")
        import_recognizer.check(config, step)
        import_recognizer.run(config, step)
        assert languages_of(step.output) == settings["languages"]
        assert version_of(step.output) == f"{model}@abc"
        assert read.pop().model == model  # what cannot hear is told before anything is trained
        assert storage.read_json(f"{step.output}/{SPEECH_MODEL_FILE}")["model"]["revision"] == "abc"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give one of package, model and protocol"),
        ({"model": "a", "protocol": "seamless", "languages": ["en"]}, "give one of package, model and protocol"),
        ({"model": "a"}, "languages say what a model is to hear"),
        ({"package": "moonshine-voice", "languages": ["en"]}, "a package knows its own"),
        ({"protocol": "fairseq", "languages": ["en", "es"]}, "hears each language with another model; give each a sec"),
        ({"protocol": "fairseq", "languages": ["hi"]}, "does not say what hears 'hi'"),
    ],
)
def test_mistakes_are_told(tmp_path, settings, message):
    step = Step("judge", "pipelines.import_recognizer", str(tmp_path), {}, {})
    with pytest.raises(UserError, match=message):
        import_recognizer.check(build(ImportRecognizerConfig, settings, "judge"), step)


def test_other_packages_are_refused():
    with pytest.raises(UserError, match="package"):
        build(ImportRecognizerConfig, {"package": "whisper"}, "judge")
