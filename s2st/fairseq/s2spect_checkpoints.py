"""S2SPECT as fairseq keeps it, both ways: its s2spect_transformer is our S2Spect.

Heads of auxiliary tasks are not read: translation does not need them. fairseq's task finds its features' config.yaml
beside the data that it is given (see speech_config.py).
Source: fairseq/models/speech_to_speech/s2s_transformer.py, fairseq/tasks/speech_to_speech.py.
"""

from typing import Any

from torch import Tensor

from s2st.config import UserError, build
from s2st.fairseq import s2s_models
from s2st.fairseq.checkpoint_writer import write_content
from s2st.fairseq.s2s_models import (
    POSITIONS,
    SHARED_SETTINGS,
    SOURCE_NAMES,
    SOURCE_SETTINGS,
    check_same,
    taken,
    task_settings,
    to_ours,
    to_theirs,
    told,
)
from s2st.fairseq.unpickle import read_fairseq, section
from s2st.features.filterbank import NUM_BANDS
from s2st.features.speech_mel import NUM_MELS
from s2st.models.s2spect import S2Spect, S2SpectConfig

NAMES = (
    *SOURCE_NAMES,
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
POSTNET_SETTINGS = {
    "postnet_layers": "num_layers",
    "postnet_conv_dim": "dim",
    "postnet_conv_kernel_size": "kernel",
    "postnet_dropout": "dropout",
}
SAME = {**s2s_models.SAME, "output_frame_dim": NUM_MELS}


def read_s2spect(address: str) -> tuple[S2Spect, dict[str, Any]]:
    """Read S2SPECT from a checkpoint of fairseq, on the CPU in eval mode, and its info.

    Raises UserError if the file holds no such model or one that differs from ours.
    """
    checkpoint = read_fairseq(address)
    settings, task = section(checkpoint["cfg"], "model"), section(checkpoint["cfg"], "task")
    weights = {name: value for name, value in checkpoint["model"].items() if name not in POSITIONS}
    if "decoder.feat_proj.weight" not in weights:
        raise UserError(f"{address} holds no s2spect_transformer (no decoder.feat_proj); give another checkpoint")
    check_same(settings, SAME, address, "S2SPECT")
    model = S2Spect(build(S2SpectConfig, _config({**task, **settings}, weights), address))
    heads = sorted({name.partition(".")[0] for name in weights} - {"encoder", "decoder"})
    kept = {name: value for name, value in weights.items() if name.partition(".")[0] not in heads}
    try:
        model.load_state_dict(to_ours(kept, NAMES))
    except RuntimeError as error:
        raise UserError(f"{address} does not fit its settings: {str(error).splitlines()[-1].strip()}") from None
    return model.eval(), {"source": address, "heads_left_out": heads}


def write_s2spect(address: str, model: S2Spect) -> None:
    """Write a model, float32, into a file (.pt) that fairseq's load_model_ensemble_and_task takes."""
    weights = to_theirs(model.state_dict(), NAMES)
    config = model.config
    task = {
        **task_settings(config.source.max_frames, config.decoder.max_steps, model.frames_per_step, num_units=None),
        "eos_prob_threshold": 0.5,
        "vocoder": "griffin_lim",
        "spec_bwd_max_iter": 32,
    }
    settings = {"_name": "s2spect_transformer_fisher", **_settings(config)}
    for name in ("max_source_positions", "max_target_positions"):
        settings[name] = task[name]
    write_content(address, {"cfg": {"model": settings, "task": task}, "model": weights, "task_state": {}})


def _config(settings: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    """Say in our words what fairseq's settings say; widths of input and output follow from the weights."""
    features = weights["encoder.subsample.conv_layers.0.weight"].size(1)
    return {
        "source": {**taken(settings, {**SHARED_SETTINGS, **SOURCE_SETTINGS}), "deltas": features > NUM_BANDS},
        "decoder": taken(settings, {**SHARED_SETTINGS, **DECODER_SETTINGS}),
        "postnet": taken(settings, POSTNET_SETTINGS),
        "frames_per_step": weights["decoder.feat_proj.weight"].size(0) // NUM_MELS,
    }


def _settings(config: S2SpectConfig) -> dict[str, Any]:
    """Say in fairseq's words what a model is like; it has one dropout for both sides, here the encoder's."""
    source = told(config.source, {**SHARED_SETTINGS, **SOURCE_SETTINGS})
    others = told(config.decoder, DECODER_SETTINGS) | told(config.postnet, POSTNET_SETTINGS)
    return {**SAME, **source, **others, "input_channels": 3 if config.source.deltas else 1}
