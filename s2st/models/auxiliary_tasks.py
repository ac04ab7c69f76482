"""Tasks beside translation (Lee et al. 2021): symbols that an inner layer of the translator must tell, too.

Settings mean what they mean in fairseq's config_multitask.yaml (fairseq/data/audio/data_cfg.py), the whole loss is
that of its criterion speech_to_unit (fairseq/criterions/speech_to_speech_criterion.py).

Shapes: B batch, S encoder frames, T decoder steps, L labels, V symbols with the four special ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.models.label_smoothing import label_smoothed_loss
from s2st.models.token_decoder import TokenDecoder, teacher_forced
from s2st.models.transformer import TransformerConfig, padding_mask
from s2st.units import BOS, EOS, NUM_SPECIALS, PAD

BLANK = BOS  # of CTC, in fairseq
MAX_SYMBOLS = 1024  # of a target that a Transformer tells


@dataclass(frozen=True)
class HeadConfig(TransformerConfig):
    num_layers: int = 2
    model_dim: int = 256
    num_heads: int = 4
    dropout: float = 0.3
    attention_dropout: float = 0.3
    activation_dropout: float = 0.3
    pre_ln: bool = True


@dataclass(frozen=True)
class TaskConfig:
    target: Literal["source_letters", "target_letters", "target_units"] = "target_letters"  # what is told
    symbols: tuple[str, ...] = ()  # that targets consist of; symbol i is label i + 4
    decoder_type: Literal["transformer", "ctc"] = "transformer"
    encoder_layer: int = 0  # that is heard, counted from 1, before the last norm; 0 is the last one
    decoder_layer: int = 0  # the same in the decoder, but 1 is its embedding, so 3 its second layer; 0: an encoder's
    loss_weight: float = 1.0
    loss_weight_max: float = 0.0  # at the first update, if the weight is to fall
    loss_weight_min: float = 1e-4  # where it stops falling
    loss_weight_decay_steps: int = 0  # updates that it falls for, in a straight line; 0: it is loss_weight
    label_smoothing: float = 0.2  # of a Transformer
    zero_infinity: bool = True  # of CTC: targets longer than what is heard teach nothing
    decoder: HeadConfig = field(default_factory=HeadConfig)  # of a Transformer

    def __post_init__(self) -> None:
        if self.encoder_layer and self.decoder_layer:
            raise ValueError("give encoder_layer or decoder_layer, not both")
        if self.decoder_layer and self.decoder_type == "transformer":
            raise ValueError("a transformer cannot hear the decoder, which hears the target; use decoder_type ctc")
        if (self.loss_weight_max > 0) != (self.loss_weight_decay_steps > 0):
            raise ValueError("loss_weight_max and loss_weight_decay_steps belong together; give both or none")

    def weight(self, step: int) -> float:
        """Weight of its loss in the update `step`, counted from 0."""
        if not self.loss_weight_decay_steps:
            return self.loss_weight
        fall = (self.loss_weight_max - self.loss_weight_min) / self.loss_weight_decay_steps
        return max(self.loss_weight_max - fall * step, self.loss_weight_min)


@dataclass
class Heard:
    """What tasks may hear in a forward pass of the translator."""

    encoder: list[Tensor]  # outputs of its layers, (B, S, D) each
    encoder_lengths: Tensor  # (B,)
    decoder: list[Tensor]  # embedding and outputs of its layers, (B, T, D) each
    decoder_lengths: Tensor  # (B,)


class CtcHead(nn.Module):
    def __init__(self, config: TaskConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.proj = nn.Linear(dim, NUM_SPECIALS + len(config.symbols))

    def loss(self, heard: Heard, labels: Tensor) -> Tensor:
        """Summed loss of labels (B, L), padded with PAD."""
        layer = self.config.decoder_layer
        states = heard.decoder[layer - 1] if layer else heard.encoder[self.config.encoder_layer - 1]
        lengths = heard.decoder_lengths if layer else heard.encoder_lengths
        log_probs = self.proj(states).float().log_softmax(2).transpose(0, 1)
        true = labels != PAD
        with torch.backends.cudnn.flags(enabled=False):
            return functional.ctc_loss(
                log_probs,
                labels[true],
                lengths,
                true.sum(1),
                blank=BLANK,
                reduction="sum",
                zero_infinity=self.config.zero_infinity,
            )


class TransformerHead(nn.Module):
    def __init__(self, config: TaskConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.decoder = TokenDecoder(config.decoder, NUM_SPECIALS + len(config.symbols), MAX_SYMBOLS, dim)

    def loss(self, heard: Heard, labels: Tensor) -> Tensor:
        """Summed loss of labels (B, L), padded with PAD; each row ends with EOS."""
        memory = heard.encoder[self.config.encoder_layer - 1]
        cache = self.decoder.start(memory, padding_mask(heard.encoder_lengths, memory.size(1)))
        logits = self.decoder(teacher_forced(labels, torch.full_like(labels[:, 0], EOS)), cache)
        loss, metrics = label_smoothed_loss(logits, labels, self.config.label_smoothing)
        return loss * metrics["tokens"]


class AuxiliaryTasks(nn.ModuleDict):
    """The heads of a translator, by the names of their tasks; see `is_task_name`."""

    def __init__(self, tasks: Mapping[str, TaskConfig], encoder_dim: int, decoder_dim: int) -> None:
        super().__init__()
        for name, task in tasks.items():
            head = CtcHead if task.decoder_type == "ctc" else TransformerHead
            self[name] = head(task, decoder_dim if task.decoder_layer else encoder_dim)

    def loss(self, heard: Heard, labels: Mapping[str, Tensor], step: int) -> tuple[Tensor | float, dict[str, Tensor]]:
        """Weighted sum of the tasks' losses in the update `step`, and the loss of each, a label, as "task_NAME".

        labels are (B, L) of each task, by its name, padded with PAD; of a Transformer they end with EOS.
        """
        total: Tensor | float = 0.0
        metrics = {}
        for name, head in self.items():
            assert isinstance(head, CtcHead | TransformerHead)
            loss = head.loss(heard, labels[name])
            total = total + head.config.weight(step) * loss
            metrics[f"task_{name}"] = loss.detach() / (labels[name] != PAD).sum()
        return total, metrics


def is_task_name(name: str) -> bool:
    """Tell whether a task may be called so: its head is a module of that name, which must hide no other attribute."""
    return name.isidentifier() and not hasattr(AuxiliaryTasks({}, 0, 0), name)
