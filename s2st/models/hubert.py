"""HuBERT: predict the units of masked stretches of speech from what is around them (Hsu et al. 2021).

Same function as fairseq's HubertModel, with three differences: padded batches equal single utterances, the
loss is one normalised matrix product, and frames without a label are left out of it instead of cut off.
Shapes: B batch, N samples, T frames, C channels of the convolutions, D width, L labels, K classes.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.audio import SAMPLE_RATE
from s2st.models.hubert_layers import (
    NormalizedFirstConvolution,
    PositionalConvolution,
    StridedConvolution,
    TransformerLayer,
    span_mask,
)

# fairseq's label embeddings begin with <s>, <pad>, </s> and <unk> of its dictionary. They are never a label,
# but they compete in the softmax, and with them its weights fit: label k is row k + 4.
SPECIAL_SYMBOLS = 4

BASE_CONVOLUTIONS = ((512, 10, 5), *((512, 3, 2),) * 4, *((512, 2, 2),) * 2)


@dataclass(frozen=True)
class HubertConfig:
    """As made: base.

    Large has conv_norm=layer, width=1024, num_layers=24, num_heads=16, ffn_dim=4096, pre_ln, no dropout of
    any kind, layer_drop=0, final_dim=768, feature_grad_mult=1, normalize_waveform.
    """

    conv_layers: tuple[tuple[int, int, int], ...] = BASE_CONVOLUTIONS  # (channels, kernel, stride) of each
    conv_norm: Literal["group", "layer"] = "group"  # over time after the first, or over channels after each
    width: int = 768  # of the Transformer
    num_layers: int = 12
    num_heads: int = 12
    ffn_dim: int = 3072
    pre_ln: bool = False  # LayerNorm before attention and feed-forward instead of after
    positional_kernel: int = 128  # frames; tiny models learn faster with 32
    positional_groups: int = 16
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.0  # inside the feed-forward
    layer_drop: float = 0.05  # chance to skip a layer in training; DDP then needs find_unused_parameters
    mask_probability: float = 0.8  # of a frame, if spans did not overlap; about 0.55 of frames are masked
    mask_length: int = 10  # frames a span
    final_dim: int = 256  # of the space where frames and label embeddings are compared
    num_classes: int = 500  # K, the units to predict
    logit_temperature: float = 0.1
    feature_grad_mult: float = 0.1  # scales the gradient of the convolutions; 0 freezes them
    feature_penalty: float = 10.0  # weight of the mean square of the convolutions' output
    masked_weight: float = 1.0  # of the loss of masked frames
    unmasked_weight: float = 0.0  # of the loss of the others; 0.5 helps tiny models to start
    normalize_waveform: bool = False  # to mean 0 and variance 1 for each utterance (large models)
    label_rate: int = 50  # labels a second; 100 for fairseq's MFCC units

    def __post_init__(self) -> None:
        if not self.conv_layers:
            raise ValueError("conv_layers is empty; give at least one [channels, kernel, stride]")
        for name in ("num_heads", "positional_groups"):
            if self.width % getattr(self, name):
                raise ValueError(f"width={self.width} must be a multiple of {name}={getattr(self, name)}")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return prod(stride for _, _, stride in self.conv_layers)

    @property
    def receptive_field(self) -> int:
        """Samples that one frame sees."""
        field = 1
        for _, kernel, stride in reversed(self.conv_layers):
            field = (field - 1) * stride + kernel
        return field


@dataclass(frozen=True)
class HubertLoss:
    """Loss with gradient, and detached scalars about it."""

    loss: Tensor
    metrics: dict[str, Tensor]


class Hubert(nn.Module):
    """Waveform -> strided convolutions -> Transformer -> scores of each unit."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.config = config
        dims = [1, *(dim for dim, _, _ in config.conv_layers)]
        layer_norm = config.conv_norm == "layer"
        self.convolutions = nn.ModuleList(
            StridedConvolution(in_dim, *layer, layer_norm)
            for in_dim, layer in zip(dims, config.conv_layers, strict=False)
        )
        if not layer_norm:
            self.convolutions[0] = NormalizedFirstConvolution(*config.conv_layers[0])
        self.feature_norm = nn.LayerNorm(dims[-1])
        self.feature_projection = nn.Linear(dims[-1], config.width)
        self.mask_embedding = nn.Parameter(torch.rand(config.width))
        self.positional = PositionalConvolution(config.width, config.positional_kernel, config.positional_groups)
        self.encoder_norm = nn.LayerNorm(config.width)
        self.layers = nn.ModuleList(self._layer() for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)
        self.final_projection = nn.Linear(config.width, config.final_dim)
        # fairseq draws these from U[0, 1), where all point nearly the same way; spread out, they learn sooner
        rows = config.num_classes + SPECIAL_SYMBOLS
        self.label_embeddings = nn.Parameter(torch.randn(rows, config.final_dim))

    def _layer(self) -> TransformerLayer:
        config = self.config
        layer = TransformerLayer(
            config.width,
            config.num_heads,
            config.ffn_dim,
            config.pre_ln,
            config.dropout,
            config.attention_dropout,
            config.activation_dropout,
        )
        for module in layer.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        return layer

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Count the frames of utterances of `lengths` samples: 0 below the receptive field."""
        frames = (lengths - self.config.receptive_field) // self.config.hop + 1
        return frames.clamp(min=0)

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
        encoded = self.encode(features, valid, mask=mask)
        targets = self._targets(labels, len(time)).masked_fill(~valid, -1)
        penalty = (features.float().square().mean(-1) * valid).sum() / valid.sum().clamp(min=1)
        return self._loss(self.logits(encoded), targets, mask, penalty)

    def extract(self, waveform: Tensor, lengths: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Output of Transformer layer `layer`, counted from 1 as fairseq does; later layers are not run.

        waveform (B, N), lengths (B,) in samples -> features (B, T, D), frame_lengths (B,).
        Rows mean nothing past their frame length.
        """
        if not 1 <= layer <= self.config.num_layers:
            raise ValueError(f"layer must be 1 to {self.config.num_layers}, found {layer}")
        features, frame_lengths = self.convolve(waveform, lengths)
        valid = torch.arange(features.shape[1], device=features.device) < frame_lengths[:, None]
        return self.encode(features, valid, layer=layer), frame_lengths

    def convolve(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """waveform (B, N), lengths (B,) in samples -> (B, T, C), frame_lengths (B,).

        There is no padding inside, so true frames see true samples only.
        """
        waveform = F.pad(waveform, (0, max(0, self.config.receptive_field - waveform.shape[1])))
        if self.config.normalize_waveform:
            waveform = normalize(waveform, lengths)
        trained = torch.is_grad_enabled() and self.config.feature_grad_mult > 0
        with torch.set_grad_enabled(trained):
            first, *others = self.convolutions
            grouped = self.config.conv_norm == "group"
            x = first(waveform, lengths) if grouped else first(waveform.unsqueeze(-1))
            for layer in others:
                x = layer(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: gradient * self.config.feature_grad_mult)
        return x, self.frame_lengths(lengths)

    def encode(self, features: Tensor, valid: Tensor, mask: Tensor | None = None, layer: int | None = None) -> Tensor:
        """Contextual features after `layer` layers; after all, and the last norm of pre-LN models, if None.

        features (B, T, C), valid (B, T) bool, mask (B, T) bool for frames to hide -> (B, T, D).
        """
        x = self.dropout(self.feature_projection(self.feature_norm(features)))
        if mask is not None:
            x = torch.where(mask.unsqueeze(-1), self.mask_embedding.to(x.dtype), x)
        x = x * valid.unsqueeze(-1)
        x = x + self.positional(x)
        if not self.config.pre_ln:
            x = self.encoder_norm(x)
        x = self.dropout(x)
        attended = None  # the fastest attention kernels take no mask
        if not valid.all():
            attended = valid.clone()
            attended[:, 0] = True  # a row without any frame must attend to something, or it becomes NaN
            attended = attended[:, None, None]
        for transformer_layer in self.layers[:layer]:
            if self.training and torch.rand(()) < self.config.layer_drop:
                continue
            x = transformer_layer(x, attended)
        return self.encoder_norm(x) if self.config.pre_ln and layer is None else x

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
        }
        return HubertLoss(loss, metrics)


def normalize(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Bring each row of (B, N) to mean 0 and variance 1 over its own samples."""
    valid = torch.arange(waveform.shape[1], device=waveform.device) < lengths[:, None]
    count = lengths[:, None].clamp(min=1)
    centred = (waveform - (waveform * valid).sum(1, keepdim=True) / count) * valid
    return centred * torch.rsqrt(centred.square().sum(1, keepdim=True) / count + 1e-5)


def _mean(values: Tensor, chosen: Tensor) -> Tensor:
    return (values * chosen).sum() / chosen.sum().clamp(min=1)


def _perplexity(predicted: Tensor, chosen: Tensor, num_codes: int) -> Tensor:
    """Effective number of codes that are predicted for the chosen frames; near 1, the model has collapsed."""
    counts = torch.zeros(num_codes, device=predicted.device)
    counts.index_add_(0, predicted.flatten(), chosen.flatten().float())
    share = counts / counts.sum().clamp(min=1)
    return torch.special.entr(share).sum().exp()
