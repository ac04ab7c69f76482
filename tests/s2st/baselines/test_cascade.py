"""Cascades of parts that are known, and one of real parts: Moonshine, the phrasebook and espeak-ng."""

import importlib.util
import sys

import numpy as np
import pytest

from s2st import __main__, audio, model_folder, storage, translators
from s2st.audio import SAMPLE_RATE
from s2st.baselines import baseline
from s2st.baselines.cascade import KIND, CascadeConfig, CascadeTranslator, EspeakSpeaker, check_heard
from s2st.config import UserError, build
from s2st.corpora.phrasebook_grammar import draw
from s2st.interop.text_models import TextModelConfig
from s2st.interop.vits import VitsConfig
from s2st.interop.whisper import WhisperConfig
from s2st.recognizers import PACKAGE_FILE
from s2st.speech_to_units import SpeechToUnits
from s2st.units import reduce


class Counting:
    """Hears how many samples there are; speaks so many samples as a text says."""

    def transcribe(self, waveforms):
        return [str(len(waveform)) if waveform.any() else " " for waveform in waveforms]

    def speak(self, texts, lang):
        return [np.full(int(text), 0.1, np.float32) for text in texts]


class Doubling:
    """Translates numbers to their doubles, and keeps what it is asked."""

    def __init__(self):
        self.asked = []

    def translate(self, texts, source, to):
        self.asked.append((texts, source, to))
        return [str(2 * int(text)) for text in texts]


def cascade(directions=("en-ko", "hi-ko"), **parts):
    sources = {"en": Counting(), "hi": Counting()}
    return CascadeTranslator(CascadeConfig(directions), sources, Doubling(), Counting(), **parts)


def test_each_language_goes_through_its_parts_at_once(tone):
    translator = cascade()
    silence = np.zeros(5000, np.float32)
    waveforms = [tone[:4000], tone[:6000], silence, tone[:8000]]
    found = translator.translate_batch(waveforms, ["hi", "en", "en", "hi"], "ko")
    assert translator.texts.asked == [(["6000"], "en", "ko"), (["4000", "8000"], "hi", "ko")]
    assert [(each.source_text, each.text, len(each.waveform)) for each in found] == [
        ("4000", "8000", 8000),
        ("6000", "12000", 12000),
        ("", "", 0),
        ("8000", "16000", 16000),
    ]
    assert all(each.finished and not each.loops and not len(each.units) for each in found)
    assert translator.translate_batch([], [], "ko") == []


def test_a_codebook_tells_the_units_of_what_is_said(tone, tiny_model):
    codebook = SpeechToUnits.load(f"{tiny_model}/codebook")
    found = cascade(speech_to_units=codebook).translate_batch([tone, np.zeros(5000, np.float32)], ["en"] * 2, "ko")
    units, durations = reduce(codebook([found[0].waveform])[0])
    np.testing.assert_array_equal(found[0].units, units)
    np.testing.assert_array_equal(found[0].durations, durations)
    assert len(found[1].units) == len(found[1].durations) == 0


def test_directions_and_lengths_are_checked(tone):
    translator = cascade()
    with pytest.raises(UserError, match="this model translates en, hi to 'ko'; say which one is spoken"):
        translator.translate(tone, "ko")
    with pytest.raises(UserError, match=r"a recording of 60\.00 s cannot be translated; the model hears 0\.03 to 50 s"):
        translator.translate(np.tile(tone, 60), "ko", "en")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directions": ["en"]}, "'en' is no direction"),
        ({"directions": []}, "directions is empty"),
        ({"directions": ["en-hi"], "max_seconds": 0}, "max_seconds=0.0 must be above 0"),
        ({"directions": ["en-hi"], "voices": {"en": "en+f2"}}, "voices names 'en', which no direction ends in"),
        ({"directions": ["en-hi"], "voice": {}}, "unknown setting 'voice'; did you mean 'voices'"),
        (
            {"directions": ["en-hi"], "voices": {"hi": "hi+f2"}, "speech_models": {"hi": {"model": "a"}}},
            "voices are espeak-ng's, which is not used beside speech_models; remove one",
        ),
        (
            {"directions": ["en-hi", "ko-hi"], "text_models": {"en-hi": {"model": "a"}}},
            "text_models has en-hi, but needs en-hi, ko-hi",
        ),
    ],
)
def test_mistakes_in_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        build(CascadeConfig, settings, "cascade")


