import sys

import numpy as np
import pytest

from s2st.config import UserError
from s2st.corpora import espeak
from s2st.corpora.espeak import SILENCE, Line, Phone, place, speak, speak_phones, trim

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


@pytest.mark.parametrize("language", SENTENCES)
def test_phones_change_no_sample_and_cover_the_line(language: str) -> None:
    lines = [Line(SENTENCES[language]), Line(SENTENCES[language], rate=200, pitch=60)]
    silent, spoken = speak(f"{language}+f5", lines), speak_phones(f"{language}+f5", lines)
    for samples, (same, phones) in zip(silent, spoken, strict=True):
        np.testing.assert_array_equal(same, samples)
        starts = [phone.start for phone in phones]
        assert starts == sorted(set(starts))
        assert starts[0] == 0
        assert starts[-1] < len(samples)
    (_, once), (_, quicker) = spoken
    assert [p.name for p in once if p.name != SILENCE] == [p.name for p in quicker if p.name != SILENCE]
    assert quicker[-2].start < 0.95 * once[-2].start


def test_phones_are_ipa_and_where_they_sound() -> None:
    ((samples, phones),) = speak_phones("en-us+m7", [Line("Hello. A zoo.")])
    expected = ["h", "ə", "l", "oʊ", SILENCE, "ɐ", "z", "uː", SILENCE]
    assert [phone.name for phone in phones] == [SILENCE, *expected]
    assert phones[1].start < 0.02 * espeak.SAMPLE_RATE
    starts = [phone.start for phone in phones[1:]] + [len(samples)]
    sounds = dict(
        zip(expected, map(samples.__getitem__, map(slice, starts, starts[1:])), strict=True)
    )  # the last pause
    loudness = {name: np.abs(sound.astype(int)).mean() for name, sound in sounds.items()}
    assert loudness.pop(SILENCE) < 0.1 * min(loudness.values())
    assert _high_share(sounds["z"]) > 5 * max(_high_share(sounds["uː"]), _high_share(sounds["oʊ"]))


def test_phones_of_a_foreign_word_are_phones_alone() -> None:
    ((_, phones),) = speak_phones("hi+m7", [Line("hello")])
    assert [phone.name for phone in phones] == [SILENCE, "h", "ə", "l", "əʊ", SILENCE]
    ((_, phones),) = speak_phones("hi+m7", [Line("")])
    assert phones == []


def test_silence_before_a_stop_is_its_own_and_pauses_stay() -> None:
    samples = np.zeros(9000, np.int16)
    samples[2000:4000] = samples[5000:7000] = 9000  # a until 4000, silence, t from 5000
    marks = [Phone("a", 1800), Phone("t", 5000), Phone(SILENCE, 7500), Phone(SILENCE, 8000)]
    first = 2000 - int(espeak.KEPT_SILENCE_SECONDS * espeak.SAMPLE_RATE)
    expected = [(SILENCE, 0), ("a", 1800 - first), ("t", 4000 - first), (SILENCE, 7000 - first)]
    assert [(phone.name, phone.start) for phone in place(samples, marks)] == expected
    paused = [Phone("a", 2000), Phone(SILENCE, 4000), Phone("t", 5000)]
    assert [p.start + first for p in place(samples, paused)] == [first, 2000, 4000, 5000]


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


def _high_share(samples: np.ndarray) -> float:
    """Share of the power above 4 kHz, where z hisses and vowels have next to nothing."""
    power = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    return float(power[len(power) * 4000 * 2 // espeak.SAMPLE_RATE :].sum() / power.sum())
