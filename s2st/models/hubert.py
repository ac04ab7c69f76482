"""HuBERT: predict the units of masked stretches of speech from what is around them (Hsu et al. 2021).

Same function as fairseq's HubertModel, with three differences: padded batches equal single utterances, the
loss is one normalised matrix product, and frames without a label are left out of it instead of cut off.
Shapes: B batch, N samples, T frames, C channels of the convolutions, D width, L labels, K classes.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.audio import SAMPLE_RATE
from s2st.models.encoder_layers import span_mask
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

# fairseq's label embeddings begin with <s>, <pad>, </s> and <unk> of its dictionary. They are never a label,
# but they compete in the softmax, and with them its weights fit: label k is row k + 4.
SPECIAL_SYMBOLS = 4


@dataclass(frozen=True)
class HubertConfig(EncoderConfig):
    """As made: base; see LARGE and XLARGE for what others change."""

    mask_probability: float = 0.8  # of a frame, if spans did not overlap; about 0.55 of frames are masked
    mask_length: int = 10  # frames a span
    final_dim: int = 256  # of the space where frames and label embeddings are compared
    num_classes: int = 500  # K, the units to predict
    logit_temperature: float = 0.1
    feature_penalty: float = 10.0  # weight of the mean square of the convolutions' output
    masked_weight: float = 1.0  # of the loss of masked frames
    unmasked_weight: float = 0.0  # of the loss of the others; 0.5 helps tiny models to start
    label_rate: int = 50  # labels a second; 100 for fairseq's MFCC units


LARGE = HubertConfig(
    conv_norm="layer",
    width=1024,
    num_layers=24,
    num_heads=16,
    ffn_dim=4096,
    pre_ln=True,
    dropout=0.0,
    attention_dropout=0.0,
    layer_drop=0.0,
    feature_grad_mult=1.0,
    normalize_waveform=True,
    final_dim=768,
)
XLARGE = replace(LARGE, width=1280, num_layers=48, ffn_dim=5120, final_dim=1024)


@dataclass(frozen=True)
class HubertLoss:
    """Loss with gradient, and detached scalars about it."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Hubert(SpeechEncoder):
    """Waveform -> strided convolutions -> Transformer -> scores of each unit."""

    config: HubertConfig

    def __init__(self, config: HubertConfig) -> None:
        super().__init__(config)
        self.mask_embedding = nn.Parameter(torch.rand(config.width))
        self.final_projection = nn.Linear(config.width, config.final_dim)
        # fairseq draws these from U[0, 1), where all point nearly the same way; spread out, they learn sooner
        rows = config.num_classes + SPECIAL_SYMBOLS
        self.label_embeddings = nn.Parameter(torch.randn(rows, config.final_dim))

    def forward(self, waveform: Tensor, lengths: Tensor, labels: Tensor, mask: Tensor | None = None) -> HubertLoss:
        """Loss of predicting labels; what is masked is drawn by `span_mask` unless given.

        waveform (B, N), lengths (B,) in samples, labels (B, L) 0..K-1 at label_rate, -1 where there is none,
        mask (B, T) bool.
        """
        features, frame_lengths = self.convolve(waveform, lengths)
        time = torch.arange(features.shape[1], device=features.device)
        valid = time < frame_lengths[:, None]
        if mask is None:
            config = self.config
            mask = span_mask(frame_lengths, len(time), config.mask_probability, config.mask_length)
        projected = self.project(features)
        hidden = torch.where(mask.unsqueeze(-1), self.mask_embedding.to(projected.dtype), projected)
        encoded = self.encode(hidden, valid)
        targets = self._targets(labels, len(time)).masked_fill(~valid, -1)
        penalty = (features.float().square().mean(-1) * valid).sum() / valid.sum().clamp(min=1)
        result = self._loss(self.logits(encoded), targets, mask, penalty)
        about = {"frames": valid.sum(), "feature_deviation": _deviation(encoded.detach(), valid)}
        return HubertLoss(result.loss, {**result.metrics, **about})

    def logits(self, encoded: Tensor) -> Tensor:
        """Cosine of each frame with each label embedding over the temperature: (B, T, D) -> (B, T, 4 + K)."""
        projected = self.final_projection(encoded)
        with torch.autocast(encoded.device.type, enabled=False):  # bfloat16 cosines over 0.1 are too coarse
            frames = F.normalize(projected.float(), dim=-1)
            classes = F.normalize(self.label_embeddings.float(), dim=-1)
            return frames @ classes.T / self.config.logit_temperature

    def _targets(self, labels: Tensor, num_frames: int) -> Tensor:
        """Pick the label at the start of each frame: (B, L) -> (B, T), -1 for frames without one."""
        time = torch.arange(num_frames, device=labels.device)
        index = time * (self.config.label_rate * self.config.hop) // SAMPLE_RATE
        return F.pad(labels, (0, 1), value=-1)[:, index.clamp(max=labels.shape[1])].long()

    def _loss(self, logits: Tensor, targets: Tensor, mask: Tensor, penalty: Tensor) -> HubertLoss:
        labelled = targets >= 0
        rows = torch.where(labelled, targets + SPECIAL_SYMBOLS, -1)
        cross_entropy = F.cross_entropy(logits.transpose(1, 2), rows, ignore_index=-1, reduction="none")
        predicted = logits.detach().argmax(-1)
        masked, unmasked = labelled & mask, labelled & ~mask
        losses = [_mean(cross_entropy, frames) for frames in (masked, unmasked)]
        config = self.config
        loss = config.masked_weight * losses[0] + config.unmasked_weight * losses[1] + config.feature_penalty * penalty
        metrics = {
            "masked_loss": losses[0].detach(),
            "unmasked_loss": losses[1].detach(),
            "masked_accuracy": _mean(predicted == rows, masked),
            "unmasked_accuracy": _mean(predicted == rows, unmasked),
            "masked_frames": masked.sum(),
            "feature_penalty": penalty.detach(),
            "code_perplexity": _perplexity(predicted, masked, logits.shape[-1]),
            "label_perplexity": _perplexity(rows.clamp(min=0), masked, logits.shape[-1]),
        }
        return HubertLoss(loss, metrics)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def _deviation(features: Tensor, valid: Tensor) -> Tensor:
    """Standard deviation over all frames, mean over dimensions; near 0, all frames have become the same."""
    frames = features.float() * valid.unsqueeze(-1)
    mean = frames.sum((0, 1)) / valid.sum().clamp(min=1)
    variance = frames.square().sum((0, 1)) / valid.sum().clamp(min=1) - mean.square()
    return variance.clamp(min=0).sqrt().mean()


def _perplexity(predicted: Tensor, chosen: Tensor, num_codes: int) -> Tensor:
    """Effective number of codes among the chosen frames; near 1 of those predicted, the model has collapsed."""
    counts = torch.zeros(num_codes, device=predicted.device)
    counts.index_add_(0, predicted.flatten(), chosen.flatten().float())
    share = counts / counts.sum().clamp(min=1)
    return torch.special.entr(share).sum().exp()
