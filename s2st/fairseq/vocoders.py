"""Unit vocoders of fairseq (CodeHiFiGAN) and speech-resynthesis as ours: g_XXXXXXXX with config.json beside it.

The file holds {"generator": weights}; config.json has the settings of a whole training. Those that tell the model are
read, those that only a training needs are left out, and any other that is set is refused by name: it would make a
model that there is none of here. Without a duration predictor a vocoder speaks full units only.
Source: fairseq/models/text_to_speech/codehifigan.py and hifigan.py; speech-resynthesis/models.py and
examples/speech_to_speech_translation/configs/hubert100_dw1.0.json.
"""

import dataclasses
from typing import Any

import torch

from s2st import storage
from s2st.audio import HOP, SAMPLE_RATE
from s2st.config import UserError, build
from s2st.fairseq.s2s_models import check_same, taken
from s2st.fairseq.unpickle import read, section, tensors
from s2st.models.foreign import load_exactly
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig

CONFIG = "config.json"
NAMES = (
    ("dict.", "unit_embedding."),
    ("spkr.", "speaker_embedding."),
    ("ups.", "upsamples."),
    ("dur_predictor.conv1.0.", "duration_predictor.conv1."),
    ("dur_predictor.conv2.0.", "duration_predictor.conv2."),
    ("dur_predictor.ln", "duration_predictor.norm"),
    ("dur_predictor.proj.", "duration_predictor.proj."),
    (".weight_g", ".parametrizations.weight.original0"),
    (".weight_v", ".parametrizations.weight.original1"),
)  # parts of weights' names, theirs and ours; PyTorch's newer spelling of weight norm is ours
SETTINGS = {
    "num_embeddings": "num_units",
    "embedding_dim": "embedding_dim",
    "upsample_rates": "upsample_rates",
    "upsample_kernel_sizes": "upsample_kernel_sizes",
    "upsample_initial_channel": "initial_channels",
    "resblock_kernel_sizes": "resblock_kernel_sizes",
    "resblock_dilation_sizes": "resblock_dilations",
}
DURATION_SETTINGS = {
    "var_pred_hidden_dim": "duration_hidden_dim",
    "var_pred_kernel_size": "duration_kernel_size",
    "var_pred_dropout": "duration_dropout",
}
SAME = {"resblock": "1", "sampling_rate": SAMPLE_RATE, "code_hop_size": HOP}
DURATION_KERNEL = 3  # CodeHiFiGAN pads its second convolution for no other
NUM_SPEAKERS = 200  # theirs, where config.json does not say
READ = (*SETTINGS, *SAME, "multispkr", "num_speakers", "speakers", "model_in_dim", "dur_predictor_params")
TRAINING = (
    *("input_training_file", "input_validation_file", "num_gpus", "num_workers", "dist_config", "batch_size", "seed"),
    *("learning_rate", "adam_b1", "adam_b2", "lr_decay", "segment_size", "dur_prediction_weight"),
    *("num_mels", "num_freq", "n_fft", "hop_size", "win_size", "fmin", "fmax", "fmax_for_loss"),
)
ELSEWHERE = {
    "f0": "it hears pitch beside units, which nothing here gives",
    "embedder_params": "its speakers are vectors of another model, which is not here",
}


def read_vocoder(address: str, config_address: str | None = None) -> tuple[UnitHifigan, list[str]]:
    """Read a unit vocoder, float32, and the names of its speakers: numbers unless we wrote the file.

    Without `config_address`, its settings are those of the config.json beside it.
    Raises UserError if there is no such vocoder, or one that differs from ours.
    """
    config_address = config_address or config_beside(address)
    config = read_settings(config_address)
    state = read(address).get("generator")
    if not isinstance(state, dict):
        raise UserError(f"{address} has no 'generator'; give a file such as g_00500000")
    weights = {our_name(name): value.float() for name, value in tensors(state, address).items()}
    if not any(name.startswith("duration_predictor.") for name in weights):
        config = dataclasses.replace(config, predict_durations=False)
    with torch.device("meta"):  # no time and memory for random weights
        model = UnitHifigan(config)
    load_exactly(model, weights, address, f"vocoder of {config_address}")
    return model.eval(), _speakers(config_address, config)


def config_beside(address: str) -> str:
    """Give the address of the config.json in the folder of a checkpoint."""
    return f"{address.rpartition('/')[0] or '.'}/{CONFIG}"


def read_settings(address: str) -> UnitHifiganConfig:
    """Read a vocoder's config.json; raises UserError for settings that no model here has."""
    settings = _read_json(address)
    durations = section(settings, "dur_predictor_params")
    for name, reason in ELSEWHERE.items():
        if settings.get(name):
            raise UserError(f"{address} has {name}: {reason}; give another vocoder")
    _refuse_others(settings, (*READ, *TRAINING), address)
    _refuse_others(durations, ("encoder_embed_dim", *DURATION_SETTINGS), address)
    if missing := [name for name in SETTINGS if name not in settings]:
        raise UserError(f"{address} has no setting '{missing[0]}'; give the config.json of a unit vocoder")
    check_same({**settings, "resblock": str(settings.get("resblock", "1"))}, SAME, address, "a vocoder")
    values = {**taken(settings, SETTINGS), **taken(durations, DURATION_SETTINGS), "predict_durations": bool(durations)}
    if settings.get("multispkr"):
        speakers = settings.get("num_speakers", NUM_SPEAKERS)
        values |= {"num_speakers": speakers, "speaker_dim": settings["embedding_dim"]}
    config = build(UnitHifiganConfig, values, address)
    check_same(settings, {"model_in_dim": config.input_dim}, address, "a vocoder of its embeddings")
    needed = {"encoder_embed_dim": config.embedding_dim, "var_pred_kernel_size": DURATION_KERNEL}
    check_same(durations, needed, address, "its duration predictor")
    return config


def _read_json(address: str) -> dict[str, Any]:
    storage.need_file(address, "a vocoder's settings")
    try:
        settings = storage.read_json(address)
    except ValueError as error:
        raise UserError(f"{address} is not JSON ({error}); give the config.json of a unit vocoder") from None
    if not isinstance(settings, dict):
        raise UserError(f"{address} holds no settings; give the config.json of a unit vocoder")
    return settings


def _refuse_others(settings: dict[str, Any], known: tuple[str, ...], address: str) -> None:
    """Raise UserError for a setting that is unknown and switched on."""
    for name, value in settings.items():
        if value and name not in known:
            raise UserError(f"{address} has the setting '{name}', which no vocoder here has; give another vocoder")


def _speakers(address: str, config: UnitHifiganConfig) -> list[str]:
    """Name the speakers: by what we wrote, which fairseq does not read, or by their numbers."""
    names = _read_json(address).get("speakers") or [str(number) for number in range(config.num_speakers)]
    if not isinstance(names, list) or not len(names) == len(set(map(str, names))) == config.num_speakers:
        raise UserError(
            f"{address} names other than {config.num_speakers} different speakers; remove 'speakers' from it"
        )
    return [str(name) for name in names]


def our_name(name: str) -> str:
    """Give our name of a weight of CodeHiFiGAN."""
    for theirs, ours in NAMES:
        name = name.replace(theirs, ours)
    return name
