import pytest

from s2st import audio, checkpoint, recognizers, storage
from s2st.config import UserError
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.recognizers import PACKAGE_FILE, Recognizers, languages_of


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
    assert Recognizers([letters]).transcribe("hi", [b"", audio.encode(tone), b"noise"]) == ["", "a", ""]


def test_a_package_hears_what_it_hears(tmp_path, monkeypatch) -> None:
    storage.write_json(f"{tmp_path}/{PACKAGE_FILE}", {"package": "moonshine-voice"})
    monkeypatch.setattr(recognizers.moonshine, "Moonshine", lambda: "Moonshine")
    assert languages_of(str(tmp_path)) == ["en"]
    assert Recognizers([str(tmp_path)]).by_language == {"en": "Moonshine"}


def test_models_that_do_not_say_what_they_hear_are_told(tmp_path) -> None:
    for info, message in (({"labels": "units"}, "hears units and not letters"), ({}, "does not say which languages")):
        storage.write_json(f"{tmp_path}/config.json", {"model": "hubert_ctc", "config": {}, "info": info})
        with pytest.raises(UserError, match=message):
            languages_of(str(tmp_path))
