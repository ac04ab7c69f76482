"""Write HuBERT and wav2vec 2.0 as folders of Hugging Face: HubertModel, Wav2Vec2Model, HubertForCTC, Wav2Vec2ForCTC.

A folder has config.json, model.safetensors and preprocessor_config.json, and that of a model fine-tuned by CTC the
files of its letters, vocab.json and tokenizer_config.json. transformers is not needed.
Source: transformers, models/hubert/configuration_hubert.py, models/wav2vec2/tokenization_wav2vec2.py.
"""

from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from s2st import storage
from s2st.audio import SAMPLE_RATE
from s2st.models.foreign import is_head, renamed
from s2st.models.hubert import Hubert
from s2st.models.hubert_ctc import WORD_BOUNDARY, HubertCtc, foreign_symbols
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

NAMES = (
    (r"^layers", "encoder.layers"),
    (r"\.attention_norm", ".layer_norm"),
    (r"\.attention\.query", ".attention.q_proj"),
    (r"\.attention\.key", ".attention.k_proj"),
    (r"\.attention\.value", ".attention.v_proj"),
    (r"\.attention\.output", ".attention.out_proj"),
    (r"\.output_norm", ".final_layer_norm"),
    (r"\.expand", ".feed_forward.intermediate_dense"),
    (r"\.contract", ".feed_forward.output_dense"),
    (r"^convolutions\.(\d+)\.norm", r"feature_extractor.conv_layers.\1.layer_norm"),
    (r"^convolutions\.(\d+)\.(weight|bias)", r"feature_extractor.conv_layers.\1.conv.\2"),
    (r"^feature_norm", "feature_projection.layer_norm"),
    (r"^feature_projection\.(weight|bias)", r"feature_projection.projection.\1"),
    (r"^positional\.weight_g", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"^positional\.weight_v", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"^positional", "encoder.pos_conv_embed.conv"),
    (r"^encoder_norm", "encoder.layer_norm"),
    (r"^mask_embedding", "masked_spec_embed"),
)
CLASSES = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2"}
SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")  # rows of the output; the blank is the padding there, and <s> in fairseq


def write_encoder(folder: str, model: SpeechEncoder | HubertCtc, architecture: str = "hubert") -> None:
    """Write a model, float32, into a folder that from_pretrained of transformers takes.

    architecture is hubert or wav2vec2. The heads of HuBERT's pre-training but for the mask embedding are left out:
    transformers has none. The space among the letters of a HubertCtc becomes `|`. Raises UserError if it has both.
    """
    encoder = model.encoder if isinstance(model, HubertCtc) else model
    kind = "ForCTC" if isinstance(model, HubertCtc) else "Model"
    config = {
        "architectures": [CLASSES[architecture] + kind],
        "model_type": architecture,
        **_encoder_settings(encoder.config),
        **_training_settings(model),
    }
    storage.write_json(f"{folder}/config.json", config)
    storage.write_json(f"{folder}/preprocessor_config.json", _preprocessor(encoder.config))
    weights = _weights(model, architecture)
    stored = {name: value.detach().float().cpu().contiguous() for name, value in weights.items()}
    storage.write_bytes(f"{folder}/model.safetensors", safetensors.torch.save(stored, {"format": "pt"}))
    if isinstance(model, HubertCtc):
        _write_letters(folder, model.config.symbols)


def _encoder_settings(config: EncoderConfig) -> dict[str, Any]:
    channels, kernels, strides = zip(*config.conv_layers, strict=True)
    return {
        "conv_dim": channels,
        "conv_kernel": kernels,
        "conv_stride": strides,
        "conv_bias": config.conv_bias,
        "feat_extract_norm": config.conv_norm,
        "feat_extract_activation": "gelu",
        "feat_proj_layer_norm": True,
        "hidden_size": config.width,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.ffn_dim,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "do_stable_layer_norm": config.pre_ln,
        "num_conv_pos_embeddings": config.positional_kernel,
        "num_conv_pos_embedding_groups": config.positional_groups,
        "hidden_dropout": config.dropout,
        "feat_proj_dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "layerdrop": config.layer_drop,
    }


def _training_settings(model: SpeechEncoder | HubertCtc) -> dict[str, Any]:
    """Say what a training masks; without a mask embedding, nothing."""
    if not isinstance(model, Hubert | HubertCtc):
        return {"apply_spec_augment": False, "mask_time_prob": 0.0}
    masks = {"mask_time_prob": model.config.mask_probability, "mask_time_length": model.config.mask_length}
    if isinstance(model, Hubert):
        return masks
    return {
        **masks,
        "mask_feature_prob": model.config.channel_mask_probability,
        "mask_feature_length": model.config.channel_mask_length,
        "final_dropout": model.config.final_dropout,
        "vocab_size": model.output.out_features,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "ctc_loss_reduction": "sum",
        "ctc_zero_infinity": True,
    }


def _preprocessor(config: EncoderConfig) -> dict[str, Any]:
    """Say what a waveform becomes; models with GroupNorm hear padding there, and are given no mask of it.

    Where transformers normalises, it adds 1e-7 to the variance, and we, as fairseq, 1e-5: near silence they differ.
    """
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "sampling_rate": SAMPLE_RATE,
        "do_normalize": config.normalize_waveform,
        "return_attention_mask": config.conv_norm == "layer",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
    }


def _weights(model: SpeechEncoder | HubertCtc, architecture: str) -> dict[str, Tensor]:
    if not isinstance(model, HubertCtc):
        return renamed(_encoder_weights(model, model.state_dict()), NAMES)
    inner = {**model.encoder.state_dict(), "mask_embedding": model.mask_embedding}
    named = renamed(_encoder_weights(model.encoder, inner), NAMES)
    output = {f"lm_head.{name}": value for name, value in model.output.state_dict().items()}
    return {**{f"{architecture}.{name}": value for name, value in named.items()}, **output}


def _encoder_weights(model: SpeechEncoder, state: dict[str, Tensor]) -> dict[str, Tensor]:
    kept = {name: value for name, value in state.items() if name == "mask_embedding" or not is_head(name)}
    if model.config.conv_bias and model.config.conv_norm == "group":
        kept["convolutions.0.bias"] = torch.zeros(model.config.conv_layers[0][0])  # GroupNorm takes it out again
    return kept


def _write_letters(folder: str, symbols: tuple[str, ...]) -> None:
    letters = foreign_symbols(symbols, folder)
    storage.write_json(f"{folder}/vocab.json", {token: row for row, token in enumerate([*SPECIALS, *letters])})
    tokenizer = {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "word_delimiter_token": WORD_BOUNDARY,
        "do_lower_case": False,
        **dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIALS, strict=True)),
    }
    storage.write_json(f"{folder}/tokenizer_config.json", tokenizer)
