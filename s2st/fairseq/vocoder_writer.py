"""Write a unit HiFi-GAN as fairseq's generate_waveform_from_code and speech-resynthesis read it; neither is needed.

Source: fairseq/models/text_to_speech/codehifigan.py and vocoder.py.
"""

import io
from collections.abc import Sequence
from typing import Any

import torch

from s2st import storage
from s2st.config import UserError
from s2st.fairseq.checkpoint_writer import stored
from s2st.fairseq.s2s_models import told
from s2st.fairseq.vocoders import CONFIG, DURATION_KERNEL, DURATION_SETTINGS, NAMES, SAME, SETTINGS
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig

FILE = "g_00000000"  # their names count steps; ours are not theirs
# Of the mel spectrograms that HiFi-GAN is trained by; speech-resynthesis reads them also to speak.
AUDIO = {
    **{"num_mels": 80, "num_freq": 1025, "n_fft": 1024, "hop_size": 256, "win_size": 1024},
    **{"fmin": 0, "fmax": 8000, "fmax_for_loss": None},
}
NUM_DILATIONS = 3  # of a residual block there


def check_vocoder(config: UnitHifiganConfig, where: str) -> None:
    """Raise UserError, beginning with `where`, for a model that CodeHiFiGAN has no form of."""
    differences = {
        "istft_hop": config.istft_hop != 0,
        "num_languages": config.num_languages != 0,
        "speaker_dim": config.num_speakers > 0 and config.speaker_dim != config.embedding_dim,
        "duration_kernel_size": config.predict_durations and config.duration_kernel_size != DURATION_KERNEL,
        "cumulative_rounding": config.predict_durations and config.cumulative_rounding,
        "resblock_dilations": any(len(row) != NUM_DILATIONS for row in config.resblock_dilations),
    }
    for name, differs in differences.items():
        if differs:
            raise UserError(
                f"{where} has {name}={getattr(config, name)}, of which fairseq's CodeHiFiGAN has no form; train a "
                f"vocoder without istft_hop, of one language, with speaker_dim as embedding_dim, "
                f"duration_kernel_size {DURATION_KERNEL}, no cumulative_rounding and {NUM_DILATIONS} dilations a block"
            )


def write_vocoder(folder: str, model: UnitHifigan, speakers: Sequence[str]) -> None:
    """Write g_00000000, float32 and with its weight norm, and config.json; speaker i is --speaker-id i.

    Raises UserError as `check_vocoder`.
    """
    check_vocoder(model.config, folder)
    weights = {_their_name(name): stored(value) for name, value in model.state_dict().items()}
    file = io.BytesIO()
    torch.save({"generator": weights}, file)
    storage.write_bytes(f"{folder}/{FILE}", file.getvalue())
    storage.write_json(f"{folder}/{CONFIG}", vocoder_settings(model.config, speakers))


def vocoder_settings(config: UnitHifiganConfig, speakers: Sequence[str]) -> dict[str, Any]:
    """Say what a model is like in the words of config.json."""
    settings = {**SAME, **AUDIO, **told(config, SETTINGS), "model_in_dim": config.input_dim, "f0": False}
    if config.predict_durations:
        widths = {"encoder_embed_dim": config.embedding_dim, **told(config, DURATION_SETTINGS)}
        settings |= {"dur_predictor_params": widths, "dur_prediction_weight": 1.0}
    if config.num_speakers:
        # `speakers` is ours: fairseq does not read it
        settings |= {"multispkr": "parent_name", "num_speakers": config.num_speakers, "speakers": list(speakers)}
    return settings


def _their_name(name: str) -> str:
    for theirs, ours in NAMES:
        name = name.replace(ours, theirs)
    return name
