"""Build a speech encoder, or one fine-tuned by CTC, around weights from elsewhere: names and shapes tell its sizes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from s2st.config import UserError, build
from s2st.models.hubert import SPECIAL_SYMBOLS, Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig, encoder_config
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

HEADS = ("mask_embedding", "final_projection", "label_embeddings")  # of HuBERT, beside its encoder
PARTS = ("convolutions", "feature_norm", "feature_projection", "positional", "encoder_norm", "layers", *HEADS)
NEEDED = ("convolutions.0.weight", "convolutions.1.weight", "layers.0.expand.weight", "positional.weight_v")
STRIDES = {10: 5, 3: 2, 2: 2}  # of a kernel, in all models published
HEADS_OF_WIDTH = {1280: 16, 1920: 16}  # of HuBERT xlarge and XLSR 1B, and XLSR 2B; elsewhere a head has 64


def renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Replace in each name every pattern (a regular expression), one after the other."""
    result = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keep the weights beside and below `feature_extractor`, named from there: fine-tuned models wrap the encoder."""
    prefix = next((name.partition("feature_extractor.")[0] for name in state if "feature_extractor." in name), "")
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def build_encoder(weights: Mapping[str, Tensor], settings: Mapping[str, Any], where: str) -> SpeechEncoder:
    """Make a `Hubert` from weights with HuBERT's heads, a `SpeechEncoder` from others; all float32.

    weights are named as ours; what is no part of the model, such as a recognizer's output, is left out.
    settings are those known of HubertConfig. What they leave out follows from names and shapes, and what these
    do not tell is as in the models published: strides, heads of the attention, and that models with LayerNorm
    in the convolutions have it before the attention, too, and hear normalised waveforms.
    Raises UserError, beginning with `where`, if there is no such encoder or it has parts that ours has not.
    """
    kept = {name: value.float() for name, value in weights.items() if name.partition(".")[0] in PARTS}
    if lost := [name for name in NEEDED if name not in kept]:
        raise UserError(f"{where} holds no encoder of HuBERT or wav2vec 2.0 that is known here (no {', '.join(lost)})")
    sizes = {**_sizes(kept, where), **settings}
    if sizes["conv_norm"] == "group":
        kept.pop("convolutions.0.bias", None)  # GroupNorm with one group a channel takes it out
    kind: tuple[type, type] = (EncoderConfig, SpeechEncoder)
    if _has_heads(kept):
        kind = (HubertConfig, Hubert)
        sizes["num_classes"], sizes["final_dim"] = kept["label_embeddings"].shape
        sizes["num_classes"] -= SPECIAL_SYMBOLS
    else:
        kept = {name: value for name, value in kept.items() if not is_head(name)}
    config_type, model_type = kind
    known = {field.name for field in fields(config_type)}
    config: EncoderConfig = build(config_type, {name: value for name, value in sizes.items() if name in known}, where)
    with torch.device("meta"):  # no time and memory for random weights
        model = model_type(config)
    load_exactly(model, kept, where, "plain HuBERT or wav2vec 2.0")
    return model.eval()


def load_exactly(model: nn.Module, weights: Mapping[str, Tensor], where: str, kind: str) -> None:
    """Give a model its weights; those of one on the meta device become its own.

    Raises UserError, beginning with `where`, for weights of other shapes, and if any is missing or left over: then
    the file holds no `kind`.
    """
    try:
        found = model.load_state_dict(weights, strict=False, assign=next(model.parameters()).is_meta)
    except RuntimeError as error:  # shapes
        raise UserError(f"{where} does not fit its settings: {str(error).splitlines()[-1].strip()}") from None
    if names := sorted([*found.missing_keys, *found.unexpected_keys]):
        raise UserError(f"{where} is no {kind}: {', '.join(names[:3])} are on one side only")


def build_ctc(
    encoder: SpeechEncoder,
    settings: Mapping[str, Any],
    symbols: Sequence[str],
    weights: Mapping[str, Tensor],
    where: str,
) -> HubertCtc:
    """Make a `HubertCtc`, float32, of an encoder and weights named as ours: output.* of 4 + symbols, mask_embedding.

    settings are those known of HubertCtcConfig. Without a mask embedding, no frames are masked in a training.
    Raises UserError, beginning with `where`, for an output of other sizes.
    """
    settings = {**settings, "symbols": list(symbols)}
    if "mask_embedding" not in weights:
        weights = {**weights, "mask_embedding": torch.zeros(encoder.config.width)}
        settings["mask_probability"] = 0.0
    config = build(HubertCtcConfig, settings, where)
    with torch.device("meta"):
        model = HubertCtc(replace(config, encoder=encoder_config(encoder.config)))
    state = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    try:
        model.load_state_dict({**state, **{name: value.float() for name, value in weights.items()}}, assign=True)
    except RuntimeError as error:  # shapes
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{where} has an output that does not fit its {len(symbols)} symbols: {reason}") from None
    return model.eval()


def is_head(name: str) -> bool:
    """Tell the weights of HuBERT's pre-training from those of its encoder."""
    return name.partition(".")[0] in HEADS


def _has_heads(weights: Mapping[str, Tensor]) -> bool:
    """Tell whether there are the heads of one set of labels; a fine-tuned model has lost a part of them."""
    needed = {"mask_embedding", "label_embeddings", "final_projection.weight"}
    return needed <= set(weights) and len(weights["final_projection.weight"]) == weights["label_embeddings"].shape[-1]


def _sizes(weights: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """Read the settings of an encoder off its weights."""
    convolutions: list[tuple[int, int, int]] = []
    while f"convolutions.{len(convolutions)}.weight" in weights:
        channels, _, kernel = weights[f"convolutions.{len(convolutions)}.weight"].shape
        convolutions.append((channels, kernel, STRIDES.get(kernel, 0)))
    width, group_width, positional_kernel = weights["positional.weight_v"].shape
    layered = "convolutions.1.norm.weight" in weights
    return {
        "conv_layers": convolutions,
        "conv_norm": "layer" if layered else "group",
        "conv_bias": "convolutions.1.bias" in weights,
        "width": width,
        "num_layers": 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers.")),
        "num_heads": HEADS_OF_WIDTH.get(width, max(1, width // 64)),
        "ffn_dim": len(weights["layers.0.expand.weight"]),
        "pre_ln": layered,
        "positional_kernel": positional_kernel,
        "positional_groups": width // group_width,
        "normalize_waveform": layered,
    }