def test_a_language_that_nothing_hears_is_told():
    with pytest.raises(UserError, match="section 'cascade': no recognizer hears 'hi'; name one"):
        check_heard(CascadeConfig(("en-ko", "hi-ko")), ["en"], "section 'cascade'")


def test_espeak_speaks_each_language():
    speaker = EspeakSpeaker({"hi": "hi+f2"})
    (hindi,), (english, silence) = speaker.speak(["मैं घर जा रहा हूँ"], "hi"), speaker.speak(["I am going home", ""], "en")
    for waveform in (hindi, english):
        assert waveform.dtype == np.float32
        assert 0.5 < len(waveform) / SAMPLE_RATE < 3
        assert 0.1 < np.abs(waveform).max() <= 1
    assert len(silence) == 0
    np.testing.assert_array_equal(speaker.speak(["", "I am going home"], "en")[1], english)
    with pytest.raises(UserError, match="espeak-ng has no voice 'xx'"):
        speaker.speak(["no"], "xx")


@pytest.fixture
def folder(tmp_path):
    """The model folder of a cascade from English to Hindi whose parts run offline."""
    storage.write_json(f"{tmp_path}/recognizers/moonshine/{PACKAGE_FILE}", {"package": "moonshine-voice"})
    baseline.save(str(tmp_path), KIND, CascadeConfig(("en-hi",)), recognizers=["moonshine"])
    return str(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("moonshine_voice") is None, reason="needs the extra judge")
def test_a_phrase_is_translated_from_the_command_line(folder, monkeypatch, capsys, tmp_path):
    sentence = draw(4, seed=5)[3]
    assert sentence.text("en") == "how far is the shop from the hotel"
    (english,) = EspeakSpeaker({"en": "en-us+m7"}).speak([sentence.say("en")], "en")
    (tmp_path / "in.wav").write_bytes(audio.encode(english, "WAV"))
    files = [f"{tmp_path}/in.wav", "-o", f"{tmp_path}/out.wav"]
    monkeypatch.setattr(sys, "argv", ["s2st", "translate", *files, "--to", "hi", "--model", folder])
    __main__.main()
    assert "of 'hi'" in capsys.readouterr().out
    (hindi,) = EspeakSpeaker({}).speak([sentence.say("hi")], "hi")
    np.testing.assert_allclose(audio.decode((tmp_path / "out.wav").read_bytes()), hindi, atol=1e-4)


def test_folders_of_other_kinds_are_told(folder, tiny_model):
    about = model_folder.describe(folder)
    assert (about.kind, about.directions, about.voices) == ("cascade", ("en-hi",), {"hi": ()})
    assert translators.describe(folder) == {"model": "cascade"}
    assert translators.describe(tiny_model)["model"] == "unit_transformer"
    with pytest.raises(UserError, match="holds no cascade .its model.json says kind None."):
        CascadeTranslator.load(tiny_model)
    model = storage.read_json(f"{folder}/model.json")
    storage.write_json(f"{folder}/model.json", {**model, "kind": "cascades"})
    with pytest.raises(UserError, match="unknown kind 'cascades'; did you mean 'cascade'"):
        translators.load(folder)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"whisper": WhisperConfig("PLACE")}, "WhisperForConditionalGeneration"),
        ({"text_models": {"en-hi": TextModelConfig("PLACE")}}, "AutoModelForSeq2SeqLM"),
        ({"speech_models": {"hi": VitsConfig("PLACE")}}, "VitsModel"),
    ],
)
def test_parts_of_transformers_are_read_from_where_they_are_named(folder, tmp_path, monkeypatch, part, kind):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PLACE").mkdir()
    baseline.save(folder, KIND, CascadeConfig(("en-hi",), **part), recognizers=["moonshine"])
    with pytest.raises(UserError, match=f"transformers cannot read {kind} 'PLACE' from this folder"):
        translators.load(folder)
