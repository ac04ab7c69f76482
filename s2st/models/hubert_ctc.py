"""HuBERT fine-tuned by CTC: the encoder, and one linear layer to the symbols (letters or units) of what was said.

Same function as fairseq's HubertCtc with its HubertEncoder (models/hubert/hubert_asr.py), except that padded batches
equal single utterances. With letters as symbols it is a speech recogniser, with units the speech normaliser of textless
translation on real data (Lee et al. 2022): units of many speakers, as one of them would have said them.
Shapes: B batch, N samples, T frames, D width, L labels, V symbols with the special ones.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.config import UserError
from s2st.models.dropout import Dropout
from s2st.models.encoder_layers import span_mask
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

# Rows of the output before those of the symbols: fairseq's <s>, which is CTC's blank, <pad>, </s> and <unk>. The last
# three are never a label, but they compete in the softmax, and with them published weights fit: symbol i is row i + 4.
BLANK, NUM_SPECIALS = 0, 4
WORD_BOUNDARY = "|"  # the space between words in models of fairseq and Hugging Face; those trained here have a space


@dataclass(frozen=True)
class HubertCtcConfig:
    """Masks as in fairseq's base_10h; it sets the encoder's dropouts and layer_drop, too."""

    symbols: tuple[str, ...] = ()  # what is heard: letters, or the numbers of units
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    mask_probability: float = 0.75  # training: of a frame, if spans did not overlap; 0 masks none
    mask_length: int = 10  # frames a span
    channel_mask_probability: float = 0.5  # training: of a channel of the Transformer's input; 0 masks none
    channel_mask_length: int = 64  # channels a span
    final_dropout: float = 0.0  # between the Transformer and the output

    def __post_init__(self) -> None:
        if len(set(self.symbols)) != len(self.symbols):
            twice = next(symbol for symbol in self.symbols if self.symbols.count(symbol) > 1)
            raise ValueError(f"symbols name '{twice}' twice; each is one row of the output")


def encoder_config(config: EncoderConfig, **changes: float) -> EncoderConfig:
    """Keep of a config, which may be HuBERT's, what is the encoder's, with `changes`."""
    kept = {field.name: getattr(config, field.name) for field in dataclasses.fields(EncoderConfig)}
    return EncoderConfig(**{**kept, **changes})


class HubertCtc(nn.Module):
    """Waveform -> speech encoder -> scores of each symbol, frame by frame."""

    def __init__(self, config: HubertCtcConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SpeechEncoder(config.encoder)
        self.mask_embedding = nn.Parameter(torch.rand(config.encoder.width))
        self.dropout = Dropout(config.final_dropout)
        self.output = nn.Linear(config.encoder.width, NUM_SPECIALS + len(config.symbols))
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def start_from(self, pretrained: SpeechEncoder) -> None:
        """Take the weights of a pre-trained encoder with the config of this one's, and HuBERT's mask embedding."""
        weights = pretrained.state_dict()
        self.encoder.load_state_dict({name: weights[name] for name in self.encoder.state_dict()})
        if "mask_embedding" in weights:
            self.mask_embedding.data.copy_(weights["mask_embedding"])

    def forward(self, waveform: Tensor, lengths: Tensor, frozen: bool = False) -> tuple[Tensor, Tensor]:
        """Scores before the softmax: waveform (B, N), lengths (B,) in samples -> (B, T, V), frame_lengths (B,).

        In training mode frames and channels are masked. `frozen` gives no gradient to the encoder, as fairseq does in
        the first updates of a fine-tuning: it is masked and drops out as ever, but only the output learns.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            encoded, frame_lengths = self.encode(waveform, lengths)
        return self.output(self.dropout(encoded)), frame_lengths

    def encode(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the encoder, in training mode of a masked input: -> (B, T, D), frame_lengths (B,)."""
        features, frame_lengths = self.encoder.convolve(waveform, lengths)
        hidden = self.encoder.project(features)
        if self.training:
            hidden = self.mask(hidden, frame_lengths)
        valid = torch.arange(hidden.shape[1], device=hidden.device) < frame_lengths[:, None]
        return self.encoder.encode(hidden, valid), frame_lengths

    def mask(self, hidden: Tensor, frame_lengths: Tensor) -> Tensor:
        """Put the mask embedding into spans of frames, then 0 into spans of channels: (B, T, D) -> (B, T, D)."""
        config = self.config
        if config.mask_probability:
            time = span_mask(frame_lengths, hidden.shape[1], config.mask_probability, config.mask_length)
            hidden = torch.where(time.unsqueeze(-1), self.mask_embedding.to(hidden.dtype), hidden)
        if config.channel_mask_probability:
            width = torch.full_like(frame_lengths, hidden.shape[2])
            probability, length = config.channel_mask_probability, config.channel_mask_length
            channels = span_mask(width, hidden.shape[2], probability, length, min_spans=0)
            hidden = hidden.masked_fill(channels.unsqueeze(1), 0)
        return hidden

    def log_probs(self, waveform: Tensor, lengths: Tensor, frozen: bool = False) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the symbols, float32: -> (B, T, V), frame_lengths (B,)."""
        logits, frame_lengths = self(waveform, lengths, frozen)
        return logits.float().log_softmax(-1), frame_lengths

    def score(self, features: Tensor) -> Tensor:
        """Log-probabilities, in eval mode, of what `encoder.extract` gives of its last layer: (T, D) -> (T, V)."""
        encoded = self.encoder.encoder_norm(features) if self.config.encoder.pre_ln else features
        return self.output(encoded).float().log_softmax(-1)

    def loss(
        self, waveform: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor, frozen: bool = False
    ) -> Tensor:
        """CTC loss in nats, mean over utterances of the sum over each: what fairseq's sentence_avg gives.

        labels (B, L) rows of the output (4 + symbol), padded by anything, label_lengths (B,) -> scalar. An utterance
        that has fewer frames than its labels need teaches nothing, instead of an infinite loss.
        """
        log_probs, frame_lengths = self.log_probs(waveform, lengths, frozen)
        return ctc_loss(log_probs, frame_lengths, labels, label_lengths)


def of_symbols(log_probs: Tensor) -> Tensor:
    """Keep the blank and the symbols, leaving out the special rows that are never a label: (..., V) -> (..., 1 + S)."""
    return torch.cat([log_probs[..., : BLANK + 1], log_probs[..., NUM_SPECIALS:]], -1)


def foreign_symbols(symbols: Sequence[str], where: str) -> list[str]:
    """Name symbols as fairseq and Hugging Face do; raises UserError, beginning with `where`, if two would be one."""
    if " " in symbols and WORD_BOUNDARY in symbols:
        raise UserError(
            f"{where} hears both ' ' and '{WORD_BOUNDARY}', which are one symbol in fairseq and Hugging Face; train a "
            "model without one of them"
        )
    return [WORD_BOUNDARY if symbol == " " else symbol for symbol in symbols]


def ctc_loss(log_probs: Tensor, frame_lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
    """`HubertCtc.loss` of log-probabilities (B, T, V)."""
    summed = F.ctc_loss(
        log_probs.transpose(0, 1), labels, frame_lengths, label_lengths, BLANK, reduction="sum", zero_infinity=True
    )
    return summed / len(labels)
