"""Features of waveforms: padded batches equal one utterance at a time, and long recordings are cut without a seam.

What makes them equal: the convolutions pad nothing, GroupNorm and the normalisation of waveforms take their statistics
from each recording's own samples (the encoder does this for rows of a batch), attention leaves out padding. A recording
that is cut gives its statistics before it is cut: the convolutions' output is that of the whole, frame by frame, and
only attention reaches less far (CPC's LSTM begins anew ten seconds before each piece). With the demo's first
HuBERT, which learned from utterances of 8 s, this changes 2.3% of the units of five minutes of speech; cuts without
overlap, as fairseq's, change 9.8% (benchmarks/seams.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch

from s2st import checkpoint
from s2st.audio import SAMPLE_RATE, WINDOW
from s2st.config import UserError, build
from s2st.features import spectral
from s2st.models.cpc import Cpc
from s2st.models.speech_encoder import SpeechEncoder, Statistics
from s2st.precision import autocast

Encoder = SpeechEncoder | Cpc

BATCH_SECONDS = 20.0  # of speech in one padded batch: right for a CPU; a GPU takes more
MAX_WHOLE_SECONDS = 100.0  # longer recordings are cut: attention over an hour would cost thousands of times its speech
PIECE_SECONDS = 60.0  # of a cut recording, at most, without what the piece sees beside itself
CONTEXT_SECONDS = 10.0  # that a piece sees before and after itself

Kind = Literal["mfcc", "stacked_mfcc", "log_mel", "hubert", "wav2vec2", "cpc"]


@dataclass(frozen=True)
class KindOfFeatures:
    """What a kind of features is made of."""

    frames_per_second: int
    dim: int | None = None  # of a frame; a layer is as wide as its encoder
    encoder: bool = False  # a layer of a trained model
    first_centre: int = WINDOW // 2  # sample in the middle of the first frame's window


KINDS: dict[str, KindOfFeatures] = {
    "mfcc": KindOfFeatures(100, 39),  # as fairseq dumps them for the first iteration of HuBERT
    "stacked_mfcc": KindOfFeatures(50, 65),
    "log_mel": KindOfFeatures(100, 80),
    "hubert": KindOfFeatures(50, encoder=True),
    "wav2vec2": KindOfFeatures(50, encoder=True),
    # modified CPC of GSLM: its layers are those of its LSTM, its convolutions begin before the recording
    "cpc": KindOfFeatures(100, encoder=True, first_centre=79),
}


@dataclass(frozen=True)
class FeaturesConfig:
    kind: Kind = "mfcc"
    layer: int = 0  # of the encoder, counted from 1 as fairseq does
    smoothing: int = 1  # frames that each frame is averaged over; 1 is fairseq's, 3 makes units of small models repeat

    def __post_init__(self) -> None:
        if self.smoothing < 1 or self.smoothing % 2 == 0:
            raise ValueError(f"smoothing={self.smoothing} must be an odd number of frames, such as 1 or 3")
        if self.needs_encoder and not self.layer:
            raise ValueError(f"kind={self.kind} needs layer, counted from 1, such as layer: 9")
        if self.needs_encoder != (self.layer > 0):
            models = ", ".join(name for name, kind in KINDS.items() if kind.encoder)
            raise ValueError(
                f"kind={self.kind} and layer={self.layer} contradict: only {models} have layers, from 1 on"
            )

    @property
    def needs_encoder(self) -> bool:
        return KINDS[self.kind].encoder

    @property
    def frames_per_second(self) -> int:
        return KINDS[self.kind].frames_per_second

    @property
    def dim(self) -> int | None:
        """Number of features of a frame; None for a layer, which is as wide as its encoder."""
        return KINDS[self.kind].dim


MODELS: dict[str, tuple[str, ...]] = {
    "hubert": ("hubert", "speech_encoder"),
    "wav2vec2": ("speech_encoder",),
    "cpc": ("cpc",),
}


def check_encoder(folder: str, features: FeaturesConfig, where: str) -> int:
    """Give the number of features of a frame, without reading weights.

    Raises UserError if the model of the folder has no such features.
    """
    found = checkpoint.read_config(folder, *MODELS[features.kind])
    architecture = found["info"].get("architecture", features.kind)
    if architecture != features.kind:
        raise UserError(
            f"{where}: {folder} holds a {architecture}; write kind: {architecture}, or name another encoder"
        )
    config: Any = build(checkpoint.MODELS[found["model"]][0], found["config"], folder)
    if features.layer > config.num_layers:
        raise UserError(f"{where}: layer={features.layer}, but {folder} has {config.num_layers}; choose one it has")
    if config.hop * features.frames_per_second != SAMPLE_RATE:
        raise UserError(
            f"{where}: the encoder in {folder} makes a frame of {config.hop} samples, and features of kind "
            f"{features.kind} have {SAMPLE_RATE // features.frames_per_second}; take an encoder with that stride"
        )
    return config.width


def load_encoder(folder: str, features: FeaturesConfig) -> Encoder:
    """Read the encoder of some features; raises UserError as `check_encoder` does."""
    check_encoder(folder, features, "encoder")
    encoder, _ = checkpoint.load(folder)
    assert isinstance(encoder, SpeechEncoder | Cpc)
    return encoder


@dataclass(frozen=True)
class Piece:
    """Frames start to stop of a recording that are encoded together; those from keep_from to keep_to are kept."""

    start: int
    stop: int
    keep_from: int
    keep_to: int


def is_long(waveform: np.ndarray) -> bool:
    """Tell whether a recording is cut."""
    return len(waveform) > MAX_WHOLE_SECONDS * SAMPLE_RATE


def cut(num_frames: int, piece: int, context: int) -> list[Piece]:
    """Cut a recording into equal pieces of at most `piece` frames that see `context` frames beside themselves."""
    count = -(-num_frames // piece)
    edges = [num_frames * i // count for i in range(count + 1)]
    return [
        Piece(max(0, first - context), min(num_frames, last + context), first, last) for first, last in pairwise(edges)
    ]


class FeatureExtractor:
    """Waveforms to features."""

    def __init__(
        self,
        config: FeaturesConfig,
        encoder: Encoder | None = None,
        batch_seconds: float = BATCH_SECONDS,
        bf16: bool = False,
    ):
        assert config.needs_encoder == (encoder is not None)
        self.config, self.encoder, self.batch_seconds, self.bf16 = config, encoder, batch_seconds, bf16

    def __call__(self, waveforms: Sequence[np.ndarray], alone: bool = False) -> list[np.ndarray]:
        """Give the features (T, D), float32, of each waveform (N,); `alone`: without batches."""
        if self.encoder is None:
            functions = {"mfcc": spectral.mfcc, "stacked_mfcc": spectral.stacked_mfcc, "log_mel": spectral.log_mel}
            features = [np.asarray(functions[self.config.kind](waveform)) for waveform in waveforms]
        else:
            features = self._encode(waveforms, alone)
        return [self.smooth(value) for value in features]

    def smooth(self, features: np.ndarray) -> np.ndarray:
        """Average each frame of features (T, D) with its neighbours; the edges repeat."""
        reach = self.config.smoothing // 2
        if not reach or not len(features):
            return features
        padded = np.pad(features, ((reach, reach), (0, 0)), "edge")
        return np.lib.stride_tricks.sliding_window_view(padded, self.config.smoothing, axis=0).mean(axis=2)

    @torch.inference_mode()
    def _encode(self, waveforms: Sequence[np.ndarray], alone: bool) -> list[np.ndarray]:
        features: list[np.ndarray] = [np.empty(0)] * len(waveforms)
        whole = [i for i, waveform in enumerate(waveforms) if not is_long(waveform)]
        for batch in self._batches([len(waveforms[i]) for i in whole], alone):
            indices = [whole[place] for place in batch]
            for i, value in zip(indices, self._encode_batch([waveforms[i] for i in indices]), strict=True):
                features[i] = value
        for i in set(range(len(waveforms))) - set(whole):
            features[i] = self._encode_pieces(waveforms[i])
        return features

    def _encode_pieces(self, waveform: np.ndarray) -> np.ndarray:
        """Encode a long recording in pieces that overlap."""
        encoder = self.encoder
        assert encoder is not None
        lengths = torch.tensor([len(waveform)])
        rate, statistics = self.config.frames_per_second, None
        if isinstance(encoder, SpeechEncoder):
            statistics = encoder.statistics(torch.tensor(waveform)[None].to(self._device), lengths.to(self._device))
        pieces = cut(int(encoder.frame_lengths(lengths)), int(PIECE_SECONDS * rate), int(CONTEXT_SECONDS * rate))
        parts = []
        for piece in pieces:  # each alone, so that units do not depend on the size of batches
            samples = encoder.config.samples(piece.start, piece.stop)
            if piece is pieces[-1]:
                samples = slice(samples.start, None)  # CPC's last frames hear what is left over
            (values,) = self._encode_batch([waveform[samples]], statistics)
            parts.append(values[piece.keep_from - piece.start : piece.keep_to - piece.start])
        return np.concatenate(parts)

    def _batches(self, lengths: Sequence[int], alone: bool) -> list[list[int]]:
        batches: list[list[int]] = [[]]
        for index in np.argsort(lengths, kind="stable"):
            full = alone or lengths[index] * (len(batches[-1]) + 1) > self.batch_seconds * SAMPLE_RATE
            # padding costs as much as speech: no utterance is more than a fourth longer than its batch's shortest
            if batches[-1] and (full or lengths[index] > 1.25 * lengths[batches[-1][0]]):
                batches.append([])
            batches[-1].append(int(index))
        return batches if lengths else []

    def _encode_batch(self, waveforms: Sequence[np.ndarray], statistics: Statistics | None = None) -> list[np.ndarray]:
        assert self.encoder is not None
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = torch.zeros(len(waveforms), int(lengths.max()))
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = torch.tensor(waveform)  # a copy: arrays that Ray hands over are read-only
        # On GPUs cuDNN would round to 10 bits (TF32) and choose other algorithms for other shapes.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with exact, autocast(self._device, self.bf16):
            given = {} if statistics is None else {"statistics": statistics}
            features, frames = self.encoder.extract(
                padded.to(self._device), lengths.to(self._device), self.config.layer, **given
            )
        rows = features.float().cpu().numpy()
        return [row[:length] for row, length in zip(rows, frames.tolist(), strict=True)]

    @property
    def _device(self) -> torch.device:
        assert self.encoder is not None
        return next(self.encoder.parameters()).device
