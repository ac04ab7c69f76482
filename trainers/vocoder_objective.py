"""What a vocoder is trained for, beside deceiving its critic, and what its validation measures.

Shapes: B batch, S units of a segment, N samples.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor

from s2st import audio
from s2st.evaluation.mcd import warped_distance
from s2st.models.discriminators import DiscriminatorConfig
from s2st.models.losses import MelLoss, StftLoss
from s2st.models.unit_vocoder import UnitVocoder
from trainers.objective import Objective

HEARD = 3  # utterances of a validation that can be listened to in TensorBoard
SILENT = 0.1  # amplitude, of true speech's, under which what is made counts as silence: 20 dB less
LEAST_CRITIC = 0.02  # loss of a discriminator that is never deceived; one that cannot tell at all has 0.5


class VocoderObjective(Objective):
    """A vocoder and its losses behind one forward, which DDP needs."""

    metrics: ClassVar[Mapping[str, Literal["min", "max"]]] = MappingProxyType(
        dict.fromkeys(("loss", "mel", "mcd", "mcd_true_durations", "duration", "duration_error"), "min")
    )

    def __init__(
        self, vocoder: UnitVocoder, weights: Mapping[str, float], critic: DiscriminatorConfig | None = None
    ) -> None:
        """`weights` are those of losses, by name: 0 leaves stft out, and one that is not named has 1."""
        super().__init__()
        self.vocoder, self.weights = vocoder, weights
        self.num_discriminators = len(critic.periods) + critic.num_scales if critic else 0
        self.mel_loss, self.stft_loss = MelLoss(), StftLoss()

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the waveform (B, N) of the segments of a batch of `training_examples`, and losses by name."""
        made = self.vocoder(batch["segment_units"], batch.get("speaker"), batch.get("language")).float()
        losses = self.distances(made, batch["segment_waveform"])
        return made, losses | {"duration": self.vocoder.duration_loss(batch["units"], batch["lengths"])}

    def distances(self, made: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Give how far the spectra of waveforms (B, N) are from the true ones (B, N), in float32."""
        with torch.autocast(made.device.type, enabled=False):
            found = {"mel": self.mel_loss(made, true)}
            return found | ({"stft": self.stft_loss(made, true)} if self.weights.get("stft") else {})

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Add up losses, each times its weight."""
        return torch.stack([self.weights.get(name, 1.0) * loss for name, loss in losses.items()]).sum()

    def validation(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | float]:
        """Measure utterances that are spoken from all their units; those of the first batch also from reduced ones."""
        voice = batch.get("speaker"), batch.get("language")
        frames = torch.ones_like(batch["units"])
        spoken, num_samples, _ = self.vocoder.speak(batch["units"], batch["lengths"], frames, *voice)
        true, made = _unpad(batch["waveform"], num_samples), _unpad(spoken, num_samples)
        each = [self.distances(mine[None], own[None]) for mine, own in zip(made, true, strict=True)]
        losses = {name: torch.stack([found[name] for found in each]).mean() for name in each[0]}
        losses["duration"] = self.vocoder.duration_loss(batch["units"], batch["lengths"])
        level = torch.cat(made).norm() / torch.cat(true).norm()
        metrics = {"loss": self.total(losses), **losses, "level": level}
        if number:
            return metrics
        found, num_samples, durations = self.vocoder.speak(batch["reduced"], batch["reduced_lengths"], None, *voice)
        freely = _unpad(found, num_samples)
        self.speech = {
            f"utterance_{place}/{kind}": waveforms[place]
            for place in range(min(HEARD, len(true)))
            for kind, waveforms in (("true", true), ("made", freely))
        }
        error = (durations - batch["durations"]).abs().sum() / batch["reduced_lengths"].sum()
        distortions = {"mcd": distortion(true, freely), "mcd_true_durations": distortion(true, made)}
        return metrics | distortions | {"duration_error": error}

    def concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if the critic is never deceived."""
        if metrics.get("critic", 1.0) >= LEAST_CRITIC * self.num_discriminators:
            return None
        return (
            f"the discriminators tell what it makes from true speech without fail (their loss is "
            f"{metrics['critic']:.3f}), so it learns nothing from them; lower loop.learning_rate or the width of the "
            f"discriminators"
        )

    def validation_concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if it makes nearly silence."""
        if metrics["level"] >= SILENT:
            return None
        return (
            f"it makes nearly silence: its amplitude is {metrics['level']:.1%} of true speech's; lower "
            f"loop.learning_rate, or raise mel_weight"
        )


def _unpad(waveforms: Tensor, num_samples: Tensor) -> list[Tensor]:
    """Part waveforms (B, N) with num_samples (B,)."""
    return [row[:count] for row, count in zip(waveforms, num_samples.tolist(), strict=True)]


def distortion(true: list[Tensor], made: list[Tensor]) -> float:
    """Mel cepstral distortion of waveforms (N,) against true ones (N',), over all frames of these, as fairseq's."""
    with torch.autocast("cpu", enabled=False):
        found = [
            warped_distance(own.cpu(), mine.cpu(), audio.SAMPLE_RATE) for own, mine in zip(true, made, strict=True)
        ]
    return sum(distance for distance, _ in found) / sum(frames for _, frames in found)
