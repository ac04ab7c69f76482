"""A HuBERT or wav2vec 2.0 that a training begins with: its config, and its weights."""

from typing import Any

from torch import Tensor

from s2st import checkpoint
from s2st.config import build
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig, encoder_config
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

ENCODERS = ("hubert", "speech_encoder")
FINE_TUNED = "hubert_ctc"


def read_encoder_config(folder: str, *kinds: str) -> EncoderConfig:
    """Read what the encoder of a folder is like, without weights; raises UserError if it is none of these kinds."""
    found = checkpoint.read_config(folder, *kinds)
    config: Any = build(checkpoint.MODELS[found["model"]][0], found["config"], folder)
    return encoder_config(config.encoder if isinstance(config, HubertCtcConfig) else config)


def read_encoder_weights(folder: str, *kinds: str) -> dict[str, Tensor]:
    """Read the weights of a `SpeechEncoder`, of a HuBERT or of one fine-tuned by CTC, without their heads."""
    model, _ = checkpoint.load(folder, *kinds)
    encoder = model.encoder if isinstance(model, HubertCtc) else model
    assert isinstance(encoder, SpeechEncoder)
    kept = SpeechEncoder(encoder_config(encoder.config)).state_dict()
    return {name: value for name, value in encoder.state_dict().items() if name in kept}
