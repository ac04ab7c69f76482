"""Write a unit Transformer as a checkpoint that fairseq-generate runs; fairseq is not needed.

A model without languages belongs to the task `translation`. One with languages belongs to
`translation_from_pretrained_bart`, with --langs in the model's order and --prepend-bos: that gives sources
`<s> units </s> [source language]`, and begins and ends targets with the target language. Its model is always
`transformer`, which has all that BART has. Source: fairseq/tasks/translation_from_pretrained_bart.py.
"""

from typing import Any

import torch
from torch import Tensor

from s2st import storage
from s2st.config import UserError
from s2st.fairseq.checkpoint_writer import stored, write_content
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.translators import OUTPUT, POSITIONS, PREFIXES
from s2st.models.transformer import FIRST_POSITION
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig

VERSION = 3.0  # without it fairseq takes the file for an old one, whose pre-LN models had no norm at the end


def check_translator(config: UnitTransformerConfig, where: str) -> None:
    """Raise UserError, beginning with `where`, for a model that fairseq has no form of."""
    if config.merges:
        raise UserError(
            f"{where} reads byte-pair merges of units, which no dictionary of fairseq has; train it without"
        )


def write_translator(folder: str, model: UnitTransformer) -> None:
    """Write model.pt, float32, and dict.txt, in the order of units: unit u is token u + 4.

    fairseq-generate looks for the dictionary as dict.LANGUAGE.txt beside the binarized data; where that was made with
    another order, make it again with --srcdict dict.txt --joined-dictionary. Raises UserError as `check_translator`.
    """
    config = model.config
    check_translator(config, folder)
    task: dict[str, Any] = {"_name": "translation", "data": "."}
    if config.languages:
        langs = ",".join(config.languages)
        task |= {"_name": "translation_from_pretrained_bart", "langs": langs, "prepend_bos": True}
    criterion = {"_name": "label_smoothed_cross_entropy", "label_smoothing": config.label_smoothing}
    cfg = {"model": model_settings(config), "task": task, "criterion": criterion}
    write_content(f"{folder}/model.pt", {"cfg": cfg, "model": _weights(model), "task_state": {}})
    lines = Dictionary.by_number(config.num_units).lines()
    storage.write_bytes(f"{folder}/dict.txt", "".join(f"{line}\n" for line in lines).encode())


def model_settings(config: UnitTransformerConfig) -> dict[str, Any]:
    """Say what a model is like in the words of fairseq's `transformer`."""
    sides: dict[str, Any] = {}
    for side in ("encoder", "decoder"):
        sides |= {
            f"{side}_embed_dim": config.model_dim,
            f"{side}_ffn_embed_dim": config.ffn_dim,
            f"{side}_layers": config.num_layers,
            f"{side}_attention_heads": config.num_heads,
            f"{side}_normalize_before": config.pre_ln,
            f"{side}_learned_pos": config.positions == "learned",
        }
    return {
        "_name": "transformer",
        "arch": "transformer",
        **sides,
        "activation_fn": config.activation,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "share_decoder_input_output_embed": True,
        "share_all_embeddings": config.share_all_embeddings,
        "no_scale_embedding": not config.scale_embeddings,
        "layernorm_embedding": config.embedding_norm,
        "max_source_positions": config.max_positions,
        "max_target_positions": config.max_positions,
        "bart_targets": config.bart_targets,  # ours: fairseq does not read it
    }


def _weights(model: UnitTransformer) -> dict[str, Tensor]:
    weights = {}
    for name, value in model.state_dict().items():
        if name in POSITIONS:  # fairseq numbers positions after the padding symbol, too
            value = torch.cat([value.new_zeros(FIRST_POSITION, value.size(1)), value])
        prefix, ours = next(
            ((theirs, ours) for theirs, ours in PREFIXES.items() if name.startswith(ours)),
            ("", ""),
        )
        weights[prefix + name.removeprefix(ours)] = stored(value)
    versions = {f"{side}.version": torch.tensor([VERSION]) for side in ("encoder", "decoder")}
    return {**weights, **versions, OUTPUT: weights["decoder.embed_tokens.weight"]}
