"""Encoders of fairseq, HuBERT and wav2vec 2.0, as models of ours."""

import ast
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.task_state import read_dictionaries
from s2st.fairseq.unpickle import read_fairseq, section
from s2st.models.foreign import build_ctc, build_encoder, is_head, renamed, without_prefix
from s2st.models.hubert_ctc import HubertCtc
from s2st.models.speech_encoder import SpeechEncoder
from s2st.units import NUM_SPECIALS

HUBERT_NAMES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.(weight|bias)", r"convolutions.\1.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.(1\.)?(weight|bias)", r"convolutions.\1.norm.\3"),
    (r"encoder\.pos_conv\.0", "positional"),
    (r"parametrizations\.weight\.original0", "weight_g"),
    (r"parametrizations\.weight\.original1", "weight_v"),
    (r"encoder\.layer_norm", "encoder_norm"),
    (r"encoder\.layers", "layers"),
    (r"^layer_norm", "feature_norm"),
    (r"post_extract_proj", "feature_projection"),
    (r"self_attn_layer_norm", "attention_norm"),
    (r"final_layer_norm", "output_norm"),
    (r"self_attn\.q_proj", "attention.query"),
    (r"self_attn\.k_proj", "attention.key"),
    (r"self_attn\.v_proj", "attention.value"),
    (r"self_attn\.out_proj", "attention.output"),
    (r"\.fc1\.", ".expand."),
    (r"\.fc2\.", ".contract."),
    (r"mask_emb", "mask_embedding"),
    (r"final_proj", "final_projection"),
    (r"label_embs_concat", "label_embeddings"),
)

SETTINGS = {
    "encoder_attention_heads": "num_heads",
    "layer_norm_first": "pre_ln",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "encoder_layerdrop": "layer_drop",
    "feature_grad_mult": "feature_grad_mult",
    "mask_prob": "mask_probability",
    "mask_length": "mask_length",
    "logit_temp": "logit_temperature",
    "label_rate": "label_rate",
}
OUTPUT = "w2v_encoder.proj"  # of a fine-tuned model
CTC_SETTINGS = {
    "mask_prob": "mask_probability",
    "mask_length": "mask_length",
    "mask_channel_prob": "channel_mask_probability",
    "mask_channel_length": "channel_mask_length",
    "final_dropout": "final_dropout",
}  # of what is fine-tuned
SAME = {"activation_fn": "gelu", "layer_type": "transformer"}  # what our encoder is, and others may not be


def hubert_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of fairseq's HubertModel or Wav2Vec2Model as our Hubert does."""
    return renamed(state, HUBERT_NAMES)


def read_encoder(address: str) -> tuple[SpeechEncoder, dict[str, Any]]:
    """Read HuBERT or wav2vec 2.0, pre-trained or fine-tuned, from a checkpoint of fairseq, and its info.

    Label k of a pre-trained HuBERT is row k + 4 of its label_embeddings, whatever the order of the file's dictionary.
    Raises UserError if the file holds no such model or one that differs from ours.
    """
    checkpoint = read_fairseq(address)
    weights = hubert_weights(without_prefix(checkpoint["model"]))
    if "label_embeddings" in weights:
        labels = read_dictionaries(checkpoint["task_state"], address)["dictionaries"]
        weights["label_embeddings"] = _by_number(weights["label_embeddings"], labels)
    return _encoder(weights, checkpoint["cfg"], address)


def read_ctc(address: str) -> tuple[HubertCtc, dict[str, Any]]:
    """Read HuBERT or wav2vec 2.0, fine-tuned by CTC, with its output and its letters or units, and its info.

    Raises UserError as `read_encoder`, and if the file has no output of CTC or no dictionary.
    """
    checkpoint = read_fairseq(address)
    state = checkpoint["model"]
    kept = {f"output.{part}": state[f"{OUTPUT}.{part}"] for part in ("weight", "bias") if f"{OUTPUT}.{part}" in state}
    if len(kept) < 2:
        raise UserError(f"{address} has no output of CTC ({OUTPUT}); without languages it is imported as an encoder")
    dictionaries = read_dictionaries(checkpoint["task_state"], address)["target_dictionary"]
    if not dictionaries:
        raise UserError(f"{address} does not say its letters (no target_dictionary); give a newer checkpoint")
    weights = hubert_weights(without_prefix(state))
    kept |= {name: value for name, value in weights.items() if name == "mask_embedding"}  # where there is one
    encoder, info = _encoder({name: weights[name] for name in weights if not is_head(name)}, checkpoint["cfg"], address)
    model = section(checkpoint["cfg"], "model")
    settings = {ours: model[name] for name, ours in CTC_SETTINGS.items() if _is_number(model.get(name))}
    if model.get("apply_mask") is False:
        settings |= {"mask_probability": 0.0, "channel_mask_probability": 0.0}
    return build_ctc(encoder, settings, dictionaries[0].symbols, kept, address), info


