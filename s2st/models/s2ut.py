"""S2UT: speech -> units of its translation (Lee et al. 2021).

As made, fairseq's s2ut_transformer_fisher (fairseq/models/speech_to_speech/s2s_transformer.py). The decoder begins with
</s>, or with the symbol of the target language, and ends on </s>; several units may make one of its steps (stacked).

Shapes: B batch, T frames of the source, L labels, R units a step, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from s2st.models.auxiliary_tasks import AuxiliaryTasks, Heard, TaskConfig, is_task_name
from s2st.models.decoder_cache import DecoderCache
from s2st.models.label_smoothing import label_smoothed_loss
from s2st.models.pretrained_source import PretrainedSource, PretrainedSourceConfig
from s2st.models.speech_source import SpeechSource, SpeechSourceConfig
from s2st.models.token_decoder import TokenDecoder, teacher_forced
from s2st.models.transformer import TransformerConfig, padding_mask
from s2st.units import EOS, NUM_SPECIALS, PAD


@dataclass(frozen=True)
class UnitDecoderConfig(TransformerConfig):
    num_layers: int = 6
    model_dim: int = 256
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    pre_ln: bool = True


@dataclass(frozen=True)
class S2utConfig:
    num_units: int = 100  # codebook size K
    languages: tuple[str, ...] = ()  # of targets, in the order of their symbols; none: one, without a symbol
    source: SpeechSourceConfig = field(default_factory=SpeechSourceConfig)
    pretrained: PretrainedSourceConfig | None = None  # hears the source instead
    decoder: UnitDecoderConfig = field(default_factory=UnitDecoderConfig)
    tasks: dict[str, TaskConfig] = field(default_factory=dict)  # beside translation, by name
    units_per_step: int = 1  # R
    max_steps: int = 3000  # longest target
    label_smoothing: float = 0.2

    def __post_init__(self) -> None:
        if self.units_per_step < 1:
            raise ValueError(f"units_per_step={self.units_per_step} must be at least 1")
        if self.units_per_step > 1 and self.languages:
            raise ValueError(
                "units_per_step above 1 and languages contradict: stacked units have no symbols beside them"
            )
        for name, task in self.tasks.items():
            if not is_task_name(name):
                raise ValueError(f"a task cannot be called '{name}'; take letters, digits and _, as in target_letter")
            if self.pretrained and task.encoder_layer:
                raise ValueError(f"task {name} must hear encoder_layer 0, the output, where the encoder is pretrained")
            if task.encoder_layer > self.source.num_layers:
                raise ValueError(f"task {name} hears encoder_layer {task.encoder_layer} of {self.source.num_layers}")
            if task.decoder_layer > self.decoder.num_layers + 1:
                raise ValueError(
                    f"task {name} hears decoder_layer {task.decoder_layer}, but the last is "
                    f"{self.decoder.num_layers + 1}, as 1 is the embedding"
                )

    @property
    def vocabulary_size(self) -> int:
        return NUM_SPECIALS + self.num_units + len(self.languages)

    @property
    def memory_dim(self) -> int:
        """Width of the encoder's output."""
        return self.pretrained.encoder.width if self.pretrained else self.source.model_dim

    def beginning(self, lang: str) -> int:
        """What the decoder reads first for a translation into `lang`."""
        if not self.languages:
            return EOS
        if lang not in self.languages:
            raise ValueError(f"the model does not translate into '{lang}' (it knows {', '.join(self.languages)})")
        return NUM_SPECIALS + self.num_units + self.languages.index(lang)

    def language(self, beginning: int) -> str:
        """The language whose translations begin with a symbol; "" if the model has only one."""
        return self.languages[beginning - NUM_SPECIALS - self.num_units] if self.languages else ""

    def labels(self, units: np.ndarray) -> np.ndarray:
        """What the decoder learns: units (N,) -> (L,), int64, with the end; units that do not fill a step fall away."""
        if len(units) and not 0 <= units.min() <= units.max() < self.num_units:
            raise ValueError(
                f"units {units.min()} to {units.max()} are outside 0 to {self.num_units - 1}; "
                "were they made with another codebook?"
            )
        kept = len(units) - len(units) % self.units_per_step
        return np.append(units[:kept].astype(np.int64) + NUM_SPECIALS, EOS)


class S2ut(nn.Module):
    def __init__(self, config: S2utConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.memory_dim
        self.source: SpeechSource | PretrainedSource = (
            PretrainedSource(config.pretrained) if config.pretrained else SpeechSource(config.source)
        )
        self.decoder = TokenDecoder(
            config.decoder, config.vocabulary_size, config.max_steps, dim, config.units_per_step
        )
        self.tasks = AuxiliaryTasks(config.tasks, dim, config.decoder.model_dim)

    def forward(self, features: Tensor, lengths: Tensor, beginnings: Tensor, labels: Tensor) -> tuple[Tensor, Heard]:
        """Teacher-forced logits, and what tasks hear.

        features (B, T, F), or waveforms (B, N) for a pretrained encoder, lengths (B,) of them, beginnings (B,), labels
        (B, L) padded with PAD -> (B, L, V).
        """
        heard = Heard([], lengths, [], (labels != PAD).sum(1).div(self.config.units_per_step).ceil().long())
        memory, heard.encoder_lengths = self.source(features, lengths, heard.encoder)
        cache = self.decoder.start(memory, padding_mask(heard.encoder_lengths, memory.size(1)))
        tokens = teacher_forced(labels, beginnings, self.config.units_per_step)
        return self.decoder(tokens, cache, heard.decoder)[:, : labels.size(1)], heard

    def loss(
        self,
        features: Tensor,
        lengths: Tensor,
        beginnings: Tensor,
        labels: Tensor,
        task_labels: Mapping[str, Tensor],
        step: int,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss a unit in the update `step`, with that of all tasks, and {nll, accuracy, tokens, and task_NAME of each}.

        task_labels as `AuxiliaryTasks.loss` takes them; the rest as `forward`.
        """
        logits, heard = self(features, lengths, beginnings, labels)
        loss, metrics = label_smoothed_loss(logits, labels, self.config.label_smoothing)
        beside, task_metrics = self.tasks.loss(heard, task_labels, step)
        return loss + beside / metrics["tokens"], metrics | task_metrics

    def start(self, features: Tensor, lengths: Tensor) -> DecoderCache:
        """Encode sources of lengths (B,), as `forward` takes them, and open a decoder on them."""
        memory, lengths = self.source(features, lengths)
        return self.decoder.start(memory, padding_mask(lengths, memory.size(1)))
