import io

import numpy as np
import pytest
import soundfile

from s2st import audio

TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)).astype(np.float32)


def file_bytes(samples, rate=16_000, format="WAV", subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def frequency(waveform):
    return np.abs(np.fft.rfft(waveform)).argmax() * audio.SAMPLE_RATE / len(waveform)


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
def test_encode_and_decode_keep_the_waveform(format):
    np.testing.assert_allclose(audio.decode(audio.encode(TONE, format)), TONE, atol=1 / 32_000)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_other_rates_are_converted(rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    waveform = audio.decode(file_bytes(tone, rate))
    assert len(waveform) == pytest.approx(16_000, abs=1)
    assert frequency(waveform) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("block", [100, 4_999])
def test_blocks_are_converted_as_the_whole_is(monkeypatch, rate, block):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, rate + 17).astype(np.float32)
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", block)
    found = audio.decode(file_bytes(samples, rate, subtype="FLOAT"))
    np.testing.assert_allclose(found, audio.resample(samples, rate), atol=1e-6)


@pytest.mark.parametrize(("rate", "length"), [(44_100, 180_697), (22_050, 90_348), (11_025, 200_000), (48_000, 48_001)])
def test_no_sample_is_lost_where_rates_do_not_divide(rate, length):
    lengths = [len(audio.decode(file_bytes(np.full(n, 0.1), rate))) for n in range(length, length + rate // 100)]
    assert lengths == [-(-n * 16_000 // rate) for n in range(length, length + rate // 100)]


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_a_part_is_that_of_the_whole(tone, rate):
    buffer = io.BytesIO()
    soundfile.write(buffer, tone, rate, format="FLAC", subtype="PCM_16")
    whole = audio.decode(buffer.getvalue())
    for start, count in ((0, 500), (5000, 3200), (len(whole) - 100, 3200), (len(whole) + 9, 5)):
        np.testing.assert_array_equal(audio.decode_part(buffer.getvalue(), start, count), whole[start : start + count])


def test_stereo_is_averaged():
    waveform = audio.decode(file_bytes(np.stack([TONE, 0 * TONE], axis=1)))
    np.testing.assert_allclose(waveform, TONE / 2, atol=1e-3)


def test_ogg_is_read():
    assert frequency(audio.decode(file_bytes(TONE, format="OGG"))) == pytest.approx(440, abs=1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the audio is empty"),
        (b"hello, this is no audio at all" * 10, "cannot be decoded"),
        (file_bytes(0 * TONE), "silent"),
        (file_bytes(TONE[:100]), "shorter than 25 ms"),
        (file_bytes(TONE[:0]), "shorter than 25 ms"),
        (file_bytes(TONE)[:-16_000], "truncated"),
        (file_bytes(TONE, format="FLAC")[:-5_000], "cannot be decoded|truncated"),
        (file_bytes(np.full(16_000, np.nan), subtype="FLOAT"), "not numbers"),
        (file_bytes(np.zeros((1_000, 9))), "9 channels"),
        (file_bytes(TONE, 44_101), "sample rate of 44101 Hz"),
        (file_bytes(TONE, 2_000), "sample rate of 2000 Hz"),
        (file_bytes(TONE, 2_000_000_000), "sample rate"),
    ],
)
def test_what_is_no_speech_is_refused(data, reason):
    with pytest.raises(audio.AudioError, match=reason):
        audio.decode(data)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_more_samples_than_the_header_says_are_refused(monkeypatch, rate):
    monkeypatch.setattr(audio, "_blocks", lambda file: iter([TONE, TONE]))
    with pytest.raises(audio.AudioError, match="longer than its header says"):
        audio.decode(file_bytes(TONE, rate))


def test_wav_from_a_pipe_is_read():
    data = bytearray(file_bytes(TONE))
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    assert len(audio.decode(bytes(data))) == 16_000


def test_long_audio_is_refused_before_it_is_read():
    with pytest.raises(audio.AudioError, match="longer than 0 s"):
        audio.decode(file_bytes(TONE), max_seconds=0.4)


def test_num_frames_is_what_the_convolutions_give():
    def convolutions(length):
        for kernel, stride in [(10, 5)] + 4 * [(3, 2)] + 2 * [(2, 2)]:
            length = max(0, (length - kernel) // stride + 1)
        return length

    for length in [0, 1, 399, 400, 401, 719, 720, 16_000, 56_011]:
        assert audio.num_frames(length) == convolutions(length)


def test_long_recordings_are_cut_into_equal_parts():
    waveform = np.arange(int(75 * audio.SAMPLE_RATE))
    parts = audio.equal_parts(waveform, 30.0)
    assert len(parts) == 3
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    np.testing.assert_array_equal(np.concatenate(parts), waveform)
    assert audio.equal_parts(waveform[:0], 30.0) == []


def test_a_recording_in_a_file_is_decoded_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 3_000)
    path = tmp_path / "long.flac"
    path.write_bytes(file_bytes(np.tile(TONE, 3), format="FLAC"))
    with open(path, "rb") as file, audio.Recording(file) as recording:
        blocks = list(recording.blocks())
        assert recording.num_samples == 48_000
    assert max(map(len, blocks)) == 3_000
    np.testing.assert_array_equal(np.concatenate(blocks), audio.decode(path.read_bytes()))
    with open(path, "rb") as file, pytest.raises(audio.AudioError, match="longer than 2 s"):
        audio.Recording(file, max_seconds=2.0)
