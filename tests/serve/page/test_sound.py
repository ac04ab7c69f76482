"""What the page computes of sound, against what the project and numpy compute."""

import io

import numpy as np
import pytest
import soundfile

from s2st import audio

RESAMPLE = """async ([rate, samples, cuts]) => {
    const { Resampler, concatenate } = await import("/page/waveform.js");
    const resampler = new Resampler(rate);
    const blocks = cuts.map((cut, i) => resampler.push(Float32Array.from(samples.slice(cuts[i - 1] ?? 0, cut))));
    return [...concatenate([...blocks, resampler.flush()])];
}"""


@pytest.fixture(scope="module")
def page(chromium, running):
    page = chromium.new_page()
    page.goto(running.address)
    return page


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_speech_and_drops_what_would_fold(page, rate):
    time = np.arange(rate // 5) / rate
    low = np.sin(2 * np.pi * 1_000 * time)
    expected = np.sin(2 * np.pi * 1_000 * np.arange(audio.SAMPLE_RATE // 5) / audio.SAMPLE_RATE)
    kept = np.array(page.evaluate(RESAMPLE, [rate, low.tolist(), [len(low)]]))
    assert len(kept) == len(expected)
    inner = slice(200, -200)
    np.testing.assert_allclose(kept[inner], expected[inner], atol=2e-3)
    if rate > 22_050:
        high = np.sin(2 * np.pi * 10_000 * time)
        folded = np.array(page.evaluate(RESAMPLE, [rate, high.tolist(), [len(high)]]))
        assert np.abs(folded[inner]).max() < 2e-3


def test_resampling_in_parts_is_resampling_the_whole(page):
    noise = np.random.default_rng(0).standard_normal(5_000).astype(np.float32).tolist()
    whole = page.evaluate(RESAMPLE, [44_100, noise, [5_000]])
    parts = page.evaluate(RESAMPLE, [44_100, noise, [1, 2, 130, 131, 2_500, 2_500, 4_999, 5_000]])
    assert parts == whole


def test_the_transform_is_fouriers(page):
    samples = np.random.default_rng(0).standard_normal((2, 64))
    real, imaginary = page.evaluate(
        """async (parts) => {
            const { transform } = await import("/page/spectrogram.js");
            const [real, imaginary] = parts.map((part) => Float64Array.from(part));
            transform(real, imaginary);
            return [[...real], [...imaginary]];
        }""",
        samples.tolist(),
    )
    expected = np.fft.fft(samples[0] + 1j * samples[1])
    np.testing.assert_allclose(np.array(real) + 1j * np.array(imaginary), expected, atol=1e-9)


@pytest.mark.parametrize("hertz", [200, 1_000, 6_000])
def test_a_tone_is_one_line_of_the_spectrogram(page, hertz):
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(8_000) / audio.SAMPLE_RATE)
    levels, bands = page.evaluate(
        """async (samples) => {
            const { logMel, BANDS } = await import("/page/spectrogram.js");
            return [[...logMel(Float32Array.from(samples))], BANDS];
        }""",
        tone.tolist(),
    )
    frames = np.reshape(levels, (-1, bands))
    assert frames.min() >= 0
    assert frames.max() == pytest.approx(1)
    mel = 2595 * np.log10(1 + np.array([hertz, audio.SAMPLE_RATE / 2]) / 700)
    expected = mel[0] / mel[1] * (bands + 1) - 1
    assert np.abs(frames[20:-20].argmax(1) - expected).max() < 1.5


def test_wav_files_are_what_the_project_writes(page):
    samples = np.array([0, 0.25, -0.25, 1, -1, 1.5, -1.5, 1 / 32_768, 0.3], np.float32)
    data = page.evaluate(
        """async (samples) => {
            const { encodeWav } = await import("/page/waveform.js");
            return [...new Uint8Array(await encodeWav(Float32Array.from(samples)).arrayBuffer())];
        }""",
        samples.tolist(),
    )
    heard, rate = soundfile.read(io.BytesIO(bytes(data)), dtype="int16")
    assert rate == audio.SAMPLE_RATE
    np.testing.assert_array_equal(heard, audio.to_int16(samples))
