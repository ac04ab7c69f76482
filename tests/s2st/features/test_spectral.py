import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

from s2st.audio import num_frames
from s2st.features.spectral import log_mel, mfcc, stacked_mfcc

LENGTHS = [400, 401, 559, 560, 719, 720, 16_000, 33_333]


def waveform_of(length: int) -> torch.Tensor:
    """Noise over a drifting tone, with an offset."""
    noise = torch.randn(length, generator=torch.Generator().manual_seed(length))
    return 0.05 * noise + 0.3 * torch.sin(torch.arange(length) ** 1.2 / 30) + 0.01


@pytest.mark.parametrize("length", LENGTHS)
def test_mfcc_equals_fairseq(length: int) -> None:
    """fairseq dumps Kaldi's MFCC with torchaudio's deltas of them."""
    waveform = waveform_of(length)
    cepstra = kaldi.mfcc(waveform[None], sample_frequency=16_000, use_energy=False).T
    deltas = compute_deltas(cepstra)
    expected = torch.cat([cepstra, deltas, compute_deltas(deltas)]).T
    torch.testing.assert_close(mfcc(waveform), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("num_mels", "hop"), [(80, 160), (40, 320)])
def test_log_mel_equals_kaldi(num_mels: int, hop: int) -> None:
    waveform = waveform_of(16_000)
    expected = kaldi.fbank(waveform[None], num_mel_bins=num_mels, frame_shift=hop / 16, sample_frequency=16_000)
    torch.testing.assert_close(log_mel(waveform, num_mels, hop), expected, atol=5e-4, rtol=0)


@pytest.mark.parametrize("length", LENGTHS)
def test_stacked_mfcc_has_one_frame_a_unit_around_the_same_speech(length: int) -> None:
    waveform = waveform_of(length)
    stacked, cepstra = stacked_mfcc(waveform), mfcc(waveform)[:, :13]
    assert stacked.shape == (num_frames(length), 65)
    for frame in range(len(stacked)):
        around = [min(max(2 * frame + offset, 0), len(cepstra) - 1) for offset in (-2, -1, 0, 1, 2)]
        torch.testing.assert_close(stacked[frame], cepstra[around].flatten())


def test_middle_of_stacked_mfcc_sees_what_hubert_sees() -> None:
    waveform = waveform_of(16_000)
    frame = 20
    alone = mfcc(waveform[320 * frame : 320 * frame + 400])[0, :13]
    torch.testing.assert_close(stacked_mfcc(waveform)[frame, 26:39], alone, atol=1e-4, rtol=0)


def test_numpy_is_taken_and_silence_is_finite() -> None:
    for function in (mfcc, stacked_mfcc, log_mel):
        features = function(np.zeros(4_000, dtype=np.float32))
        assert features.dtype == torch.float32
        assert features.isfinite().all()
        np.asarray(features)


@pytest.mark.parametrize("length", [0, 1, 399])
def test_speech_shorter_than_a_window_gives_no_frame(length: int) -> None:
    waveform = np.zeros(length, dtype=np.float32)
    assert [tuple(f(waveform).shape) for f in (mfcc, stacked_mfcc, log_mel)] == [(0, 39), (0, 65), (0, 80)]
