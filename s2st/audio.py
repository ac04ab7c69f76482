"""Audio in and out, and the rates that everything else is derived from.

Waveforms are one-dimensional float32 arrays in [-1, 1], mono, at SAMPLE_RATE.
"""

import io
import math
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
import soundfile
import torch
import torchaudio

SAMPLE_RATE = 16_000  # samples a second, everywhere inside the project
HOP = 320  # samples a unit: 20 ms, the total stride of HuBERT's convolutions
WINDOW = 400  # samples that one HuBERT frame sees: 25 ms
UNITS_PER_SECOND = SAMPLE_RATE // HOP
MAX_SECONDS = 4 * 3600.0  # longer recordings are refused, so that one file cannot fill the memory
BLOCK_SAMPLES = 1 << 20  # of each channel, decoded at once
MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 4_000, 192_000  # Hz, of recordings that are read
FILTER_REACH = 7  # samples of the lower rate that torchaudio's filter sees to each side: 6 / 0.99
MAX_PHASES = 1_000  # of a resampling filter, which grows with both rates over their common factor
STREAMED_WAV_BYTES = (1 << 31) - (1 << 16)
SILENCE = 1e-4  # peak amplitude under which a recording counts as silent (-80 dB)


class AudioError(ValueError):
    """The bytes hold no speech that can be used; the message says why, in one short sentence."""


class LongError(AudioError):
    """The audio is longer than whoever reads it takes."""


class SilentError(AudioError):
    """The audio is silent, or too short to be speech."""


