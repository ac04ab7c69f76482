"""Batches equal one utterance at a time; pieces of a long recording equal the whole."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import s2st.feature_extractor
from s2st import checkpoint
from s2st.audio import num_frames
from s2st.config import UserError
from s2st.feature_extractor import KINDS, FeatureExtractor, FeaturesConfig, cut, load_encoder
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.cpc import Cpc, CpcConfig
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder
from s2st.speech_to_units import ROUNDING, SpeechToUnits

TINY = EncoderConfig(
    conv_layers=((16, 10, 5), *((16, 3, 2),) * 4, *((16, 2, 2),) * 2),
    width=32,
    num_layers=2,
    num_heads=2,
    ffn_dim=64,
    positional_kernel=16,
    positional_groups=2,
)
LARGE = replace(TINY, conv_norm="layer", conv_bias=True, pre_ln=True, normalize_waveform=True)
ENCODERS = {"base": ("hubert", TINY), "large": ("wav2vec2", LARGE), "cpc": ("cpc", CpcConfig(16, 32, 2))}


def extractor_of(name, **settings):
    torch.manual_seed(0)
    kind, config = ENCODERS[name]
    encoder = Cpc(config) if kind == "cpc" else SpeechEncoder(config)
    for parameter in encoder.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter, 0.5, 0.2)  # norms and biases matter
    return FeatureExtractor(FeaturesConfig(kind, 2), encoder.eval(), **settings)


def noise(seconds, seed=0, level=0.1):
    """Coloured noise whose loudness and offset depend on the seed, so that statistics of others would show."""
    draw = np.random.default_rng(seed)
    white = draw.normal(0, level * (1 + seed % 5), int(seconds * 16_000))
    return (np.convolve(white, draw.normal(0, 0.4, 20), "same") + 0.01 * (seed % 3)).astype(np.float32)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_batch_equals_one_utterance_at_a_time_from_a_tenth_of_a_second_to_a_minute(name):
    waveforms = [
        noise(seconds, seed) for seed, seconds in enumerate((0.1, 0.11, 0.5, 1.0, 1.02, 7.7, 15.6, 31.0, 60.0))
    ]
    extractor = extractor_of(name)
    extractor._batches = lambda lengths, alone: [list(range(len(lengths)))]  # all in one: 60 s beside 0.1 s
    batched = extractor(waveforms)
    alone = [extractor([waveform])[0] for waveform in waveforms]
    for value, expected, waveform in zip(batched, alone, waveforms, strict=True):
        if name != "cpc":
            assert len(expected) == num_frames(len(waveform))
        assert value.shape == expected.shape
        assert np.abs(value - expected).max() < 1e-4
        assert (np.linalg.norm(value - expected, axis=1) < ROUNDING * np.linalg.norm(expected, axis=1)).all()


def test_without_the_mask_of_statistics_padding_would_show():
    """The trap itself: GroupNorm over a padded row is another function, so the test above can fail."""
    extractor = extractor_of("base")
    quiet, loud = noise(1.0, 0), noise(4.0, 4)
    padded = np.concatenate([quiet, np.zeros(3 * 16_000, np.float32)])
    assert np.abs(extractor([padded])[0][:40] - extractor([quiet])[0][:40]).max() > 0.01
    assert np.abs(extractor([quiet, loud])[0] - extractor([quiet])[0]).max() < 1e-4


@pytest.mark.parametrize("name", ENCODERS)
def test_units_do_not_depend_on_the_batch(name):
    extractor = extractor_of(name)
    waveforms = [noise(0.3 + 0.2 * seed, seed) for seed in range(25)]
    features = np.concatenate(extractor(waveforms))
    codebook = Codebook(CodebookConfig(len(features) // 2, 32))  # so many that boundaries are everywhere
    codebook.centroids.copy_(torch.from_numpy(features[: 2 * codebook.config.num_units : 2]))
    speech_to_units = SpeechToUnits(extractor, codebook)
    alone = [speech_to_units([waveform])[0] for waveform in waveforms]
    for batch in (slice(0, 25), slice(3, 19), slice(24, None, -1)):
        for units, expected in zip(speech_to_units(waveforms[batch]), alone[batch], strict=True):
            assert units.tolist() == expected.tolist()


def test_a_frame_between_two_centroids_is_doubtful():
    codebook = Codebook(CodebookConfig(2, 2))
    codebook.centroids.copy_(torch.tensor([[0.0, 1.0], [2.0, 1.0]]))
    frames = torch.tensor([[0.0, 1.0], [0.99, 1.0], [0.9999, 1.0], [1.0001, 1.0], [3.0, 1.0]])
    assert codebook.doubtful(frames, 1e-3).tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 1000, 1234])
def test_pieces_cover_every_frame_once(frames):
    pieces = cut(frames, 100, 7)
    kept = [frame for piece in pieces for frame in range(piece.keep_from, piece.keep_to)]
    assert kept == list(range(frames))
    assert all(piece.keep_to - piece.keep_from <= 100 for piece in pieces)
    for piece in pieces:
        assert piece.keep_from - piece.start == min(7, piece.keep_from)
        assert piece.stop - piece.keep_to == min(7, frames - piece.keep_to)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_long_recording_is_cut_without_losing_a_frame(name, monkeypatch):
    """Away from seams as at seams; what attention cannot see beyond a piece is left as the tolerance."""
    waveform = noise(130.0, 1)
    extractor = extractor_of(name)
    monkeypatch.setattr(s2st.feature_extractor, "MAX_WHOLE_SECONDS", 1000.0)
    whole = extractor([waveform])[0]
    monkeypatch.undo()
    pieces = extractor([waveform])[0]
    assert pieces.shape == whole.shape
    error = np.linalg.norm(pieces - whole, axis=1) / np.linalg.norm(whole, axis=1)
    assert error.max() < 0.02
    if name == "cpc":  # its LSTM has forgotten what was ten seconds ago
        assert error.max() < 1e-3


@pytest.mark.parametrize("name", ["base", "large"])
def test_convolutions_of_a_piece_equal_those_of_the_whole(name):
    encoder = extractor_of(name).encoder
    waveform = torch.from_numpy(noise(20.0, 3))[None]
    lengths = torch.tensor([waveform.shape[1]])
    with torch.inference_mode():
        whole, _ = encoder.convolve(waveform, lengths)
        part = waveform[:, encoder.config.samples(300, 500)]
        statistics = encoder.statistics(waveform, lengths)
        piece, frames = encoder.convolve(part, torch.tensor([part.shape[1]]), statistics)
    assert frames.tolist() == [200]
    torch.testing.assert_close(piece, whole[:, 300:500], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mfcc", "stacked_mfcc", "log_mel"])
def test_spectral_kinds_have_their_rate(kind):
    features = FeatureExtractor(FeaturesConfig(kind))([noise(2.0)])[0]
    assert abs(len(features) - 2 * KINDS[kind].frames_per_second) <= 2


def test_layers_belong_to_encoders():
    for kind, layer in (("mfcc", 1), ("hubert", 0), ("cpc", 0)):
        with pytest.raises(ValueError, match="only hubert, wav2vec2, cpc have layers"):
            FeaturesConfig(kind, layer)
    with pytest.raises(UserError, match="layer=9, but the encoder has 2"):
        FeatureExtractor(FeaturesConfig("hubert", 9), SpeechEncoder(TINY))
    with pytest.raises(UserError, match="frame of 160 samples; features of kind hubert need 320"):
        FeatureExtractor(FeaturesConfig("hubert", 1), Cpc(CpcConfig(8, 8, 1)))


def test_an_encoder_of_another_kind_is_refused(tmp_path: Path):
    checkpoint.save(str(tmp_path / "a"), SpeechEncoder(TINY), {"architecture": "wav2vec2"})
    assert load_encoder(str(tmp_path / "a"), "wav2vec2").config == TINY
    with pytest.raises(UserError, match="holds a wav2vec2, but features of kind hubert"):
        load_encoder(str(tmp_path / "a"), "hubert")
    with pytest.raises(UserError, match="a cpc is needed there"):
        load_encoder(str(tmp_path / "a"), "cpc")
    hubert = Hubert(HubertConfig(**{**vars(TINY), "num_classes": 3}))
    checkpoint.save(str(tmp_path / "b"), hubert)
    assert isinstance(load_encoder(str(tmp_path / "b"), "hubert"), Hubert)


def test_bf16_changes_few_units():
    extractor, rough = extractor_of("base"), extractor_of("base", bf16=True)
    waveforms = [noise(2.0, seed) for seed in range(4)]
    codebook = Codebook(CodebookConfig(20, 32))
    codebook.centroids.copy_(torch.from_numpy(np.concatenate(extractor(waveforms))[::20][:20]))
    exact, fast = (SpeechToUnits(value, codebook)(waveforms) for value in (extractor, rough))
    changed = np.mean(np.concatenate(exact) != np.concatenate(fast))
    assert 0 < changed < 0.15
