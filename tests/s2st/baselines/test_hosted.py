"""Hosted services, each against a stand-in on this machine that answers in the shapes of its documentation."""

import base64
import re

import numpy as np
import pytest

from s2st import audio, translators
from s2st.baselines import baseline
from s2st.baselines.hosted import KIND, HostedConfig, HostedTranslator, make_service
from s2st.baselines.hosted_client import ServiceError
from s2st.config import UserError, build

LIMITS = {"attempts": 2, "longest_wait_seconds": 0.05, "requests_per_minute": 60_000}
PRICES = {"minute_heard": 6.0, "million_characters_translated": 1e6, "million_characters_spoken": 0.0}
SILENCE = np.zeros(8000, np.float32)


@pytest.fixture
def hosted(stand_in, keys):
    """A function that makes the translator of a service whose addresses are those of the stand-in."""

    def make(service, directions=("en-hi",), **settings):
        (name,) = service
        names = ("recognition_url", "translation_url", "speech_url")
        urls = {"url": f"{stand_in.url}/v1"} if name == "openai" else dict.fromkeys(names, stand_in.url)
        service = {name: {**urls, **service[name]}}
        mapping = {"directions": directions, "limits": LIMITS, "prices": PRICES, **service, **settings}
        config = build(HostedConfig, mapping, "hosted")
        return HostedTranslator(config, make_service(config))

    return make


def wav(waveform):
    return audio.encode(waveform, "WAV")


def streamed(waveform):
    """A WAV of a service that does not know its length when it begins: its header promises all there can be."""
    data = wav(waveform)
    return data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:]


def base64_of(waveform):
    return base64.b64encode(wav(waveform)).decode()


def check(found, source_text, text, spoken):
    assert (found.source_text, found.text) == (source_text, text)
    np.testing.assert_allclose(found.waveform, spoken, atol=1e-4)


def fields_of(asked):
    """Parse the fields of a form, without its file."""
    return dict(re.findall(rb'name="(\w+)"\r\n\r\n([^\r]*)\r\n', asked.body))


def test_openai_in_three_steps(stand_in, hosted, tone):
    stand_in.answer("/v1/audio/transcriptions", {"text": "Good morning."})
    stand_in.answer("/v1/chat/completions", {"choices": [{"message": {"role": "assistant", "content": "सुप्रभात।"}}]})
    stand_in.answer("/v1/audio/speech", streamed(tone[:9000]))
    translator = hosted({"openai": {"voice": "nova"}})
    check(translator.translate(tone, "hi"), "Good morning.", "सुप्रभात।", tone[:9000])
    heard, translated, spoken = stand_in.asked
    assert fields_of(heard) == {b"model": b"whisper-1", b"language": b"en", b"response_format": b"json"}
    assert wav(tone) in heard.body
    assert translated.json["messages"][1] == {"role": "user", "content": "Good morning."}
    assert "'en'" in translated.json["messages"][0]["content"]
    assert spoken.json["input"] == "सुप्रभात।"
    assert (spoken.json["voice"], spoken.json["response_format"]) == ("nova", "wav")
    assert {asked.headers["Authorization"] for asked in stand_in.asked} == {"Bearer openai_api_key"}
    totals = translator.totals()
    assert (totals["requests"], totals["seconds_heard"], totals["characters_translated"]) == (3, 1.0, 13)
    assert totals["cost"] == pytest.approx(0.1 + 13)


def test_openai_translates_to_english_in_two(stand_in, hosted, tone):
    stand_in.answer("/v1/audio/translations", {"text": "Good morning."})
    stand_in.answer("/v1/audio/speech", wav(tone[:9000]))
    check(hosted({"openai": {}}, ["hi-en"]).translate(tone, "en"), "", "Good morning.", tone[:9000])
    assert [asked.path for asked in stand_in.asked] == ["/v1/audio/translations", "/v1/audio/speech"]
    assert fields_of(stand_in.asked[0])[b"model"] == b"whisper-1"


def test_openai_with_a_model_that_hears_and_speaks(stand_in, hosted, tone):
    spoken = {"id": "audio_1", "expires_at": 1, "data": base64_of(tone[:9000]), "transcript": "सुप्रभात।"}
    stand_in.answer("/v1/chat/completions", {"choices": [{"message": {"content": None, "audio": spoken}}]})
    translator = hosted({"openai": {"audio_model": "gpt-4o-audio-preview"}})
    check(translator.translate(tone, "hi"), "", "सुप्रभात।", tone[:9000])
    body = stand_in.asked[0].json
    assert (body["modalities"], body["audio"]["format"]) == (["text", "audio"], "wav")
    (part,) = body["messages"][1]["content"]
    assert base64.b64decode(part["input_audio"]["data"]) == wav(tone)
    assert translator.totals()["seconds_spoken"] == 9000 / 16000


