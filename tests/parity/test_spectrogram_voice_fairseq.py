"""Griffin-Lim and mel cepstral distortion against fairseq's, on recordings of the shipped sample."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from s2st import audio
from s2st.corpora import sample
from s2st.evaluation.mcd import mel_cepstral_distortion
from s2st.features import speech_mel
from s2st.features.speech_mel import MEL_RATE, speech_log_mel, to_mel_rate
from s2st.griffin_lim import speak

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.models.text_to_speech import vocoder
from fairseq.tasks.text_to_speech import batch_mel_cepstral_distortion


@pytest.fixture
def recordings() -> list[torch.Tensor]:
    rows = (
        pq.read_table(Path(sample.__file__).with_name("sample_data") / "en_us" / "test" / "0000.parquet")
        .slice(1, 2)
        .to_pylist()
    )
    return [to_mel_rate(audio.decode(row["audio"]["bytes"]))[MEL_RATE : 4 * MEL_RATE] for row in rows]


def test_griffin_lim_is_as_near_as_fairseqs(recordings, monkeypatch) -> None:
    """Phases begin at random there: the waveforms differ, how near their spectrograms come is compared."""
    filters = speech_mel.mel_filters().T.contiguous()  # fairseq has them of librosa, which need not be there
    monkeypatch.setattr(vocoder, "get_mel_filters", lambda *_: filters)
    theirs = vocoder.GriffinLimVocoder(
        sample_rate=MEL_RATE,
        win_size=speech_mel.FFT_SIZE,
        hop_size=speech_mel.MEL_HOP,
        n_fft=speech_mel.FFT_SIZE,
        n_mels=speech_mel.NUM_MELS,
        f_min=speech_mel.LOWEST_HZ,
        f_max=speech_mel.HIGHEST_HZ,
        window_fn=torch.hann_window,
    )
    for waveform in recordings:
        log_mel = speech_log_mel(waveform)
        errors = []
        for spoken in (speak(log_mel), theirs(log_mel).squeeze(0)):
            heard = speech_log_mel(spoken)
            errors.append((heard - log_mel[: len(heard)]).abs().mean().item())
        assert errors[0] < errors[1]
        assert errors[0] < 0.2


def test_distortion(recordings) -> None:
    torch.manual_seed(0)
    noisy = [recordings[0][:30_000] + 0.01 * torch.randn(30_000), recordings[0], recordings[1][5_000:]]
    true = [recordings[0], recordings[1], recordings[1]]
    expected = batch_mel_cepstral_distortion(true, noisy, MEL_RATE, None)
    found = [mel_cepstral_distortion(*pair, MEL_RATE) for pair in zip(true, noisy, strict=True)]
    frames = [path.size(0) for _, (*_, path) in expected]
    np.testing.assert_allclose(found, [float(d) / n for (d, _), n in zip(expected, frames, strict=True)], rtol=1e-4)
