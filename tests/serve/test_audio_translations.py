"""The shape of OpenAI's audio API, as its client sends it."""

import pytest

from s2st import audio


@pytest.fixture
def translate(quick_server, calling, tone):
    client = calling(quick_server())

    def send(**fields):
        files = {"file": ("speech.wav", audio.encode(tone, "WAV"))}
        return client.post("/v1/audio/translations", data={"model": "tiny", **fields}, files=files)

    return send


def test_it_is_answered_in_json_with_a_text_of_units(translate):
    answer = translate(prompt="", temperature="0").json()
    assert answer["text"] == "3 4"
    assert (answer["model"], answer["from"], answer["to"]) == ("tiny", "hi", "en")
    assert answer["audio"]


def test_speech_and_another_language(translate):
    answer = translate(response_format="wav", to="hi")
    assert answer.headers["content-type"] == "audio/wav"
    assert len(audio.decode_part(answer.content, 0, 9_999)) == 640


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "whisper-1"}, "unknown model 'whisper-1'"),
        ({"response_format": "srt"}, "'json' or 'wav'"),
        ({"to": "ko"}, "does not speak 'ko'"),
    ],
)
def test_what_it_cannot_do_is_told(translate, fields, message):
    answer = translate(**fields)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
