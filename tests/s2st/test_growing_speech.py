"""Speech of units that come in parts is that of all units at once, and begins before the last one is there."""

import numpy as np
import pytest
import torch

from s2st.audio import HOP
from s2st.config import UserError
from s2st.growing_speech import CHUNK_SIZES, UNITS_AT_ONCE, GrowingSpeech, stream
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.voice import Voice

SIZES = {"num_units": 20, "embedding_dim": 16, "num_speakers": 2, "num_languages": 2}
HIFIGAN = {"initial_channels": 32, "resblock_kernel_sizes": (3,), "resblock_dilations": ((1, 3),)}
ISTFT = {"upsample_rates": (4,), "upsample_kernel_sizes": (8,), "istft_hop": 80}
WIDE = {"initial_channels": 128, "resblock_kernel_sizes": (11,), "resblock_dilations": ((1, 3),)}
INFO = {"speakers": ["a", "b"], "languages": ["en", "hi"], "default_speakers": {"en": "a", "hi": "b"}}
MODELS = {
    "vocos": lambda: UnitVocos(UnitVocosConfig(**SIZES, channels=32, num_blocks=2)),
    "cumulative": lambda: UnitVocos(
        UnitVocosConfig(**SIZES, channels=32, num_blocks=2, cumulative_rounding=True, duration_kernel_size=5)
    ),
    "hifigan": lambda: UnitHifigan(UnitHifiganConfig(**SIZES, **HIFIGAN)),
    "wide": lambda: UnitHifigan(UnitHifiganConfig(**SIZES, **WIDE)),
    "istft": lambda: UnitHifigan(UnitHifiganConfig(**SIZES, **HIFIGAN, **ISTFT)),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys(), scope="module")
def voice(request):
    torch.manual_seed(0)
    model = request.param().eval()
    model.duration_predictor.proj.weight.data.mul_(3)
    model.duration_predictor.proj.bias.data.fill_(1.0)
    for upsample in getattr(model, "upsamples", []):  # as made, the waveform is faint
        upsample.parametrizations.weight.original0.data.mul_(3)
    return Voice(model, INFO)


def reduced(random, length):
    """Draw units of which none follows itself."""
    return random.integers(1, 20, size=length).cumsum() % 20


@pytest.mark.parametrize("seed", range(2))
def test_chunks_join_to_the_whole_however_the_units_come(voice, seed):
    random = np.random.default_rng(seed)
    units = reduced(random, int(random.integers(1, 80)))
    ((whole, durations),) = voice.speak([units], "hi", speaker="a")
    speech = GrowingSpeech(voice, "hi", "a", sizes=random.integers(1, 30, size=3).tolist())
    chunks, begin = [], 0
    while begin < len(units):
        end = begin + int(random.integers(0, 9))
        chunks += speech.add(units[begin:end])
        begin = end
    chunks += speech.end()
    assert np.abs(whole).max() > 1e-3
    np.testing.assert_allclose(np.concatenate(chunks), whole, atol=1e-4, rtol=0)
    assert speech.durations == durations.tolist()


def test_the_first_chunk_is_made_of_few_frames(voice, monkeypatch):
    seen, make = [], voice.vocoder.waveform
    monkeypatch.setattr(voice.vocoder, "waveform", lambda x, mask: seen.append(x.shape[2]) or make(x, mask))
    units = np.arange(200) % 20
    chunks = stream(voice, units, "en")
    first = next(chunks)
    assert len(first) == HOP * CHUNK_SIZES[0]
    assert seen == [CHUNK_SIZES[0] + voice.vocoder.context]
    ((whole, _),) = voice.speak([units], "en")
    np.testing.assert_allclose(np.concatenate([first, *chunks]), whole, atol=1e-4, rtol=0)


def test_it_is_heard_before_the_last_unit_comes_and_holds_no_more_than_it_needs(voice):
    units = reduced(np.random.default_rng(0), 160)
    speech = GrowingSpeech(voice, "en", sizes=[5])
    heard, needed = [], 2 * voice.vocoder.context + 100
    for i in range(0, 160, 4):
        heard.append(sum(map(len, speech.add(units[i : i + 4]))))
        assert len(speech.units) <= UNITS_AT_ONCE + 4 + 2 * voice.vocoder.duration_context
        assert speech.features is None or speech.features.shape[2] <= needed
    assert sum(heard) > 0.5 * HOP * sum(speech.durations)


def test_nothing_and_one_unit(voice):
    speech = GrowingSpeech(voice, "en")
    assert [*speech.add(np.zeros(0, np.int32)), *speech.end()] == []
    speech = GrowingSpeech(voice, "en")
    ((whole, _),) = voice.speak([np.array([7])], "en")
    chunks = [*speech.add(np.array([7])), *speech.end()]
    np.testing.assert_allclose(np.concatenate(chunks), whole, atol=1e-4, rtol=0)


def test_repeats_and_unknown_speakers_are_refused(voice):
    speech = GrowingSpeech(voice, "en")
    list(speech.add(np.arange(15)))
    with pytest.raises(UserError, match="units repeat"):
        list(speech.add(14 - np.arange(15)))
    with pytest.raises(UserError, match="no speaker 'c'"):
        list(GrowingSpeech(voice, "en", "c").add(np.arange(20)))