def test_google(stand_in, hosted, tone):
    results = [
        {"alternatives": [{"transcript": "good", "confidence": 0.9}]},
        {"alternatives": [{"transcript": " day"}]},
    ]
    stand_in.answer("/v1/speech:recognize", {"results": results, "totalBilledTime": "1s"})
    stand_in.answer("/language/translate/v2", {"data": {"translations": [{"translatedText": "नमस्ते"}]}})
    stand_in.answer("/v1/text:synthesize", {"audioContent": base64_of(tone[:9000])})
    service = {"locales": {"en": "en-US", "hi": "hi-IN"}, "voices": {"hi": "hi-IN-Standard-A"}}
    check(hosted({"google": service}).translate(tone, "hi"), "good day", "नमस्ते", tone[:9000])
    heard, translated, spoken = (asked.json for asked in stand_in.asked)
    assert (heard["config"]["languageCode"], heard["config"]["sampleRateHertz"]) == ("en-US", 16000)
    assert base64.b64decode(heard["audio"]["content"]) == wav(tone)
    assert translated == {"q": ["good day"], "source": "en", "target": "hi", "format": "text"}
    assert spoken["voice"] == {"languageCode": "hi-IN", "name": "hi-IN-Standard-A"}
    assert {asked.headers["X-Goog-Api-Key"] for asked in stand_in.asked} == {"google_api_key"}
    assert all("key" not in asked.path for asked in stand_in.asked)


AZURE = {"region": "westeurope", "voices": {"hi": "hi-IN-SwaraNeural"}, "locales": {"en": "en-US", "hi": "hi-IN"}}
AZURE_HEARS = "/speech/recognition/conversation/cognitiveservices/v1"


def test_azure(stand_in, hosted, tone):
    stand_in.answer(
        AZURE_HEARS, {"RecognitionStatus": "Success", "Offset": 0, "Duration": 1, "DisplayText": "Tea & milk."}
    )
    stand_in.answer("/translate", [{"translations": [{"text": "चाय & <दूध>", "to": "hi"}]}])
    stand_in.answer("/cognitiveservices/v1", wav(tone[:9000]))
    check(hosted({"azure": AZURE}).translate(tone, "hi"), "Tea & milk.", "चाय & <दूध>", tone[:9000])
    heard, translated, spoken = stand_in.asked
    assert heard.path == f"{AZURE_HEARS}?language=en-US&format=simple"
    assert heard.body == wav(tone)
    assert translated.path == "/translate?api-version=3.0&from=en&to=hi"
    assert translated.json == [{"Text": "Tea & milk."}]
    assert translated.headers["Ocp-Apim-Subscription-Region"] == "westeurope"
    assert '<voice name="hi-IN-SwaraNeural">चाय &amp; &lt;दूध&gt;</voice>' in spoken.body.decode()
    assert spoken.headers["X-Microsoft-OutputFormat"] == "riff-16khz-16bit-mono-pcm"
    sent = [asked.headers["Ocp-Apim-Subscription-Key"] for asked in stand_in.asked]
    assert sent == ["azure_speech_key", "azure_translator_key", "azure_speech_key"]


@pytest.mark.parametrize(
    ("service", "path", "answer"),
    [
        ({"openai": {}}, "/v1/audio/transcriptions", {"text": " "}),
        ({"google": {}}, "/v1/speech:recognize", {"totalBilledTime": "1s"}),
        ({"azure": AZURE}, AZURE_HEARS, {"RecognitionStatus": "InitialSilenceTimeout", "Offset": 0, "Duration": 0}),
    ],
)
def test_of_silence_nothing_is_said(stand_in, hosted, service, path, answer):
    stand_in.answer(path, answer)
    check(hosted(service).translate(SILENCE, "hi"), "", "", np.zeros(0))
    assert len(stand_in.asked) == 1


def test_a_batch_comes_back_in_order_and_ends_at_the_first_mistake(stand_in, hosted, tone):
    stand_in.answer("/v1/audio/translations", {"text": "a"})
    for size in (6000, 7000, 8000, 9000):
        stand_in.answer("/v1/audio/speech", wav(tone[:size]))
    translator = hosted({"openai": {}}, ["hi-en"], concurrency=1)
    found = translator.translate_batch([tone] * 4, ["hi"] * 4, "en")
    assert [len(each.waveform) for each in found] == [6000, 7000, 8000, 9000]
    stand_in.answers["/v1/audio/speech"].clear()
    stand_in.answer("/v1/audio/speech", b"noise")
    asked = len(stand_in.asked)
    with pytest.raises(ServiceError, match="speech that cannot be used: the audio cannot be decoded"):
        translator.translate_batch([tone] * 8, ["hi"] * 8, "en")
    assert len(stand_in.asked) - asked <= 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "name one service: openai, google or azure"),
        ({"openai": {}, "google": {}}, "name one service: openai, google or azure"),
        ({"openai": {"url": "http://api.openai.com/v1"}}, "would carry a key in the open; give an https:// address"),
        ({"azure": {"region": "west.europe/", "voices": {}}}, "'west.europe/' is no region"),
        ({"azure": {"region": "westeurope", "voices": {"en": "a"}}}, "azure.voices names no voice for 'hi'; add one"),
        ({"google": {}, "concurrency": 0}, "concurrency=0 must be at least 1"),
        ({"openai": {"key": "abc"}}, "unknown setting 'key'"),
    ],
)
def test_mistakes_in_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        build(HostedConfig, {"directions": ["en-hi"], **settings}, "hosted")


def test_a_folder_has_no_key(stand_in, keys, tmp_path, monkeypatch, tone):
    config = build(HostedConfig, {"directions": ["hi-en"], "openai": {"url": f"{stand_in.url}/v1"}}, "hosted")
    baseline.save(str(tmp_path), KIND, config)
    assert all("openai_api_key" not in path.read_text() for path in tmp_path.iterdir())
    stand_in.answer("/v1/audio/translations", {"text": "a"})
    stand_in.answer("/v1/audio/speech", wav(tone))
    check(translators.load(str(tmp_path)).translate(tone, "en"), "", "a", tone)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="no key in the environment; set the variable OPENAI_API_KEY"):
        translators.load(str(tmp_path))
