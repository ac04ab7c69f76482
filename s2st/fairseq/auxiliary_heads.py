"""The heads of auxiliary tasks in fairseq's words (config_multitask.yaml) and in ours.

Source: fairseq/data/audio/data_cfg.py (SingleTaskConfig) and base_multitask_text_transformer_decoder_arch in
fairseq/models/speech_to_speech/s2s_transformer.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2st.config import UserError, build
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.multitask import MULTITASK, read_task_settings
from s2st.fairseq.speech_config import DICTIONARY, write_yaml
from s2st.models.auxiliary_tasks import MAX_SYMBOLS, HeadConfig, TaskConfig

SHARED = (
    *("decoder_type", "encoder_layer", "decoder_layer", "label_smoothing", "zero_infinity"),
    *("loss_weight", "loss_weight_max", "loss_weight_min", "loss_weight_decay_steps"),
)  # settings that mean the same here
OTHER_MODELS = ("rdrop_alpha", "is_first_pass_decoder", "prepend_bos_and_append_tgt_lang_tag")
DECODER_ARGUMENTS = {
    "decoder_layers": "num_layers",
    "decoder_embed_dim": "model_dim",
    "decoder_attention_heads": "num_heads",
    "decoder_ffn_embed_dim": "ffn_dim",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "activation_fn": "activation",
    "decoder_normalize_before": "pre_ln",
}
FIXED_ARGUMENTS = {"share_decoder_input_output_embed": True, "max_target_positions": MAX_SYMBOLS}


def read_tasks(path: Path, names: Sequence[str] | None = None) -> dict[str, TaskConfig]:
    """Read tasks of `config_multitask.yaml` with their dictionaries: those that are named, or all.

    Raises UserError for a name that is not there, and as `read_task`.
    """
    settings = read_task_settings(path)
    if lost := [name for name in names or () if name not in settings]:
        raise UserError(f"{path} has no task '{lost[0]}', which the checkpoint has; give the file it was trained with")
    return {
        name: read_task(name, settings[name], Dictionary.load(settings[name]["dict"]).symbols, str(path))
        for name in (settings if names is None else names)
    }


def read_task(name: str, settings: Mapping[str, Any], symbols: Sequence[str], where: str) -> TaskConfig:
    """Make the config of a head from its settings in `config_multitask.yaml` and its dictionary.

    A dictionary of numbers alone is one of units; a task whose name begins with "source" tells the source. Raises
    UserError, beginning with `where`, for what our heads cannot do.
    """
    where = f"{where}: task '{name}'"
    if used := [setting for setting in OTHER_MODELS if settings.get(setting)]:
        raise UserError(f"{where} has {used[0]}, which models here have not; take it out")
    if settings.get("decoder_layer", 1) == 0:
        raise UserError(f"{where} has decoder_layer 0; name a layer, from 1, which is the embedding")
    target = "source_letters" if name.startswith("source") else "target_letters"
    if all(symbol.isdecimal() for symbol in symbols):
        target = "target_units"
    shared = {setting: settings[setting] for setting in SHARED if setting in settings}
    decoder = _decoder(settings.get("decoder_args") or {}, where)
    return build(TaskConfig, {**shared, "target": target, "symbols": list(symbols), "decoder": decoder}, where)


def write_tasks(data: Path, tasks: Mapping[str, TaskConfig]) -> None:
    """Write `config_multitask.yaml`, and a dictionary in a folder of each task, for fairseq to build the heads."""
    content = {}
    for name, task in tasks.items():
        place = data.absolute() / name
        Dictionary.of(task.symbols).save(place / DICTIONARY)
        content[name] = {**task_settings(task), "dict": f"{place}/{DICTIONARY}", "data": str(place)}
    write_yaml(data / MULTITASK, content)


def task_settings(task: TaskConfig) -> dict[str, Any]:
    """Say a head in the words of `config_multitask.yaml`; its dictionary goes to a file of its own."""
    layer = "decoder_layer" if task.decoder_layer else "encoder_layer"
    falling = ("loss_weight_max", "loss_weight_min", "loss_weight_decay_steps")
    weights = falling if task.loss_weight_decay_steps else ("loss_weight",)
    names = ["decoder_type", layer, *weights, "zero_infinity" if task.decoder_type == "ctc" else "label_smoothing"]
    settings = {name: getattr(task, name) for name in names}
    if task.decoder_type == "ctc":
        return settings
    arguments = {theirs: getattr(task.decoder, ours) for theirs, ours in DECODER_ARGUMENTS.items()}
    return {**settings, "decoder_args": {**arguments, **FIXED_ARGUMENTS}}


def _decoder(arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Translate decoder_args; dropouts that are not given are as the one called dropout."""
    for name, value in arguments.items():
        if name in FIXED_ARGUMENTS and value != FIXED_ARGUMENTS[name]:
            raise UserError(f"{where} has {name}={value!r}, but heads here have {FIXED_ARGUMENTS[name]}")
        if name not in DECODER_ARGUMENTS and name not in FIXED_ARGUMENTS:
            raise UserError(f"{where} has the unknown decoder_args '{name}'; known: {', '.join(DECODER_ARGUMENTS)}")
    dropout = arguments.get("dropout", HeadConfig.dropout)
    given = {"attention_dropout": dropout, "activation_dropout": dropout, **arguments}
    return {ours: given[theirs] for theirs, ours in DECODER_ARGUMENTS.items() if theirs in given}
