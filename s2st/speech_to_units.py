"""Speech to units: features of a waveform, and for each frame the number of its nearest centroid.

On disk: a folder with the codebook, and below it `encoder/` if the features are a layer of a model.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from s2st import audio, checkpoint
from s2st.config import UserError, build, to_mapping
from s2st.feature_extractor import BATCH_SECONDS, KINDS, FeatureExtractor, FeaturesConfig, is_long, load_encoder
from s2st.models.codebook import Codebook

# Features in a batch differ from those of one utterance alone by 5e-7 of their norm (HuBERT base, random weights).
ROUNDING = 2e-5


class SpeechToUnits:
    """Waveforms to units."""

    def __init__(self, extractor: FeatureExtractor, codebook: Codebook):
        self.extractor, self.codebook = extractor, codebook

    @classmethod
    def load(
        cls, folder: str, device: str = "cpu", batch_seconds: float = BATCH_SECONDS, bf16: bool = False
    ) -> "SpeechToUnits":
        """Read a codebook and its encoder from a folder that `save` wrote."""
        codebook, info = checkpoint.load(folder, "codebook")
        assert isinstance(codebook, Codebook)
        features = build(FeaturesConfig, info["features"], folder)
        encoder = load_encoder(f"{folder}/encoder", features).to(device) if features.needs_encoder else None
        return cls(FeatureExtractor(features, encoder, batch_seconds, bf16), codebook.to(device))

    def save(self, folder: str, info: dict[str, object]) -> None:
        """Write the codebook with what it was fitted on, and the encoder, into a folder."""
        features = to_mapping(self.extractor.config)
        checkpoint.save(folder, self.codebook, {**info, "features": features, "fingerprint": self.fingerprint})
        if self.extractor.encoder is not None:
            architecture = {"architecture": self.extractor.config.kind}
            checkpoint.save(f"{folder}/encoder", self.extractor.encoder, architecture)

    @property
    def fingerprint(self) -> str:
        """Name of these units: models trained on units of one fingerprint understand no others."""
        return str(self.origin["codebook"])

    @cached_property  # it reads all weights
    def origin(self) -> dict[str, Any]:
        """The columns `encoder`, `layer` and `codebook` of UNITS."""
        encoder = self.extractor.encoder
        name = "" if encoder is None else checkpoint.fingerprint(encoder)
        config = self.extractor.config
        names = [config.kind, str(config.layer), str(config.smoothing), checkpoint.fingerprint(self.codebook), name]
        if self.codebook.config.search != "exact":
            names.append(self.codebook.config.search)
        return {"encoder": name, "layer": config.layer, "codebook": "-".join(filter(None, names))}

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Give the units (T,), int32, of each waveform (N,); T is num_frames(N), or about double at 100 Hz.

        They are those of the utterance alone, whatever is beside it in a batch: where the rounding of a batch could
        turn the choice between two centroids, the utterance is encoded again alone. Not so with an approximate search,
        nor with bf16 on a GPU; on a CPU, where batches save little, bf16 goes without them.
        """
        extractor = self.extractor
        if extractor.encoder is None or extractor.bf16 or self.codebook.config.search != "exact" or len(waveforms) < 2:
            alone = extractor.bf16 and self.codebook.centroids.device.type == "cpu"
            return [self._units(features) for features in extractor(waveforms, alone)]
        units = []
        for waveform, features in zip(waveforms, extractor(waveforms), strict=True):
            found, doubtful = self.codebook.units_and_doubt(self._on_device(features), ROUNDING)
            if doubtful.any() and not is_long(waveform):
                units.append(self._units(extractor([waveform])[0]))
            else:
                units.append(found.cpu().numpy().astype(np.int32))
        return units

    def _units(self, features: np.ndarray) -> np.ndarray:
        return self.codebook(self._on_device(features)).cpu().numpy().astype(np.int32)

    @torch.inference_mode()
    def quantize(self, features: np.ndarray) -> np.ndarray:
        """Give the units (T,), int32, of features (T, D) that were extracted elsewhere, and not averaged."""
        return self._units(self.extractor.smooth(features))

    def _on_device(self, features: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(features).to(self.codebook.centroids.device)


def units_info(folder: str) -> tuple[str, int]:
    """Read from a codebook's folder the fingerprint and the number of its units, without weights."""
    config = checkpoint.read_config(folder, "codebook")
    return config["info"]["fingerprint"], config["config"]["num_units"]


def spoken_units_info(folder: str, section: str) -> tuple[str, int]:
    """Read as `units_info`; raises UserError, naming a recipe's section, for units that no vocoder speaks."""
    units, num_units = units_info(folder)
    if frames_per_second(units) != audio.UNITS_PER_SECOND:
        raise UserError(
            f"section '{section}': a vocoder speaks units of 20 ms, and those of {describe_units(units)} have 10 ms"
        )
    return units, num_units


def read_features(folder: str) -> FeaturesConfig:
    """Read from a codebook's folder what its features are, without weights."""
    return build(FeaturesConfig, checkpoint.read_config(folder, "codebook")["info"]["features"], folder)


def frames_per_second(fingerprint: str) -> int:
    """Give the rate of the units that a fingerprint names: 50 or 100; 50 if it names no kind of ours."""
    kind = KINDS.get(fingerprint.partition("-")[0])
    return kind.frames_per_second if kind else audio.UNITS_PER_SECOND


def frame_centres(fingerprint: str, num_frames: int) -> np.ndarray:
    """Give the sample in the middle of each frame of units that a fingerprint names: (T,), int64."""
    kind = KINDS.get(fingerprint.partition("-")[0])
    first = kind.first_centre if kind else audio.WINDOW // 2
    return first + np.arange(num_frames) * (audio.SAMPLE_RATE // frames_per_second(fingerprint))


def describe_units(fingerprint: str) -> str:
    """Say what kind of units a fingerprint names: "hubert layer 9", "mfcc"."""
    kind, layer = fingerprint.split("-")[:2]
    return f"{kind} layer {layer}" if layer != "0" else kind.replace("_", " ")
