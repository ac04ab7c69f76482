"""Encoders of Hugging Face, HubertModel and Wav2Vec2Model, as models of ours; transformers is not needed."""

import io
import pickle
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from s2st import storage
from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.interop.torchaudio import NAMES
from s2st.models.foreign import build_encoder, renamed, without_prefix
from s2st.models.speech_encoder import SpeechEncoder

SETTINGS: dict[str, tuple[str, Any]] = {
    "num_attention_heads": ("num_heads", 12),
    "do_stable_layer_norm": ("pre_ln", False),
    "hidden_dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.1),
    "activation_dropout": ("activation_dropout", 0.1),
    "layerdrop": ("layer_drop", 0.1),
}  # with the values that a config.json may leave out
SAME = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
}  # what our encoder is, and others may not be


def read_encoder(folder: str) -> tuple[SpeechEncoder, dict[str, Any]]:
    """Read HuBERT or wav2vec 2.0, pre-trained or fine-tuned, from a folder of Hugging Face, and its info.

    The folder has config.json, model.safetensors (in one or more parts) or pytorch_model.bin, and
    preprocessor_config.json, which tells whether waveforms are normalised. Layer L is hidden_states[L] there;
    transformers before 5 gives the last one of pre-LN models after the last norm.
    Raises UserError if the folder lacks a file or holds another model.
    """
    config = _read_json(folder, "config.json")
    if config is None:
        raise UserError(f"{folder} has no config.json; give a folder that holds a model of Hugging Face")
    if (kind := config.get("model_type")) not in ("hubert", "wav2vec2"):
        raise UserError(f"{folder} holds a {kind!r}; encoders that can be read are hubert and wav2vec2")
    for name, value in SAME.items():
        if config.get(name, value) != value:
            raise UserError(f"{folder} has {name}={config[name]}, but encoders here have {value}; give another model")
    settings = {ours: config.get(name, default) for name, (ours, default) in SETTINGS.items()}
    shapes = [config.get(name) for name in ("conv_dim", "conv_kernel", "conv_stride")]
    if all(isinstance(shape, list) for shape in shapes):
        settings["conv_layers"] = [list(layer) for layer in zip(*shapes, strict=False)]
    preprocessor = _read_json(folder, "preprocessor_config.json")
    if preprocessor is not None:
        settings["normalize_waveform"] = preprocessor.get("do_normalize", True)
        if (rate := preprocessor.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
            raise UserError(f"{folder} hears {rate} samples a second, but speech here has {SAMPLE_RATE}")
    weights = renamed(without_prefix(_read_weights(folder)), NAMES)
    return build_encoder(weights, settings, folder), {"architecture": kind, "source": folder}


def _read_json(folder: str, name: str) -> dict[str, Any] | None:
    try:
        value = storage.read_json(f"{folder}/{name}")
    except FileNotFoundError:
        return None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{folder}/{name} is not a JSON object; fetch it again")
    return value


def _read_weights(folder: str) -> dict[str, Tensor]:
    index = _read_json(folder, "model.safetensors.index.json")
    parts = sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]
    if any("/" in part for part in parts):
        raise UserError(f"{folder}/model.safetensors.index.json names files outside of its folder; fetch it again")
    try:
        if index or storage.is_file(f"{folder}/model.safetensors"):
            weights: dict[str, Tensor] = {}
            for part in parts:
                weights |= safetensors.torch.load(storage.read_bytes(f"{folder}/{part}"))
            return weights
        data = storage.read_bytes(f"{folder}/pytorch_model.bin")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{folder} has no model.safetensors and no pytorch_model.bin, or lacks a part of it") from None
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"the weights in {folder} cannot be read ({' '.join(str(error).split())[:200]})") from None
