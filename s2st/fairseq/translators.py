"""Unit Transformers of fairseq as ours: `transformer` of the translation task, and BART's kind (mBART, UTUT).

Rows of the embedding come in the order of a dictionary there, in that of s2st.units here. A plain translation has its
dictionary beside it (dict.src.txt); tasks of mBART add a symbol a language and <mask> to it. Units that the dictionary
lacks get the row of <unk>, as which fairseq would read them. Its symbols that are no units (madeupword0000) have no
place here: the probability that the model gave them is shared among the others.
Source: fairseq/models/transformer, fairseq/models/bart/model.py, fairseq/tasks/multilingual_denoising.py.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from s2st.config import UserError, build
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.unpickle import read_fairseq, section
from s2st.models.foreign import load_exactly
from s2st.models.transformer import FIRST_POSITION
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from s2st.units import NUM_SPECIALS, UNK

OUTPUT = "decoder.output_projection.weight"
UNUSED = ("encoder.version", "decoder.version", OUTPUT)  # and sinusoidal positions, which are computed
PREFIXES = {
    "encoder.embed_tokens.": "source_embed_tokens.",
    "decoder.embed_tokens.": "embed_tokens.",
    "encoder.embed_positions.weight": "source_input.positions",
    "decoder.embed_positions.weight": "target_input.positions",
    "encoder.layernorm_embedding.": "source_input.norm.",
    "decoder.layernorm_embedding.": "target_input.norm.",
}  # fairseq's and ours; other names are the same
EMBEDDINGS = ("source_embed_tokens.weight", "embed_tokens.weight")
POSITIONS = ("source_input.positions", "target_input.positions")
NEEDED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "encoder.layers.0.fc1.weight")
SETTINGS = {
    "activation_fn": "activation",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
}
MAX_POSITIONS = 1024  # fairseq's, where the file does not say


def read_translator(address: str, dictionary: Dictionary, num_units: int) -> UnitTransformer:
    """Read a unit Transformer from a checkpoint of fairseq (.pt) whose joined dictionary is given.

    It has languages if the file's task has; without, it is the plain model of one direction.
    Raises UserError if the file holds no such model, one that differs from ours, or one of another dictionary.
    """
    checkpoint = read_fairseq(address)
    task = section(checkpoint["cfg"], "task")
    weights = _our_names(checkpoint["model"], address)
    symbols = _symbols(dictionary, task, len(weights["embed_tokens.weight"]), address)
    languages = tuple(match[1] for symbol in symbols if (match := re.fullmatch(r"\[(\w+)\]", symbol)))
    if languages and task.get("_name") == "translation_from_pretrained_bart" and not task.get("prepend_bos"):
        raise UserError(f"{address} reads sources without <s>, but models here read it; give one with prepend_bos")
    rows = _rows(symbols, num_units, languages, address)
    for name in EMBEDDINGS:
        weights[name] = weights[name][rows]
    model = section(checkpoint["cfg"], "model")
    settings = {
        **_settings(model, weights, address),
        "num_units": num_units,
        "languages": languages,
        "bart_targets": bool(languages) and model.get("bart_targets", True),  # a word of ours: see translator_writer.py
    }
    smoothing = section(checkpoint["cfg"], "criterion").get("label_smoothing")
    if isinstance(smoothing, float):
        settings["label_smoothing"] = smoothing
    return _build(settings, weights, address)


def _our_names(state: Mapping[str, Tensor], address: str) -> dict[str, Tensor]:
    """Name weights, float32, as ours are, and leave the rows of learned positions out that fairseq never uses."""
    if lost := [name for name in NEEDED if name not in state or state[name].dim() != 2]:
        raise UserError(f"{address} holds no Transformer from symbols to symbols (no {lost[0]})")
    source, target = state["encoder.embed_tokens.weight"], state["decoder.embed_tokens.weight"]
    if len(source) != len(target) or not torch.equal(state.get(OUTPUT, target), target):
        raise UserError(
            f"{address} has a dictionary a side, or an output apart from its target embedding; train it with "
            "--joined-dictionary and --share-decoder-input-output-embed"
        )
    weights = {}
    for name, value in state.items():
        if name in UNUSED or name.endswith("embed_positions._float_tensor"):
            continue
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
        weights[PREFIXES.get(prefix, "") + name.removeprefix(prefix)] = value.float()
    for name in POSITIONS:
        if name in weights:
            weights[name] = weights[name][FIRST_POSITION:]
    return weights


def _symbols(dictionary: Dictionary, task: Mapping[str, Any], num_rows: int, address: str) -> list[str]:
    """List the symbols of the embedding's rows behind the specials: the dictionary, and what tasks of mBART add."""
    symbols = list(dictionary.symbols)
    if len(symbols) + NUM_SPECIALS < num_rows and isinstance(task.get("langs"), str):
        symbols += [*(f"[{lang}]" for lang in task["langs"].split(",")), "<mask>"]
    if len(symbols) + NUM_SPECIALS != num_rows:
        raise UserError(
            f"{address} has {num_rows} symbols, but its dictionary makes {len(symbols) + NUM_SPECIALS}; "
            "give the dict.txt or dict.src.txt that it was trained with"
        )
    return symbols


