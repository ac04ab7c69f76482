"""S2UT as fairseq keeps it, both ways: its s2ut_transformer is our S2ut, with the heads of auxiliary tasks.

What heads and language tags mean is not in the checkpoint but beside fairseq's data: in config_multitask.yaml and
dict.txt. There its task finds config.yaml, too (see speech_config.py).
Source: fairseq/models/speech_to_speech/s2s_transformer.py, fairseq/tasks/speech_to_speech.py.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s2st.config import UserError, build
from s2st.fairseq import s2s_models
from s2st.fairseq.auxiliary_heads import read_tasks, write_tasks
from s2st.fairseq.checkpoint_writer import write_content
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.multitask import MULTITASK
from s2st.fairseq.s2s_models import (
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
from s2st.fairseq.speech_config import DICTIONARY
from s2st.fairseq.unpickle import read_fairseq, section
from s2st.models.auxiliary_tasks import TaskConfig
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.units import NUM_SPECIALS

NAMES = (
    *SOURCE_NAMES,
    ("decoder.embed_tokens.project_in_dim.", "decoder.project_in."),
    ("decoder.project_in_dim.", "decoder.project_in."),  # of older checkpoints
    ("decoder.out_proj_n_frames.", "decoder.project_out."),
    ("decoder.layers.", "decoder.decoder.layers."),
    ("decoder.layer_norm.", "decoder.decoder.layer_norm."),
    ("{name}_decoder.proj.", "tasks.{name}.proj."),
    ("{name}_decoder.embed_tokens.", "tasks.{name}.decoder.embed_tokens."),
    ("{name}_decoder.layers.", "tasks.{name}.decoder.decoder.layers."),
    ("{name}_decoder.layer_norm.", "tasks.{name}.decoder.decoder.layer_norm."),
)
UNUSED = re.compile(r"(\.output_projection\.weight|\.version|\.embed_positions\._float_tensor)$")  # tied, or constant
VERSION = 3.0  # of fairseq's Transformer decoder: with a norm at its end
LANGUAGE_TAG = re.compile(r"<lang:(.+)>")

DECODER_SETTINGS = {
    "decoder_layers": "num_layers",
    "decoder_embed_dim": "model_dim",
    "decoder_attention_heads": "num_heads",
    "decoder_ffn_embed_dim": "ffn_dim",
    "decoder_normalize_before": "pre_ln",
}
SAME = {**s2s_models.SAME, "share_decoder_input_output_embed": True, "input_channels": 1}


def s2ut_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of fairseq's S2UTTransformerModel as our S2ut does; tied and constant ones are left out."""
    return to_ours({name: value for name, value in state.items() if not UNUSED.search(name)}, NAMES)


def read_s2ut(address: str, data: Path | None = None) -> tuple[S2ut, dict[str, Any]]:
    """Read S2UT from a checkpoint of fairseq, on the CPU in eval mode, and its info.

    `data` is the folder of fairseq's data; without it, heads of auxiliary tasks are left out. Raises UserError if the
    file holds no such model or one that differs from ours, or has language tags that no dict.txt tells.
    """
    checkpoint = read_fairseq(address)
    settings, task = section(checkpoint["cfg"], "model"), section(checkpoint["cfg"], "task")
    weights = s2ut_weights(checkpoint["model"])
    if "decoder.embed_tokens.weight" not in weights:
        raise UserError(f"{address} holds no s2ut_transformer (no decoder.embed_tokens); give another checkpoint")
    check_same(settings, SAME, address, "S2UT")
    heads = sorted({name.split(".")[1] for name in weights if name.startswith("tasks.")})
    tasks = read_tasks(data / MULTITASK, heads) if data is not None and heads else {}
    weights = {name: value for name, value in weights.items() if _is_kept(name, tasks)}
    symbols = len(weights["decoder.embed_tokens.weight"]) - NUM_SPECIALS
    config = {**_config({**task, **settings}), **_vocabulary(symbols, task.get("target_code_size"), data, address)}
    model = S2ut(build(S2utConfig, {**config, "tasks": tasks}, address))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"{address} does not fit its settings: {str(error).splitlines()[-1].strip()}") from None
    return model.eval(), {"source": address, "heads_left_out": [name for name in heads if name not in tasks]}


