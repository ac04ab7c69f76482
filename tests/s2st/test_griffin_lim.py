from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from s2st import audio
from s2st.audio import SAMPLE_RATE
from s2st.corpora import sample
from s2st.features.speech_mel import MEL_RATE, speech_log_mel, to_mel_rate
from s2st.griffin_lim import speak, speak_resampled


def tones() -> torch.Tensor:
    """A second of three tones, each louder than the one before."""
    seconds = torch.arange(MEL_RATE) / MEL_RATE
    return sum(0.1 * k * torch.sin(2 * np.pi * 300 * k * seconds) for k in (1, 2, 3)) * (0.2 + seconds)


def test_speech_sounds_as_its_spectrogram() -> None:
    log_mel = speech_log_mel(tones())
    waveform = speak(log_mel)
    assert waveform.shape == (256 * (len(log_mel) - 1),)
    heard = speech_log_mel(waveform)
    assert len(heard) == len(log_mel)
    loud = log_mel > -3
    assert (heard - log_mel)[loud].abs().mean() < 0.2
    torch.testing.assert_close(speak(log_mel), waveform, msg="it is the same each time")


def test_a_recording_comes_near_itself() -> None:
    """0.14 in natural logarithms on the whole recordings of the test split that were tried."""
    folder = Path(sample.__file__).with_name("sample_data") / "en_us" / "test"
    (row,) = pq.read_table(folder / "0000.parquet").slice(1, 1).to_pylist()
    log_mel = speech_log_mel(to_mel_rate(audio.decode(row["audio"]["bytes"]))[MEL_RATE : 4 * MEL_RATE])
    heard = speech_log_mel(speak(log_mel))
    assert (heard - log_mel[: len(heard)]).abs().mean() < 0.2


def test_at_the_rate_of_all_speech() -> None:
    log_mel = speech_log_mel(tones())
    waveform = speak_resampled(log_mel)
    assert waveform.dtype == np.float32
    assert abs(len(waveform) - 256 * (len(log_mel) - 1) * SAMPLE_RATE / MEL_RATE) < 1
    loudest = np.abs(np.fft.rfft(waveform)).argmax() * SAMPLE_RATE / len(waveform)
    assert abs(loudest - 900) < 10


def test_what_is_too_short_is_silent() -> None:
    assert speak(torch.zeros(0, 80)).shape == (0,)
    assert not speak(torch.zeros(3, 80)).any()
    silence = speak_resampled(torch.zeros(1, 80))
    assert (silence.shape, silence.dtype) == ((0,), np.float32)
    assert np.isfinite(speak(torch.full((4, 80), -11.5))).all()
