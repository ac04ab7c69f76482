"""What checkpoints of fairseq's speech-to-speech models share: names, and the settings of their encoder.

Source: fairseq/models/speech_to_speech/s2s_transformer.py, fairseq/tasks/speech_to_speech.py.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from s2st.config import UserError
from s2st.fairseq.checkpoint_writer import stored
from s2st.fairseq.speech_config import CONFIG
from s2st.features.filterbank import NUM_BANDS

Names = Sequence[tuple[str, str]]  # beginnings of weights' names, theirs and ours; {i} is a number, {name} a word

SOURCE_NAMES: Names = (
    ("encoder.subsample.conv_layers.", "source.convolutions."),
    ("encoder.transformer_layers.", "source.encoder.layers."),
    ("encoder.layer_norm.", "source.encoder.layer_norm."),
)
POSITIONS = ("encoder.embed_positions._float_tensor", "decoder.embed_positions._float_tensor")  # hold no weights

SOURCE_SETTINGS = {
    "encoder_layers": "num_layers",
    "encoder_embed_dim": "model_dim",
    "encoder_attention_heads": "num_heads",
    "encoder_ffn_embed_dim": "ffn_dim",
    "encoder_normalize_before": "pre_ln",
    "conv_channels": "conv_dim",
    "max_source_positions": "max_frames",
}
SHARED_SETTINGS = {
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "activation_fn": "activation",
}  # of encoder and decoder
SAME: Mapping[str, Any] = {
    "conv_kernel_sizes": "5,5",
    "conv_version": "s2t_transformer",
    "no_scale_embedding": False,
    "input_feat_per_channel": NUM_BANDS,
    "target_speaker_embed": False,
}  # what our models are, and others may not be


def to_ours(weights: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Name fairseq's weights as ours, float32."""
    return {_translated(name, names, 0, 1): value.float() for name, value in weights.items()}


def to_theirs(weights: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Name our weights as fairseq's, float32, and add the positions, which hold none."""
    named = {_translated(name, names, 1, 0): stored(value) for name, value in weights.items()}
    return named | {name: torch.zeros(1) for name in POSITIONS}


def _translated(name: str, names: Names, given: int, wanted: int) -> str:
    """Translate a name between the columns of `names`; one that is not there stays as it is."""
    for row in names:
        pattern = re.escape(row[given]).replace(r"\{i\}", r"(\d+)").replace(r"\{name\}", r"(\w+)")
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", re.sub(r"\{(i|name)\}", r"\\1", row[wanted]), name)
    return name


def taken(settings: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Give those settings that are named, under our names."""
    return {ours: settings[theirs] for theirs, ours in names.items() if settings.get(theirs) is not None}


def told(config: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Give what a config of ours says, under fairseq's names."""
    return {theirs: getattr(config, ours) for theirs, ours in names.items()}


def check_same(settings: Mapping[str, Any], same: Mapping[str, Any], address: str, model: str) -> None:
    """Raise UserError, beginning with `address`, for settings other than those that all models here have."""
    for name, value in same.items():
        if settings.get(name, value) != value:
            raise UserError(f"{address} has {name}={settings[name]}, but {model} here has {value}; give another model")


def task_settings(max_frames: int, max_steps: int, frames_per_step: int, num_units: int | None) -> dict[str, Any]:
    """Give the settings of fairseq's speech_to_speech task for a model; `num_units` is None for spectrograms."""
    return {
        "task": "speech_to_speech",
        "data": ".",
        "config_yaml": CONFIG,
        "multitask_config_yaml": None,
        "target_is_code": num_units is not None,
        "target_code_size": num_units,
        "n_frames_per_step": frames_per_step,
        "max_source_positions": max_frames,
        "max_target_positions": max_steps,
        "eval_inference": False,
        "infer_target_lang": "",
        "seed": 1,
    }
