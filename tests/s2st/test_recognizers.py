import numpy as np
import pytest

from s2st import audio, checkpoint, recognizers, storage
from s2st.config import UserError
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.recognizers import PACKAGE_FILE, SPEECH_MODEL_FILE, Recognizers, find, languages_of, version_of


@pytest.fixture
def letters(tmp_path):
    """The folder of a model that hears "a" in everything, of English and Hindi."""
    model = HubertCtc(HubertCtcConfig(("a", " "), EncoderConfig(width=32, num_layers=1, num_heads=2, ffn_dim=32)))
    model.output.weight.data.zero_()
    model.output.bias.data[4] = 5.0
    checkpoint.save(f"{tmp_path}/letters", model, {"labels": "letters", "languages": ["en", "hi"]})
    return f"{tmp_path}/letters"


def test_a_sound_that_is_no_speech_is_heard_as_nothing(letters, tone) -> None:
    assert languages_of(letters) == ["en", "hi"]
    silence = audio.encode(np.zeros_like(tone))
    assert Recognizers([letters]).transcribe("hi", [b"", audio.encode(tone), b"noise", silence]) == ["", "a", "", ""]


def test_a_package_hears_what_it_hears(tmp_path, monkeypatch) -> None:
    storage.write_json(f"{tmp_path}/{PACKAGE_FILE}", {"package": "moonshine-voice"})
    monkeypatch.setattr(recognizers.moonshine, "Moonshine", lambda: "Moonshine")
    assert languages_of(str(tmp_path)) == ["en"]
    assert version_of(str(tmp_path)) == "moonshine-tiny-en@moonshine-voice-0.0.65"
    assert Recognizers([str(tmp_path)]).by_language == {"en": "Moonshine"}
    assert find("moonshine-voice", "en") == find(str(tmp_path), "en") == ("Moonshine", version_of(str(tmp_path)))
    with pytest.raises(UserError, match="moonshine-voice hears en and not 'hi'; name another recognizer"):
        find("moonshine-voice", "hi")


def test_a_model_of_transformers_hears_what_it_is_told_to(tmp_path, monkeypatch) -> None:
    model = {"model": "org/model", "languages": ["en", "hi"], "revision": "abc", "batch_size": 2}
    storage.write_json(f"{tmp_path}/{SPEECH_MODEL_FILE}", {"model": model, "version": "org/model@abc"})
    monkeypatch.setattr(
        recognizers, "load_speech_model", lambda config, device: dict.fromkeys(config.languages, config)
    )
    assert languages_of(str(tmp_path)) == ["en", "hi"]
    assert version_of(str(tmp_path)) == "org/model@abc"
    heard = Recognizers([str(tmp_path)]).by_language
    assert [heard[lang].revision for lang in ("en", "hi")] == ["abc", "abc"]
    monkeypatch.setattr(recognizers.speech_models, "version_of", lambda config: f"{config.model}@abc")
    assert find("org/model", "ko")[1] == "org/model@abc"


def test_the_version_of_a_model_of_ours_is_that_of_its_weights(letters, tmp_path) -> None:
    kind, _, weights = version_of(letters).partition("@")
    assert kind == "hubert_ctc"
    model, info = checkpoint.load(letters)
    model.output.bias.data[4] = 6.0
    checkpoint.save(f"{tmp_path}/other", model, info)
    assert version_of(f"{tmp_path}/other").partition("@")[2] != weights


def test_models_that_do_not_say_what_they_hear_are_told(tmp_path) -> None:
    for info, message in (({"labels": "units"}, "hears units and not letters"), ({}, "does not say which languages")):
        storage.write_json(f"{tmp_path}/config.json", {"model": "hubert_ctc", "config": {}, "info": info})
        with pytest.raises(UserError, match=message):
            languages_of(str(tmp_path))
