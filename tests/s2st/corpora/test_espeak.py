import sys

import numpy as np
import pytest

from s2st.config import UserError
from s2st.corpora import espeak
from s2st.corpora.espeak import Line, speak, trim

SENTENCES = {
    "en-us": "We meet at the station at half past three",
    "hi": "हम साढ़े तीन बजे स्टेशन पर मिलेंगे",
    "ko": "우리는 세 시 반에 역에서 만나요",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_every_language_speaks_for_a_likely_time(language: str) -> None:
    (samples,) = speak(f"{language}+m7", [Line(SENTENCES[language])])
    assert samples.dtype == np.int16
    assert 1.5 < len(samples) / espeak.SAMPLE_RATE < 4
    assert np.abs(samples).max() > 3000


def test_the_same_call_gives_the_same_samples() -> None:
    """espeak's flutter and breath run on from what was said before, if the library is not loaded afresh."""
    lines = [Line(SENTENCES["en-us"]), Line("My sister works at the bank")]
    first = speak("en-us+f5", lines)
    speak("ko+m3", [Line(SENTENCES["ko"])])
    again = speak("en-us+f5", lines)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_rate_pitch_and_voice_are_heard() -> None:
    text = SENTENCES["en-us"]
    normal, quick, high = speak("en-us+m7", [Line(text), Line(text, rate=200), Line(text, pitch=70)])
    (other,) = speak("en-us+f5", [Line(text)])
    assert len(quick) < 0.95 * len(normal)
    assert not np.array_equal(normal, high)
    assert _pitch(other) > 1.3 * _pitch(normal)
    assert _pitch(high) > 1.05 * _pitch(normal)


def test_silence_is_trimmed_to_the_kept_part() -> None:
    samples = np.zeros(3 * espeak.SAMPLE_RATE, np.int16)
    samples[espeak.SAMPLE_RATE : 2 * espeak.SAMPLE_RATE] = 9000
    kept = int(espeak.KEPT_SILENCE_SECONDS * espeak.SAMPLE_RATE)
    assert len(trim(samples)) == espeak.SAMPLE_RATE + 2 * kept
    assert len(trim(np.zeros(1000, np.int16))) == 0


def test_nothing_to_say_gives_no_samples() -> None:
    assert [len(samples) for samples in speak("hi+m7", [Line("")])] == [0]


def test_unknown_voice_is_named_and_does_not_break_the_next_call() -> None:
    with pytest.raises(UserError, match="no voice 'xx-nonsense'"):
        speak("xx-nonsense", [Line("hello")])
    assert len(speak("en-us+m7", [Line("hello")])[0])


def test_missing_package_tells_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        espeak.variants()
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        speak("en-us", [Line("hello")])


def _pitch(samples: np.ndarray) -> float:
    """Median of the pitch in Hz over loud 50 ms frames, by autocorrelation."""
    size, rate = espeak.SAMPLE_RATE // 20, espeak.SAMPLE_RATE
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    loud = frames[np.abs(frames).max(axis=1) > 0.3 * np.abs(samples.astype(np.int32)).max()]
    spectrum = np.abs(np.fft.rfft(loud, 2 * size)) ** 2
    lags = np.fft.irfft(spectrum)[:, rate // 400 : rate // 60]
    return float(np.median(rate / (lags.argmax(axis=1) + rate // 400)))
