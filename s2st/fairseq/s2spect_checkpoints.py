"""S2SPECT as fairseq keeps it, both ways: its s2spect_transformer is our S2Spect.

Heads of auxiliary tasks are not read: translation does not need them. fairseq's task finds its features' config.yaml
beside the data that it is given (see speech_config.py).
Source: fairseq/models/speech_to_speech/s2s_transformer.py, fairseq/tasks/speech_to_speech.py.
"""

import re
from typing import Any

import torch
from torch import Tensor

from s2st.config import UserError, build
from s2st.fairseq.checkpoint_writer import write_content
from s2st.fairseq.speech_config import CONFIG
from s2st.fairseq.unpickle import read_fairseq
from s2st.features.filterbank import NUM_BANDS
from s2st.features.speech_mel import NUM_MELS
from s2st.models.s2spect import S2Spect, S2SpectConfig

NAMES = (  # theirs, ours; {i} is a number
    ("encoder.subsample.conv_layers.", "source.convolutions."),
    ("encoder.transformer_layers.", "source.encoder.layers."),
    ("encoder.layer_norm.", "source.encoder.layer_norm."),
    ("decoder.prenet.0.layers.{i}.0.", "prenet.layers.{i}."),
    ("decoder.prenet.1.", "prenet_projection."),
    ("decoder.pos_emb_alpha", "position_scale"),
    ("decoder.transformer_layers.", "decoder.layers."),
    ("decoder.layer_norm.", "decoder.layer_norm."),
    ("decoder.feat_proj.", "frames."),
    ("decoder.eos_proj.", "stop."),
    ("decoder.postnet.convolutions.{i}.0.", "postnet.convolutions.{i}."),
    ("decoder.postnet.convolutions.{i}.1.", "postnet.norms.{i}."),
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
DECODER_SETTINGS = {
    "decoder_transformer_layers": "num_layers",
    "decoder_embed_dim": "model_dim",
    "decoder_attention_heads": "num_heads",
    "decoder_ffn_embed_dim": "ffn_dim",
    "decoder_normalize_before": "pre_ln",
    "prenet_layers": "prenet_layers",
    "prenet_dim": "prenet_dim",
    "prenet_dropout": "prenet_dropout",
    "max_target_positions": "max_steps",
}
SHARED_SETTINGS = {
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "activation_fn": "activation",
}  # of encoder and decoder
POSTNET_SETTINGS = {
    "postnet_layers": "num_layers",
    "postnet_conv_dim": "dim",
    "postnet_conv_kernel_size": "kernel",
    "postnet_dropout": "dropout",
}
SAME = {
    "conv_kernel_sizes": "5,5",
    "conv_version": "s2t_transformer",
    "no_scale_embedding": False,
    "output_frame_dim": NUM_MELS,
    "input_feat_per_channel": NUM_BANDS,
    "target_speaker_embed": False,
}  # what our model is, and others may not be


def read_s2spect(address: str) -> tuple[S2Spect, dict[str, Any]]:
    """Read S2SPECT from a checkpoint of fairseq, on the CPU in eval mode, and its info.

    Raises UserError if the file holds no such model or one that differs from ours.
    """
    checkpoint = read_fairseq(address)
    settings, task = checkpoint["cfg"].get("model") or {}, checkpoint["cfg"].get("task") or {}
    weights = {name: value for name, value in checkpoint["model"].items() if name not in POSITIONS}
    if "decoder.feat_proj.weight" not in weights:
        raise UserError(f"{address} holds no s2spect_transformer (no decoder.feat_proj); give another checkpoint")
    for name, value in SAME.items():
        if settings.get(name, value) != value:
            raise UserError(f"{address} has {name}={settings[name]}, but S2SPECT here has {value}; give another model")
    model = S2Spect(build(S2SpectConfig, _config({**task, **settings}, weights), address))
    heads = sorted({name.partition(".")[0] for name in weights} - {"encoder", "decoder"})
    kept = {name: value for name, value in weights.items() if name.partition(".")[0] not in heads}
    try:
        model.load_state_dict({_renamed(name, 0, 1): value for name, value in kept.items()})
    except RuntimeError as error:
        raise UserError(f"{address} does not fit its settings: {str(error).splitlines()[-1].strip()}") from None
    return model.eval(), {"source": address, "heads_left_out": heads}


def write_s2spect(address: str, model: S2Spect) -> None:
    """Write a model, float32, into a file (.pt) that fairseq's load_model_ensemble_and_task takes."""
    weights = {_renamed(name, 1, 0): value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    weights |= {name: torch.zeros(1) for name in POSITIONS}
    task = {
        "task": "speech_to_speech",
        "data": ".",
        "config_yaml": CONFIG,
        "multitask_config_yaml": None,
        "target_is_code": False,
        "n_frames_per_step": model.frames_per_step,
        "max_source_positions": model.config.source.max_frames,
        "max_target_positions": model.config.decoder.max_steps,
        "eval_inference": False,
        "eos_prob_threshold": 0.5,
        "vocoder": "griffin_lim",
        "spec_bwd_max_iter": 32,
        "infer_target_lang": "",
        "seed": 1,
    }
    settings = {"_name": "s2spect_transformer_fisher", **_settings(model.config)}
    for name in ("max_source_positions", "max_target_positions"):
        settings[name] = task[name]
    write_content(address, {"cfg": {"model": settings, "task": task}, "model": weights, "task_state": {}})


def _config(settings: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    """Say in our words what fairseq's settings say; widths of input and output follow from the weights."""

    def taken(names: dict[str, str]) -> dict[str, Any]:
        return {ours: settings[theirs] for theirs, ours in names.items() if settings.get(theirs) is not None}

    features = weights["encoder.subsample.conv_layers.0.weight"].size(1)
    return {
        "source": {**taken(SHARED_SETTINGS), **taken(SOURCE_SETTINGS), "deltas": features > NUM_BANDS},
        "decoder": {**taken(SHARED_SETTINGS), **taken(DECODER_SETTINGS)},
        "postnet": taken(POSTNET_SETTINGS),
        "frames_per_step": weights["decoder.feat_proj.weight"].size(0) // NUM_MELS,
    }


def _settings(config: S2SpectConfig) -> dict[str, Any]:
    """Say in fairseq's words what a model is like; it has one dropout for both sides, here the encoder's."""
    source = {**SHARED_SETTINGS, **SOURCE_SETTINGS}
    parts = ((config.source, source), (config.decoder, DECODER_SETTINGS), (config.postnet, POSTNET_SETTINGS))
    told = {theirs: getattr(part, ours) for part, names in parts for theirs, ours in names.items()}
    return {**SAME, **told, "input_channels": 3 if config.source.deltas else 1}


def _renamed(name: str, given: int, wanted: int) -> str:
    """Translate a weight's name between the columns of NAMES."""
    for names in NAMES:
        pattern = re.escape(names[given]).replace(r"\{i\}", r"(\d+)")
        if re.match(pattern, name):
            return re.sub(f"^{pattern}", names[wanted].replace("{i}", r"\1"), name)
    return name
