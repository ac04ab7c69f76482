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
from s2st.feature_extractor import KINDS, FeatureExtractor, FeaturesConfig, check_encoder, cut, load_encoder
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
    units, doubtful = codebook.units_and_doubt(frames, 1e-3)
    assert units.tolist() == [0, 0, 0, 1, 1]
    assert doubtful.tolist() == [False, False, True, True, False]


def test_hours_of_frames_are_compared_with_the_centroids_in_parts(monkeypatch):
    codebook = Codebook(CodebookConfig(3, 2))
    sizes = []
    distances = codebook._distances
    monkeypatch.setattr(codebook, "_distances", lambda x: sizes.append(len(x)) or distances(x))
    assert codebook(torch.zeros(10_000, 2)).shape == (10_000,)
    assert codebook.units_and_doubt(torch.zeros(10_000, 2), 0.0)[0].shape == (10_000,)
    assert max(sizes) <= 4096
    assert sum(sizes) == 20_000


def test_an_approximate_search_needs_no_distances_to_all_centroids(monkeypatch):
    extractor = extractor_of("base")
    codebook = Codebook(CodebookConfig(64, 32, search="hnsw"))
    codebook.centroids.normal_()
    monkeypatch.setattr(codebook, "_distances", None)
    assert len(SpeechToUnits(extractor, codebook)([noise(1.0), noise(2.0)])) == 2


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
    waveform = noise(130.005, 1)
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
def test_spectral_kinds_have_their_rate_and_dimension(kind):
    features = FeatureExtractor(FeaturesConfig(kind))([noise(2.0)])[0]
    assert abs(len(features) - 2 * KINDS[kind].frames_per_second) <= 2
    assert features.shape[1] == FeaturesConfig(kind).dim


def test_layers_belong_to_encoders():
    with pytest.raises(ValueError, match="only hubert, wav2vec2, cpc have layers"):
        FeaturesConfig("mfcc", 1)
    for kind in ("hubert", "cpc"):
        with pytest.raises(ValueError, match=f"kind={kind} needs layer"):
            FeaturesConfig(kind)


def test_an_encoder_that_does_not_fit_is_refused_without_reading_its_weights(tmp_path: Path):
    wav2vec2, hubert, cpc = (str(tmp_path / name) for name in ("wav2vec2", "hubert", "cpc"))
    checkpoint.save(wav2vec2, SpeechEncoder(TINY), {"architecture": "wav2vec2"})
    checkpoint.save(hubert, Hubert(HubertConfig(**{**vars(TINY), "num_classes": 3})))
    checkpoint.save(cpc, Cpc(CpcConfig(8, 8, 1)))
    short = replace(TINY, conv_layers=TINY.conv_layers[:-1])
    checkpoint.save(str(tmp_path / "short"), SpeechEncoder(short), {"architecture": "hubert"})
    for path in tmp_path.glob("*/weights.safetensors"):
        path.rename(path.with_suffix(".away"))
    for folder, features, message in [
        (wav2vec2, FeaturesConfig("hubert", 1), "holds a wav2vec2; write kind: wav2vec2"),
        (wav2vec2, FeaturesConfig("cpc", 1), "a cpc is needed there"),
        (hubert, FeaturesConfig("hubert", 9), "layer=9, but .* has 2"),
        (str(tmp_path / "short"), FeaturesConfig("hubert", 1), "frame of 160 samples"),
    ]:
        with pytest.raises(UserError, match=message):
            check_encoder(folder, features, "section 'x'")
    for folder, features in [
        (wav2vec2, FeaturesConfig("wav2vec2", 2)),
        (hubert, FeaturesConfig("hubert", 2)),
        (cpc, FeaturesConfig("cpc", 1)),
    ]:
        check_encoder(folder, features, "section 'x'")


def test_an_encoder_is_read_with_its_weights(tmp_path: Path):
    hubert = Hubert(HubertConfig(**{**vars(TINY), "num_classes": 3}))
    checkpoint.save(str(tmp_path), hubert)
    loaded = load_encoder(str(tmp_path), FeaturesConfig("hubert", 2))
    assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(hubert)


def test_bf16_changes_few_units(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})  # other processors can, slowly
    extractor, rough = extractor_of("base"), extractor_of("base", bf16=True)
    waveforms = [noise(2.0, seed) for seed in range(4)]
    codebook = Codebook(CodebookConfig(20, 32))
    codebook.centroids.copy_(torch.from_numpy(np.concatenate(extractor(waveforms))[::20][:20]))
    exact, fast = (SpeechToUnits(value, codebook)(waveforms) for value in (extractor, rough))
    changed = np.mean(np.concatenate(exact) != np.concatenate(fast))
    assert 0 < changed < 0.15
