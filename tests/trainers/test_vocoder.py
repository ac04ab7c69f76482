import numpy as np
import pytest

from s2st import audio
from s2st.config import UserError, build
from trainers.recognizer import TrainRecognizerConfig
from trainers.vocoder import PEAK, VocoderConfig, Voices, cut, default_speakers


def ramp(num_units):
    """Speech in which every sample tells the unit that it belongs to."""
    units = np.arange(num_units)
    return np.repeat((units + 1) / (2 * num_units), audio.HOP).astype(np.float32), units


def test_segments_stay_aligned():
    waveform, units = ramp(50)
    data = audio.encode(waveform)
    for seed in range(10):
        segment_units, segment = cut(data, units, 20, np.random.default_rng(seed))
        assert segment.shape == (20 * audio.HOP,)
        heard = segment.reshape(20, audio.HOP)[:, 160] / PEAK * 50 - 1
        np.testing.assert_allclose(heard, segment_units, atol=0.05)


def test_short_utterances_are_repeated():
    waveform, units = ramp(5)
    segment_units, segment = cut(audio.encode(waveform), units, 12, np.random.default_rng(0))
    assert (len(segment_units), len(segment)) == (12, 12 * audio.HOP)


def test_voices_number_only_what_there_is_several_of():
    rows = [{"speaker": "b", "lang": "en"}, {"speaker": "a", "lang": "en"}]
    voices = Voices(("a", "b"), ("en",))
    assert voices.model_settings() == {"num_speakers": 2, "num_languages": 0}
    assert {name: t.tolist() for name, t in voices.tensors(rows).items()} == {"speaker": [1, 0]}


def test_default_speaker_is_the_one_with_most_speech():
    import pyarrow as pa

    table = pa.table({"lang": ["en", "en", "en", "hi"], "speaker": ["a", "b", "b", "c"]})
    assert default_speakers(table) == {"en": "b", "hi": "c"}


@pytest.mark.parametrize(
    ("config", "settings"), [(VocoderConfig, {"vocos": {}}), (TrainRecognizerConfig, {"lang": "en"})]
)
@pytest.mark.parametrize("loop", [{"best_metric": "mcd"}, {"keep_best": True}, {"patience": 1}])
def test_trainers_without_validation_refuse_its_settings(config, settings, loop):
    with pytest.raises(UserError, match="this trainer does not validate; leave best_metric"):
        build(config, {**settings, "loop": loop}, "x")
