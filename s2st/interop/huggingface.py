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
from s2st.models.foreign import build_ctc, build_encoder, is_head, renamed, without_prefix
from s2st.models.hubert_ctc import NUM_SPECIALS, HubertCtc
from s2st.models.speech_encoder import SpeechEncoder

SETTINGS: dict[str, tuple[str, Any]] = {
    "num_attention_heads": ("num_heads", 12),
    "do_stable_layer_norm": ("pre_ln", False),
    "hidden_dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.1),
    "activation_dropout": ("activation_dropout", 0.1),
    "layerdrop": ("layer_drop", 0.1),
}  # with the values that a config.json may leave out
CTC_SETTINGS: dict[str, tuple[str, Any]] = {
    "mask_time_prob": ("mask_probability", 0.05),
    "mask_time_length": ("mask_length", 10),
    "mask_feature_prob": ("channel_mask_probability", 0.0),
    "mask_feature_length": ("channel_mask_length", 10),
    "final_dropout": ("final_dropout", 0.1),
}
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]")  # in the vocabularies of published models
IMPOSSIBLE = -1e4  # a score before the softmax that leaves no probability, and no infinity to compute with
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
    config = _read_config(folder)
    return _encoder(folder, config, _named(_read_weights(folder)))


def read_ctc(folder: str) -> tuple[HubertCtc, dict[str, Any]]:
    """Read HubertForCTC or Wav2Vec2ForCTC with its letters, from the files of `read_encoder` and vocab.json.

    The padding's row of the output is CTC's blank and comes first, as in `HubertCtc`. Raises UserError as
    `read_encoder`, and if there is no output or no row of it for each symbol.
    """
    config, weights = _read_config(folder), _read_weights(folder)
    kept = {f"output.{part}": weights[f"lm_head.{part}"] for part in ("weight", "bias") if f"lm_head.{part}" in weights}
    if [value.dim() for value in kept.values()] != [2, 1]:
        raise UserError(f"{folder} has no output of CTC (lm_head); without languages it is imported as an encoder")
    rows, symbols = _rows(folder, config, len(kept["output.weight"]))
    kept = {name: _reordered(value, rows) for name, value in kept.items()}
    named = _named(weights)
    kept |= {name: value for name, value in named.items() if name == "mask_embedding"}  # where there is one
    settings = {ours: config.get(name, default) for name, (ours, default) in CTC_SETTINGS.items()}
    if config.get("apply_spec_augment") is False:
        settings |= {"mask_probability": 0.0, "channel_mask_probability": 0.0}
    encoder, info = _encoder(folder, config, {name: named[name] for name in named if not is_head(name)})
    return build_ctc(encoder, settings, symbols, kept, folder), info


def _rows(folder: str, config: dict[str, Any], num_rows: int) -> tuple[list[int | None], list[str]]:
    """Say which rows of an output are the blank, <pad>, </s>, <unk> (None: there is none) and the symbols, in order."""
    vocabulary = {**_need_json(folder, "vocab.json"), **(_read_json(folder, "added_tokens.json") or {})}
    name = {row: token for token, row in vocabulary.items() if type(row) is int}
    blank = config.get("pad_token_id", 0)
    if type(blank) is not int or not set(name) <= set(range(num_rows)) or blank not in range(num_rows):
        raise UserError(f"{folder}/vocab.json does not fit the {num_rows} rows of lm_head; fetch the folder again")
    specials = [row for row in range(num_rows) if row != blank and name.get(row, "<unk>") in SPECIALS]
    if len(specials) > NUM_SPECIALS - 1:
        raise UserError(f"{folder}/vocab.json names only {len(name)} of the {num_rows} rows of lm_head")
    letters = [row for row in range(num_rows) if row != blank and row not in specials]
    missing: list[int | None] = [None] * (NUM_SPECIALS - 1 - len(specials))
    return [blank, *specials, *missing, *letters], [name[row] for row in letters]


def _reordered(value: Tensor, rows: list[int | None]) -> Tensor:
    """Pick rows of a weight (V, D) or a bias (V,); one that is not there gets no weight and a bias of IMPOSSIBLE."""
    lacking = torch.full_like(value[0], IMPOSSIBLE if value.dim() == 1 else 0.0)
    return torch.stack([lacking if row is None else value[row] for row in rows])


def _read_config(folder: str) -> dict[str, Any]:
    config = _read_json(folder, "config.json")
    if config is None:
        raise UserError(f"{folder} has no config.json; give a folder that holds a model of Hugging Face")
    if (kind := config.get("model_type")) not in ("hubert", "wav2vec2"):
        raise UserError(f"{folder} holds a {kind!r}; encoders that can be read are hubert and wav2vec2")
    for name, value in SAME.items():
        if config.get(name, value) != value:
            raise UserError(f"{folder} has {name}={config[name]}, but encoders here have {value}; give another model")
    return config


def _encoder(folder: str, config: dict[str, Any], weights: dict[str, Tensor]) -> tuple[SpeechEncoder, dict[str, Any]]:
    settings = {ours: config.get(name, default) for name, (ours, default) in SETTINGS.items()}
    shapes = [config.get(name) for name in ("conv_dim", "conv_kernel", "conv_stride")]
    if all(isinstance(shape, list) for shape in shapes):
        settings["conv_layers"] = [list(layer) for layer in zip(*shapes, strict=False)]
    preprocessor = _read_json(folder, "preprocessor_config.json")
    if preprocessor is not None:
        settings["normalize_waveform"] = preprocessor.get("do_normalize", True)
        if (rate := preprocessor.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
            raise UserError(f"{folder} hears {rate} samples a second, but speech here has {SAMPLE_RATE}")
    return build_encoder(weights, settings, folder), {"architecture": config["model_type"], "source": folder}


def _named(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return renamed(without_prefix(weights), NAMES)


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


def _need_json(folder: str, name: str) -> dict[str, Any]:
    value = _read_json(folder, name)
    if value is None:
        raise UserError(f"{folder} has no {name}, which says the letters of its output; add it")
    return value


def _read_weights(folder: str) -> dict[str, Tensor]:
    index = _read_json(folder, "model.safetensors.index.json")
    files = index.get("weight_map") if index is not None else {"": "model.safetensors"}
    if not isinstance(files, dict) or not files or not all(isinstance(file, str) for file in files.values()):
        raise UserError(f"{folder}/model.safetensors.index.json does not name the files of its weights; fetch it again")
    parts = sorted(set(files.values()))
    if any("/" in part for part in parts):
        raise UserError(f"{folder}/model.safetensors.index.json names files outside of its folder; fetch it again")
    try:
        if index is not None or storage.is_file(f"{folder}/model.safetensors"):
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
