import pyarrow as pa

from trainers.voices import Voices, default_speakers


def test_voices_number_only_what_there_is_several_of():
    rows = pa.table({"lang": ["en", "en", "en"], "speaker": ["a", "b", "b"]})
    voices = Voices.of(rows, ("en",))
    assert voices.model_settings() == {"num_speakers": 2, "num_languages": 0}
    given = [{"speaker": "b", "lang": "en"}, {"speaker": "a", "lang": "en"}]
    assert {name: t.tolist() for name, t in voices.tensors(given).items()} == {"speaker": [1, 0]}


def test_a_speaker_of_the_validation_alone_is_judged_by_the_default_voice():
    voices = Voices(("a", "b", "c"), ("en", "hi"), {"en": "b", "hi": "c"})
    given = [{"speaker": "new", "lang": "hi"}, {"speaker": "a", "lang": "en"}]
    assert {name: t.tolist() for name, t in voices.tensors(given).items()} == {"speaker": [2, 0], "language": [1, 0]}


def test_default_speaker_is_the_one_with_most_speech():
    table = pa.table({"lang": ["en", "en", "en", "hi"], "speaker": ["a", "b", "b", "c"]})
    assert default_speakers(table) == {"en": "b", "hi": "c"}
