"""Speech to units: features of a waveform, and for each frame the number of its nearest centroid.

On disk: a folder with the codebook, and below it `encoder/` if the features are a layer of HuBERT.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from s2st import checkpoint
from s2st.audio import HOP, SAMPLE_RATE
from s2st.config import UserError, build, to_mapping
from s2st.features import spectral
from s2st.models.codebook import Codebook
from s2st.models.hubert import Hubert

BATCH_SECONDS = 20.0  # of speech in one padded batch: right for a CPU; a GPU takes more


@dataclass(frozen=True)
class FeaturesConfig:
    kind: Literal["mfcc", "stacked_mfcc", "hubert"] = "mfcc"  # mfcc is fairseq's: 39-d at 100 Hz
    layer: int = 0  # of HuBERT, counted from 1 as fairseq does
    smoothing: int = 1  # frames that each frame is averaged over; 1 is fairseq's, 3 makes units of small models repeat

    def __post_init__(self) -> None:
        if self.smoothing < 1 or self.smoothing % 2 == 0:
            raise ValueError(f"smoothing={self.smoothing} must be an odd number of frames, such as 1 or 3")
        if (self.kind == "hubert") != (self.layer > 0):
            raise ValueError(f"kind={self.kind} and layer={self.layer} contradict: only hubert has layers, from 1 on")


class FeatureExtractor:
    """Waveforms to features, in padded batches that equal one at a time."""

    def __init__(self, config: FeaturesConfig, encoder: Hubert | None = None, batch_seconds: float = BATCH_SECONDS):
        if config.kind == "hubert" and encoder is None:
            raise ValueError("features of kind hubert need an encoder; name the section that trains it")
        if encoder is not None and encoder.config.hop != HOP:
            raise UserError(f"the encoder makes a frame of {encoder.config.hop} samples; units need {HOP}")
        self.config, self.encoder, self.batch_seconds = config, encoder, batch_seconds

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give the features (T, D), float32, of each waveform (N,)."""
        if self.encoder is None:
            function = {"mfcc": spectral.mfcc, "stacked_mfcc": spectral.stacked_mfcc}[self.config.kind]
            return [self._smooth(np.asarray(function(waveform))) for waveform in waveforms]
        features: list[np.ndarray] = [np.empty(0)] * len(waveforms)
        for indices in self._batches([len(waveform) for waveform in waveforms]):
            for index, value in zip(indices, self._encode([waveforms[i] for i in indices]), strict=True):
                features[index] = self._smooth(value)
        return features

    def _smooth(self, features: np.ndarray) -> np.ndarray:
        """Average each frame of features (T, D) with its neighbours; the edges repeat."""
        reach = self.config.smoothing // 2
        if not reach or not len(features):
            return features
        padded = np.pad(features, ((reach, reach), (0, 0)), "edge")
        return np.lib.stride_tricks.sliding_window_view(padded, self.config.smoothing, axis=0).mean(axis=2)

    def _batches(self, lengths: Sequence[int]) -> list[list[int]]:
        batches: list[list[int]] = [[]]
        for index in np.argsort(lengths, kind="stable"):
            full = lengths[index] * (len(batches[-1]) + 1) > self.batch_seconds * SAMPLE_RATE
            # padding costs as much as speech: no utterance is more than a fourth longer than its batch's shortest
            if batches[-1] and (full or lengths[index] > 1.25 * lengths[batches[-1][0]]):
                batches.append([])
            batches[-1].append(int(index))
        return batches

    @torch.inference_mode()
    def _encode(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        assert self.encoder is not None
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        padded = torch.zeros(len(waveforms), int(lengths.max()))
        for row, waveform in zip(padded, waveforms, strict=True):
            row[: len(waveform)] = torch.tensor(waveform)  # a copy: arrays that Ray hands over are read-only
        device = next(self.encoder.parameters()).device
        features, frames = self.encoder.extract(padded.to(device), lengths.to(device), self.config.layer)
        rows = features.float().cpu().numpy()
        return [row[:length] for row, length in zip(rows, frames.tolist(), strict=True)]


class SpeechToUnits:
    """Waveforms to units."""

    def __init__(self, extractor: FeatureExtractor, codebook: Codebook):
        self.extractor, self.codebook = extractor, codebook

    @classmethod
    def load(cls, folder: str, device: str = "cpu", batch_seconds: float = BATCH_SECONDS) -> "SpeechToUnits":
        """Read a codebook and its encoder from a folder that `save` wrote."""
        codebook, info = checkpoint.load(folder, "codebook")
        assert isinstance(codebook, Codebook)
        features = build(FeaturesConfig, info["features"], folder)
        encoder: Hubert | None = None
        if features.kind == "hubert":
            model, _ = checkpoint.load(f"{folder}/encoder", "hubert")
            assert isinstance(model, Hubert)
            encoder = model.to(device)
        return cls(FeatureExtractor(features, encoder, batch_seconds), codebook.to(device))

    def save(self, folder: str, info: dict[str, object]) -> None:
        """Write the codebook with what it was fitted on, and the encoder, into a folder."""
        features = to_mapping(self.extractor.config)
        checkpoint.save(folder, self.codebook, {**info, "features": features, "fingerprint": self.fingerprint})
        if self.extractor.encoder is not None:
            checkpoint.save(f"{folder}/encoder", self.extractor.encoder)

    @property
    def fingerprint(self) -> str:
        """Name of these units: models trained on units of one fingerprint understand no others."""
        return str(self.origin["codebook"])

    @property
    def origin(self) -> dict[str, Any]:
        """The columns `encoder`, `layer` and `codebook` of UNITS."""
        encoder = self.extractor.encoder
        name = "" if encoder is None else checkpoint.fingerprint(encoder)
        config = self.extractor.config
        names = [config.kind, str(config.layer), str(config.smoothing), checkpoint.fingerprint(self.codebook), name]
        return {"encoder": name, "layer": config.layer, "codebook": "-".join(filter(None, names))}

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give the units (T,), int32, of each waveform (N,); T is num_frames(N), or about double for mfcc."""
        device = self.codebook.centroids.device
        features = self.extractor(waveforms)
        units = [self.codebook(torch.from_numpy(value).to(device)).cpu().numpy() for value in features]
        return [value.astype(np.int32) for value in units]

    @torch.inference_mode()
    def quantize(self, features: np.ndarray) -> np.ndarray:
        """Give the units (T,), int32, of features (T, D) that were extracted elsewhere, and not averaged."""
        smooth = torch.from_numpy(self.extractor._smooth(features))
        return self.codebook(smooth.to(self.codebook.centroids.device)).cpu().numpy().astype(np.int32)


def units_info(folder: str) -> tuple[str, int]:
    """Read from a codebook's folder the fingerprint and the number of its units, without weights."""
    config = checkpoint.read_config(folder, "codebook")
    return config["info"]["fingerprint"], config["config"]["num_units"]


def describe_units(fingerprint: str) -> str:
    """Say what kind of units a fingerprint names: "hubert layer 9", "mfcc"."""
    kind, layer = fingerprint.split("-")[:2]
    return f"{kind} layer {layer}" if layer != "0" else kind.replace("_", " ")