def num_frames(num_samples: int) -> int:
    """Number of 50 Hz frames that HuBERT's convolutions make of `num_samples`."""
    return max(0, 1 + (num_samples - WINDOW) // HOP)


def decode(data: bytes, max_seconds: float = MAX_SECONDS) -> np.ndarray:
    """Decode any format libsndfile reads into a waveform: mono, SAMPLE_RATE.

    Raises AudioError if the bytes are empty, not audio, truncated, silent, too short or too long.
    """
    with Recording(io.BytesIO(data), max_seconds) as recording:
        return recording.waveform()


class Recording:
    """A recording in any format libsndfile reads, decoded a block at a time. Close it after use.

    Raises AudioError for what is empty, no audio, or longer than `max_seconds`.
    """

    def __init__(self, file: BinaryIO, max_seconds: float = MAX_SECONDS):
        if not file.seek(0, io.SEEK_END):
            raise AudioError("the audio is empty")
        file.seek(0)
        try:
            self._file = soundfile.SoundFile(file)
        except soundfile.LibsndfileError as error:
            raise _undecodable(error) from None
        self.num_samples = -(-self._file.frames * SAMPLE_RATE // self._file.samplerate)  # at SAMPLE_RATE
        if self._file.frames > max_seconds * self._file.samplerate:
            raise LongError(f"the audio is longer than {max_seconds:.0f} s; cut it")
        if self._file.channels > MAX_CHANNELS:
            raise AudioError(f"the audio has {self._file.channels} channels, more than {MAX_CHANNELS}")
        _check_rate(self._file.samplerate)

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def waveform(self) -> np.ndarray:
        """Give the whole of it; raises AudioError as `blocks` does, and where it is silent or too short."""
        waveform, filled = np.empty(self.num_samples, np.float32), 0
        for part in self.blocks():
            waveform[filled : filled + len(part)] = part
            filled += len(part)
        if len(waveform) < WINDOW:
            raise SilentError(f"the audio is shorter than {1000 * WINDOW // SAMPLE_RATE} ms")
        if max(waveform.max(), -waveform.min()) < SILENCE:
            raise SilentError("the audio is silent")
        return waveform

    def blocks(self) -> Iterator[np.ndarray]:
        """Give its samples as waveforms (N,), mono, SAMPLE_RATE, that join to num_samples.

        Raises AudioError where they cannot be decoded, are no numbers, or are fewer or more than the header says.
        """
        count = 0
        try:
            for part in resample_blocks(_blocks(self._file), self._file.samplerate):
                if not np.isfinite(part).all():
                    raise AudioError("the audio holds samples that are not numbers")
                count += len(part)
                if count > self.num_samples:  # of some damaged MP3
                    raise AudioError("the audio is longer than its header says; it is damaged")
                yield part
            promised_bytes = re.search(r"data : (\d+) \(should be", self._file.extra_info)
        except soundfile.LibsndfileError as error:
            raise _undecodable(error) from None
        # A WAV that was written to a pipe promises 2^31 bytes or more, as nobody knew its length: that is no fault.
        if count < self.num_samples or (promised_bytes and int(promised_bytes[1]) < STREAMED_WAV_BYTES):
            raise AudioError("the audio is truncated")


def decode_part(data: bytes, start: int, count: int) -> np.ndarray:
    """Decode `count` samples from sample `start` on, of a waveform that `decode` reads: (count,), or fewer at its end.

    Of one that is mono and at SAMPLE_RATE, as those of manifests are, nothing else is decoded. Raises AudioError for
    what is no audio.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if (file.samplerate, file.channels) == (SAMPLE_RATE, 1):
                file.seek(min(start, file.frames))
                return file.read(count, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise _undecodable(error) from None
    return decode(data)[start : start + count]


def _undecodable(error: soundfile.LibsndfileError) -> AudioError:
    return AudioError(f"the audio cannot be decoded ({error.error_string.strip().rstrip('.')})")


def _blocks(file: soundfile.SoundFile) -> Iterator[np.ndarray]:
    """Decode a recording some samples (N,) at a time; channels are averaged."""
    while len(samples := file.read(BLOCK_SAMPLES, dtype="float32")):
        yield samples.mean(axis=1) if samples.ndim == 2 else samples


def _check_rate(rate: int) -> None:
    """Refuse rates that no recorder has: the filter for 44,101 Hz alone would fill gigabytes."""
    if not MIN_RATE <= rate <= MAX_RATE or rate // math.gcd(rate, SAMPLE_RATE) > MAX_PHASES:
        raise AudioError(f"the audio has a sample rate of {rate} Hz; convert it to 16000 Hz")


def resample(waveform: np.ndarray, rate: int) -> np.ndarray:
    """Change the sample rate of a waveform (N,) from `rate` to SAMPLE_RATE: (N * SAMPLE_RATE / rate,), rounded up."""
    if rate == SAMPLE_RATE:
        return np.ascontiguousarray(waveform, dtype=np.float32)
    # torchaudio counts samples in float32, and of some lengths gives one too few: silence after the end gives more.
    padded = torch.nn.functional.pad(torch.from_numpy(waveform), (0, 1 + rate // SAMPLE_RATE))
    converted = torchaudio.functional.resample(padded, rate, SAMPLE_RATE)
    return converted.numpy().astype(np.float32)[: -(-len(waveform) * SAMPLE_RATE // rate)]


def resample_blocks(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """Change the sample rate of a recording that comes in blocks (N,), as `resample` does that of the whole."""
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    step = rate // math.gcd(rate, SAMPLE_RATE)  # samples that make a whole number of new ones
    context = step * math.ceil(FILTER_REACH * max(1, rate / SAMPLE_RATE) / step)
    held, done = np.zeros(0, np.float32), 0  # how many of those held are converted, and only there to be seen
    for block in blocks:
        held = np.concatenate([held, block])
        ready = (len(held) - context) // step * step
        if ready > done:
            converted = resample(held[: ready + context], rate)
            yield converted[done * SAMPLE_RATE // rate : ready * SAMPLE_RATE // rate]
            held, done = held[max(0, ready - context) :], min(ready, context)
    yield resample(held, rate)[done * SAMPLE_RATE // rate :]


def equal_parts(waveform: np.ndarray, longest_seconds: float) -> list[np.ndarray]:
    """Cut a waveform (N,) into as few parts as none is longer than so many seconds, all about equally long."""
    count = -(-len(waveform) // int(longest_seconds * SAMPLE_RATE))
    return np.array_split(waveform, count) if count else []


def to_int16(waveform: np.ndarray) -> np.ndarray:
    """Bring a waveform to 16 bits: exact for one that was decoded from 16 bits at SAMPLE_RATE."""
    scaled = waveform * 32768
    np.rint(scaled, out=scaled)
    return np.clip(scaled, -32768, 32767, out=scaled).astype(np.int16)


def encode(waveform: np.ndarray, format: str = "FLAC") -> bytes:
    """Encode a waveform as 16-bit FLAC, WAV or RAW; samples outside [-1, 1] are clipped."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(waveform, -1.0, 1.0), SAMPLE_RATE, format=format, subtype="PCM_16")
    return buffer.getvalue()