def check_s2ut(config: S2utConfig, where: str) -> None:
    """Raise UserError, beginning with `where`, for a model that fairseq has no form of."""
    if config.pretrained or config.source.deltas:
        raise UserError(
            f"{where}: fairseq's s2ut_transformer hears filterbanks without deltas, and has no pre-trained encoder, so "
            "this model cannot be written for it"
        )


def write_s2ut(address: str, model: S2ut, data: Path) -> None:
    """Write a model, float32, into a file (.pt) that fairseq's load_model_ensemble_and_task takes.

    dict.txt and, for heads, config_multitask.yaml with their dictionaries go into `data`, the folder of fairseq's data,
    whose config.yaml is to be there as `s2ut_config` makes it. fairseq has one dropout for encoder and decoder; that of
    the encoder is written. Raises UserError for a model with a pre-trained encoder, of which fairseq has no form.
    """
    config = model.config
    check_s2ut(config, address)
    tags = [f"<lang:{lang}>" for lang in config.languages]
    Dictionary.of([*map(str, range(config.num_units)), *tags]).save(data / DICTIONARY)
    if config.tasks:
        write_tasks(data, config.tasks)
    source = told(config.source, {**SHARED_SETTINGS, **SOURCE_SETTINGS})
    task = {
        **task_settings(config.source.max_frames, config.max_steps, config.units_per_step, config.num_units),
        "multitask_config_yaml": MULTITASK if config.tasks else None,
        "vocoder": "code_hifigan",
    }
    settings = {
        "_name": "s2ut_transformer_fisher",
        **SAME,
        **source,
        **told(config.decoder, DECODER_SETTINGS),
        "n_frames_per_step": config.units_per_step,
        "max_target_positions": config.max_steps,
    }
    weights = to_theirs(model.state_dict(), NAMES)
    for name in [name for name in weights if name.endswith("decoder.embed_tokens.weight")]:
        weights[name.replace("embed_tokens", "output_projection")] = weights[name]
        weights[name.replace("embed_tokens.weight", "version")] = torch.tensor([VERSION])
    criterion = {"_name": "speech_to_unit", "label_smoothing": config.label_smoothing}
    cfg = {"model": settings, "task": task, "criterion": criterion}
    write_content(address, {"cfg": cfg, "model": weights, "task_state": {}})


def _is_kept(name: str, tasks: Mapping[str, TaskConfig]) -> bool:
    return not name.startswith("tasks.") or name.split(".")[1] in tasks


def _config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Say in our words what fairseq's settings say."""
    return {
        "source": taken(settings, {**SHARED_SETTINGS, **SOURCE_SETTINGS}),
        "decoder": taken(settings, {**SHARED_SETTINGS, **DECODER_SETTINGS}),
        **taken(settings, {"n_frames_per_step": "units_per_step", "max_target_positions": "max_steps"}),
    }


def _vocabulary(symbols: int, num_units: Any, data: Path | None, address: str) -> dict[str, Any]:
    """Tell units from language tags; without a dictionary, all symbols must be units."""
    if data is None or not (data / DICTIONARY).exists():
        if num_units not in (None, symbols):
            raise UserError(
                f"{address} has {symbols - num_units} symbols beside its units; give the folder of its data"
            )
        return {"num_units": symbols}
    known = Dictionary.load(str(data / DICTIONARY)).symbols
    tags = [LANGUAGE_TAG.fullmatch(symbol) for symbol in known]
    languages = [tag[1] for tag in tags if tag]
    units = len(known) - len(languages)
    if len(known) != symbols or list(known[:units]) != list(map(str, range(units))):
        raise UserError(
            f"{data / DICTIONARY} must hold the {symbols} symbols of {address}: units 0, 1, 2 ... in order, then tags "
            "such as <lang:en>; give the file it was trained with"
        )
    return {"num_units": units, "languages": languages}
