"""Speech while it is being made: the waveform of units, chunk by chunk.

Each chunk is made with all the frames around it that its samples depend on, so that chunks join to the very waveform
that is made at once. Before the first one, durations are predicted only of the units that it needs.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, repeat

import numpy as np
import torch
from torch import Tensor

from s2st.audio import HOP
from s2st.precision import autocast
from s2st.voice import Voice

# Frames of 20 ms. The first chunks are short, to be heard soon; the last size is that of all others.
CHUNK_SIZES = (10, 20, 40, 80, 160)


def stream(
    voice: Voice,
    units: np.ndarray,
    lang: str,
    full: bool = False,
    speaker: str | None = None,
    sizes: Sequence[int] = CHUNK_SIZES,
) -> Iterator[np.ndarray]:
    """Give the waveform of units (L,) as chunks (N,), float32, as `voice.speak` makes it of the same.

    `sizes` are those of the chunks in frames, the last one of all that follow. Raises UserError as `Voice.batch` does.
    """
    if not sizes or min(sizes) < 1:
        raise ValueError(f"sizes {list(sizes)} must be frames of chunks, each 1 or more")
    return _chunks(voice, voice.batch([units], lang, full, speaker), sizes)


def _chunks(voice: Voice, batch: dict[str, Tensor], sizes: Sequence[int]) -> Iterator[np.ndarray]:
    context, start = voice.vocoder.context, 0
    # A unit lasts a frame or more, so that as many units as the first chunk needs frames are enough for it.
    features = _features(voice, batch, sizes[0] + context)
    for size in chain(sizes, repeat(sizes[-1])):
        if start >= features.shape[2]:
            return
        first = max(0, start - context)
        with autocast(voice.device, voice.bf16), torch.no_grad():
            made = voice.vocoder.waveform(features[:, :, first : start + size + context], None)[0]
        yield made[(start - first) * HOP : (start - first + size) * HOP].cpu().numpy()
        if start == 0:
            features = _features(voice, batch, batch["units"].shape[1])
        start += size


def _features(voice: Voice, batch: dict[str, Tensor], count: int) -> Tensor:
    """Embed the first `count` units of a batch of one sequence, as long as each lasts -> (1, C, T)."""
    predictor = voice.vocoder.duration_predictor
    seen = count + (0 if predictor is None else predictor.context)
    part = {name: value[:, :seen] if value.ndim == 2 else value for name, value in batch.items()}
    with autocast(voice.device, voice.bf16):
        features, _, durations = voice.vocoder.features(**part | {"lengths": batch["lengths"].clamp(max=seen)})
    return features[:, :, : int(durations[:, :count].sum())]
