"""Speech of units that are still coming: chunks of the waveform as soon as nothing that follows can change them.

A duration depends on some units to each side, a sample on some frames to each side. What lies that far before the end
of what is known is settled, and is made with all that it depends on, so that chunks join to the very waveform that
`Voice.speak` makes of all units at once.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from s2st.audio import HOP
from s2st.precision import autocast
from s2st.voice import Voice

# Frames of 20 ms. The first chunks are short, to be heard soon; the last size is that of all others.
CHUNK_SIZES = (10, 20, 40, 80, 160)
UNITS_AT_ONCE = 8  # whose durations are predicted together: each prediction has a cost of its own


class GrowingSpeech:
    """Takes reduced units some at a time, and gives the waveform in chunks (N,), float32, in [-1, 1].

    `sizes` are those of the chunks in frames, the last one of all that follow. A chunk may differ from that of the
    whole by rounding, about 1e-7.
    """

    def __init__(self, voice: Voice, lang: str, speaker: str | None = None, sizes: Sequence[int] = CHUNK_SIZES):
        self.voice, self.lang, self.speaker = voice, lang, speaker
        self.sizes = list(sizes)
        self.units = np.zeros(0, np.int32)  # those without a duration, after those that their durations depend on
        self.timed = 0  # how many of `units` have a duration
        self.end_of_timed = torch.zeros(1, 1, dtype=torch.float64, device=voice.device)  # in frames, not rounded
        self.durations: list[int] = []  # in frames, of all units that have one
        self.features: torch.Tensor | None = None  # (1, C, T) of frames not spoken, after those that they depend on
        self.spoken = 0  # how many frames of `features` are spoken

    def add(self, units: np.ndarray) -> Iterator[np.ndarray]:
        """Take the next units (L,) and give what is settled by them; run it to its end.

        Raises UserError as `Voice.speak` does.
        """
        self.units = np.concatenate([self.units, units])
        settled = len(self.units) - self.voice.vocoder.duration_context
        if settled - self.timed >= UNITS_AT_ONCE:
            self._time(settled)
        yield from self._chunks(ended=False)

    def end(self) -> Iterator[np.ndarray]:
        """Give the rest: no unit follows."""
        self._time(len(self.units))
        yield from self._chunks(ended=True)

    @torch.no_grad()
    def _time(self, count: int) -> None:
        """Give durations, and with them frames, to units up to number `count` of those that are held."""
        if count <= self.timed:
            return
        vocoder, now = self.voice.vocoder, slice(self.timed, count)
        batch = self.voice.batch([self.units], self.lang, speaker=self.speaker)
        expected = vocoder.expected_durations(batch["units"], torch.ones_like(batch["units"], dtype=torch.bool))
        durations, self.end_of_timed = vocoder.round_durations(expected[:, now], self.end_of_timed)
        batch |= {"units": batch["units"][:, now], "lengths": torch.full_like(batch["lengths"], count - self.timed)}
        with autocast(self.voice.device, self.voice.bf16):
            features, _, _ = vocoder.features(**batch, durations=durations)
        self.features = features if self.features is None else torch.cat([self.features, features], 2)
        self.durations += durations[0].tolist()
        past = max(0, count - vocoder.duration_context)
        self.units, self.timed = self.units[past:], count - past

    def _chunks(self, ended: bool) -> Iterator[np.ndarray]:
        """Speak the frames that are settled, in full chunks; once the units have ended, all that are left."""
        context = self.voice.vocoder.context
        while self.features is not None:
            size, left = self.sizes[0], self.features.shape[2] - self.spoken
            if not left or (not ended and left < size + context):
                return
            end = self.spoken + min(size, left)
            with autocast(self.voice.device, self.voice.bf16), torch.no_grad():
                made = self.voice.vocoder.waveform(self.features[:, :, : end + context], None)[0]
            chunk = made[self.spoken * HOP : end * HOP].cpu().numpy()
            past = max(0, end - context)
            self.features, self.spoken = self.features[:, :, past:], end - past
            del self.sizes[: len(self.sizes) > 1]
            yield chunk


def stream(
    voice: Voice, units: np.ndarray, lang: str, speaker: str | None = None, sizes: Sequence[int] = CHUNK_SIZES
) -> Iterator[np.ndarray]:
    """Give the waveform of reduced units (L,), which are all known, in chunks (N,); see GrowingSpeech."""
    speech, vocoder = GrowingSpeech(voice, lang, speaker, sizes), voice.vocoder
    # a unit lasts a frame or more, so that these are enough for the first chunk
    first = sizes[0] + vocoder.context + vocoder.duration_context
    for part in (units[:first], units[first:]):
        yield from speech.add(part)
    yield from speech.end()