def _encoder(weights: Mapping[str, Tensor], cfg: Any, address: str) -> tuple[SpeechEncoder, dict[str, Any]]:
    model, task = _sections(cfg)
    for name, value in SAME.items():
        if model.get(name, value) != value:
            raise UserError(f"{address} has {name}={model[name]}, but encoders here have {value}; give another model")
    if (rate := task.get("sample_rate", SAMPLE_RATE)) != SAMPLE_RATE:
        raise UserError(f"{address} hears {rate} samples a second, but speech here has {SAMPLE_RATE}")
    settings = {ours: model[name] for name, ours in SETTINGS.items() if _is_number(model.get(name))}
    if _is_number(task.get("label_rate")) and "label_rate" not in settings:
        settings["label_rate"] = task["label_rate"]
    if settings.get("label_rate", 1) <= 0:  # what fine-tuning has
        del settings["label_rate"]
    if isinstance(task.get("normalize"), bool):
        settings["normalize_waveform"] = task["normalize"]
    if isinstance(model.get("conv_feature_layers"), str):
        settings["conv_layers"] = _convolutions(model["conv_feature_layers"], address)
    made_by = f"{model.get('_name')} {model.get('arch')}"
    is_hubert = "hubert" in made_by or "label_embeddings" in weights
    info = {"architecture": "hubert" if is_hubert else "wav2vec2", "source": address}
    return build_encoder(weights, settings, address), info


def _by_number(rows: Tensor, labels: list[Dictionary]) -> Tensor:
    """Sort the rows of label embeddings by the numbers that their symbols are; other symbols stay in their order."""
    if len(labels) != 1 or len(labels[0]) != len(rows):
        return rows
    row = {symbol: i for i, symbol in enumerate(labels[0].symbols, start=NUM_SPECIALS)}
    numbers = [row.get(str(label)) for label in range(len(row))]
    return rows if None in numbers else rows[[*range(NUM_SPECIALS), *numbers]]


def _sections(cfg: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Find the settings of the encoder and of what it hears: fine-tuned models keep the encoder's in w2v_args."""
    model, task = section(cfg, "model"), section(cfg, "task")
    inner = section(model, "w2v_args")
    if not inner:
        return model, task
    names = {"_name", "arch"} - set(inner)
    encoder = section(inner, "model") or {**inner, **{name: model[name] for name in names if name in model}}
    return encoder, {**(section(inner, "task") or inner), **task}


def _is_number(value: Any) -> bool:
    """Tell numbers and bools from what is missing and from text such as ${task.label_rate}."""
    return isinstance(value, int | float)


def _convolutions(text: str, address: str) -> list[tuple[int, ...]]:
    """Read "[(512, 10, 5)] + [(512, 3, 2)] * 4", an expression that fairseq evaluates, without evaluating it."""
    try:
        return _unfold(ast.parse(text[:1000].strip(), mode="eval").body)
    except (ValueError, SyntaxError, TypeError, RecursionError):
        raise UserError(f"{address} has conv_feature_layers={text[:80]!r}, which is no list of convolutions") from None


def _unfold(node: ast.expr) -> list[tuple[int, ...]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _unfold(node.left) + _unfold(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        layers, times = _unfold(node.left), ast.literal_eval(node.right)
        if len(layers) * times > 100:  # of which a repetition of repetitions has billions
            raise ValueError(times)
        return layers * times
    return [tuple(layer) for layer in ast.literal_eval(node)]
