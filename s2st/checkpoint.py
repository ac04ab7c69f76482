"""A model on disk: a folder with weights.safetensors and config.json; `load` builds the right model."""

import hashlib
from collections.abc import Sequence
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from s2st import storage
from s2st.config import UserError, build, to_mapping
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.cpc import Cpc, CpcConfig
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.mel_lstm import MelLstm, MelLstmConfig
from s2st.models.recognizer import Recognizer, RecognizerConfig
from s2st.models.s2spect import S2Spect, S2SpectConfig
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig

MODELS: dict[str, tuple[type, type]] = {
    "codebook": (CodebookConfig, Codebook),
    "cpc": (CpcConfig, Cpc),
    "hubert": (HubertConfig, Hubert),
    "hubert_ctc": (HubertCtcConfig, HubertCtc),
    "mel_lstm": (MelLstmConfig, MelLstm),
    "recognizer": (RecognizerConfig, Recognizer),
    "s2spect": (S2SpectConfig, S2Spect),
    "s2ut": (S2utConfig, S2ut),
    "speech_encoder": (EncoderConfig, SpeechEncoder),
    "unit_hifigan": (UnitHifiganConfig, UnitHifigan),
    "unit_lm": (UnitLmConfig, UnitLm),
    "unit_transformer": (UnitTransformerConfig, UnitTransformer),
    "unit_vocos": (UnitVocosConfig, UnitVocos),
}
SPECTROGRAM_MODELS = ("mel_lstm", "s2spect")
TRANSLATORS = ("unit_transformer", "s2ut", *SPECTROGRAM_MODELS)
VOCODERS = ("unit_hifigan", "unit_vocos")
WEIGHTS, CONFIG = "weights.safetensors", "config.json"


def save(folder: str, model: nn.Module, info: dict[str, Any] | None = None) -> None:
    """Write a model and what is to be known of it (`info`: plain JSON values) into `folder`."""
    name = next(name for name, (_, kind) in MODELS.items() if type(model) is kind)
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    weights = safetensors.torch.save(_without_shared(tensors))
    storage.write_bytes(f"{folder}/{WEIGHTS}", weights)
    config = {"model": name, "config": to_mapping(model.config), "info": info or {}}
    storage.write_json(f"{folder}/{CONFIG}", config)


def load(folder: str, *expect: str) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model in eval mode, on the CPU, and its info; `expect` names the kinds of model that may be there.

    Raises UserError if the folder holds no model of that kind or its weights do not fit its config.
    """
    config = read_config(folder, *expect)
    config_type, model_type = MODELS[config["model"]]
    model = model_type(build(config_type, config["config"], f"{folder}/{CONFIG}: config"))
    tensors = _read_weights(f"{folder}/{WEIGHTS}")
    # A tensor that a model uses under several names is stored under one of them.
    try:
        missing, unexpected = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # shapes
        raise UserError(
            f"{folder}/{WEIGHTS} does not fit its config.json: {str(error).splitlines()[-1].strip()}"
        ) from None
    if lost := sorted({*(set(missing) - _shared_names(model)), *unexpected}):
        raise UserError(f"{folder}/{WEIGHTS} does not fit its config.json: {', '.join(lost[:3])} are on one side only")
    return model.eval(), config["info"]


def average(folders: Sequence[str], output: str) -> None:
    """Write a model whose weights are the mean of those of several checkpoints of one training.

    What is no floating-point number is that of the last. Source: fairseq's scripts/average_checkpoints.py.
    """
    storage.copy_folder(folders[-1], output)
    states = [safetensors.torch.load(storage.read_bytes(f"{folder}/{WEIGHTS}")) for folder in folders]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in states[-1].items()
    }
    storage.write_bytes(f"{output}/{WEIGHTS}", safetensors.torch.save(mean))


def read_config(folder: str, *expect: str) -> dict[str, Any]:
    """Read {"model", "config", "info"} of a checkpoint without its weights; raises UserError as `load` does."""
    try:
        config = storage.read_json(f"{folder}/{CONFIG}")
    except FileNotFoundError:
        raise UserError(f"there is no model in {folder} (no {CONFIG}); give a folder that a trainer wrote") from None
    if not isinstance(config, dict) or not all(isinstance(config.get(key), dict) for key in ("config", "info")):
        raise UserError(
            f"{folder}/{CONFIG} is no model's: it needs 'model', 'config' and 'info'; write the model again"
        )
    if config.get("model") not in MODELS:
        raise UserError(f"{folder}/{CONFIG} names the model {config.get('model')!r}; known: {', '.join(MODELS)}")
    if expect and config["model"] not in expect:
        raise UserError(f"{folder} holds a {config['model']}, but a {' or '.join(expect)} is needed there")
    return config


def _read_weights(file: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(storage.read_bytes(file))
    except FileNotFoundError:
        raise UserError(f"there are no weights {file}; write the model again") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{file} cannot be read ({error}); it may be half-written, so write the model again") from None


def vocoder_info(folder: str) -> dict[str, Any]:
    """Read the info of a vocoder without its weights; raises UserError as `load` does."""
    return read_config(folder, *VOCODERS)["info"]


def fingerprint(model: nn.Module) -> str:
    """Name the exact weights of a model by 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _without_shared(tensors: dict[str, Any]) -> dict[str, Any]:
    """Keep one name of each tensor that a model uses under several (tied embeddings): safetensors demands it."""
    seen: set[int] = set()
    kept = {}
    for name, value in tensors.items():
        if value.data_ptr() not in seen or value.numel() == 0:
            kept[name] = value
        seen.add(value.data_ptr())
    return kept


def _shared_names(model: nn.Module) -> set[str]:
    state = model.state_dict()
    return set(state) - set(_without_shared(state))
