"""Chunks of speech join to what is spoken at once, and the first one comes soon."""

import numpy as np
import pytest
import torch

from s2st.config import UserError
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.streaming_voice import CHUNK_SIZES, stream
from s2st.voice import Voice

SIZES = {"num_units": 20, "embedding_dim": 16, "num_speakers": 3, "num_languages": 2}
HIFIGAN = {"initial_channels": 32, "resblock_kernel_sizes": (3, 5), "resblock_dilations": ((1, 3), (1, 2))}
ISTFT = {"upsample_rates": (4,), "upsample_kernel_sizes": (8,), "istft_hop": 80}
INFO = {"speakers": ["a", "b", "c"], "languages": ["en", "hi"], "default_speakers": {"en": "a", "hi": "c"}}
WIDE = {"initial_channels": 128, "resblock_kernel_sizes": (11,), "resblock_dilations": ((1, 3),)}
MODELS = {
    "hifigan": lambda: UnitHifigan(UnitHifiganConfig(**SIZES, **HIFIGAN)),
    "wide": lambda: UnitHifigan(UnitHifiganConfig(**SIZES, **WIDE)),
    "istft": lambda: UnitHifigan(UnitHifiganConfig(**SIZES, **HIFIGAN, **ISTFT)),
    "vocos": lambda: UnitVocos(UnitVocosConfig(**SIZES, channels=32, num_blocks=2)),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys(), scope="module")
def voice(request: pytest.FixtureRequest) -> Voice:
    torch.manual_seed(0)
    model = request.param().eval()
    model.duration_predictor.proj.weight.data.mul_(3)
    model.duration_predictor.proj.bias.data.fill_(1.0)
    for upsample in getattr(model, "upsamples", []):  # as made, the waveform is faint
        upsample.parametrizations.weight.original0.data.mul_(3)
    return Voice(model, INFO)


def reduced(random: np.random.Generator, length: int) -> np.ndarray:
    """Draw units of which none follows itself."""
    return random.integers(1, 20, size=length).cumsum() % 20


@pytest.mark.parametrize("seed", range(3))
def test_chunks_of_any_size_join_to_the_whole(voice, seed):
    random = np.random.default_rng(seed)
    units, sizes = reduced(random, 40), random.integers(1, 60, size=3).tolist()
    ((whole, _),) = voice.speak([units], "hi", speaker="b")
    assert np.abs(whole).max() > 1e-3
    chunks = list(stream(voice, units, "hi", speaker="b", sizes=sizes))
    assert [len(chunk) for chunk in chunks[:-1][:3]] == [320 * size for size in sizes][: len(chunks) - 1]
    assert all(chunk.dtype == np.float32 for chunk in chunks)
    np.testing.assert_allclose(np.concatenate(chunks), whole, atol=1e-4, rtol=0)


def test_the_first_chunk_is_made_of_few_frames(voice, monkeypatch):
    seen, make = [], voice.vocoder.waveform
    monkeypatch.setattr(voice.vocoder, "waveform", lambda x, mask: seen.append(x.shape[2]) or make(x, mask))
    chunks = stream(voice, np.arange(200) % 20, "en")
    assert len(next(chunks)) == 320 * CHUNK_SIZES[0]
    assert seen == [CHUNK_SIZES[0] + voice.vocoder.context]


def test_nothing_gives_no_chunk(voice):
    assert list(stream(voice, np.array([], dtype=np.int64), "en")) == []


def test_one_unit(voice):
    units = np.array([7])
    ((whole, _),) = voice.speak([units], "en")
    np.testing.assert_allclose(np.concatenate(list(stream(voice, units, "en"))), whole, atol=1e-4, rtol=0)


def test_speakers_sound_different_and_unknown_ones_are_refused(voice):
    units = np.arange(5)
    ((default, _),) = voice.speak([units], "en")
    np.testing.assert_array_equal(voice.speak([units], "en", speaker="a")[0][0], default)
    assert np.abs(voice.speak([units], "en", speaker="b")[0][0] - default).max() > 1e-5
    with pytest.raises(UserError, match="no speaker 'd'; it has a, b, c"):
        next(stream(voice, units, "en", speaker="d"))