def _rows(symbols: list[str], num_units: int, languages: tuple[str, ...], address: str) -> list[int]:
    """Say which row of theirs each token of ours is."""
    row = {symbol: number for number, symbol in enumerate(symbols, start=NUM_SPECIALS)}
    if above := [symbol for symbol in symbols if symbol.isdecimal() and int(symbol) >= num_units]:
        raise UserError(f"{address} knows unit {above[0]}, but the codebook makes units 0 to {num_units - 1}")
    ours = [*map(str, range(num_units)), *(f"[{lang}]" for lang in languages), *(["<mask>"] if languages else [])]
    return [*range(NUM_SPECIALS), *(row.get(symbol, UNK) for symbol in ours)]


def _settings(model: Mapping[str, Any], weights: dict[str, Tensor], address: str) -> dict[str, Any]:
    """Read the settings of our config off weights, and off the file's own where weights do not tell."""
    layers = [len(set(re.findall(rf"{side}\.layers\.(\d+)\.", " ".join(weights)))) for side in ("encoder", "decoder")]
    heads = [model.get(f"{side}_attention_heads") for side in ("encoder", "decoder")]
    if layers[0] != layers[1] or heads[0] != heads[1] or not isinstance(heads[0], int):
        raise UserError(
            f"{address} has {layers[0]} and {layers[1]} layers with {heads[0]} and {heads[1]} heads, but encoder and "
            "decoder are alike here"
        )
    learned = [len(weights[name]) for name in POSITIONS if name in weights]
    limits = learned or [model.get(f"max_{side}_positions") or MAX_POSITIONS for side in ("source", "target")]
    for name in POSITIONS:
        if name in weights:
            weights[name] = weights[name][: min(limits)]
    return {
        "num_layers": layers[0],
        "num_heads": heads[0],
        "model_dim": weights["embed_tokens.weight"].size(1),
        "ffn_dim": len(weights["encoder.layers.0.fc1.weight"]),
        "pre_ln": "encoder.layer_norm.weight" in weights,
        "share_all_embeddings": torch.equal(*(weights[name] for name in EMBEDDINGS)),
        "max_positions": min(limits),
        "positions": "learned" if learned else "sinusoidal",
        "embedding_norm": "source_input.norm.weight" in weights,
        "scale_embeddings": not model.get("no_scale_embedding"),
        **{ours: model[name] for name, ours in SETTINGS.items() if model.get(name) is not None},
    }


def _build(settings: dict[str, Any], weights: Mapping[str, Tensor], address: str) -> UnitTransformer:
    model = UnitTransformer(build(UnitTransformerConfig, settings, address))
    load_exactly(model, weights, address, "plain Transformer")
    return model.eval()
