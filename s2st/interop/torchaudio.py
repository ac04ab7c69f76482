"""Encoders of torchaudio, HuBERT and wav2vec 2.0, as models of ours."""

import pickle
from typing import Any

from torchaudio import pipelines
from torchaudio.models import Wav2Vec2Model

from s2st.config import UserError
from s2st.models.foreign import build_encoder, renamed
from s2st.models.speech_encoder import SpeechEncoder

NAMES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.conv\.(weight|bias)", r"convolutions.\1.\2"),
    (r"feature_extractor\.conv_layers\.(\d+)\.layer_norm", r"convolutions.\1.norm"),
    (r"^(encoder\.)?feature_projection\.layer_norm", "feature_norm"),
    (r"^(encoder\.)?feature_projection\.projection", "feature_projection"),
    (r"^encoder\.(transformer\.)?pos_conv_embed\.conv", "positional"),
    (r"parametrizations\.weight\.original0", "weight_g"),
    (r"parametrizations\.weight\.original1", "weight_v"),
    (r"^encoder\.(transformer\.)?layer_norm", "encoder_norm"),
    (r"^encoder\.(transformer\.)?layers", "layers"),
    (r"\.layer_norm\.", ".attention_norm."),
    (r"\.q_proj", ".query"),
    (r"\.k_proj", ".key"),
    (r"\.v_proj", ".value"),
    (r"\.out_proj", ".output"),
    (r"feed_forward\.intermediate_dense", "expand"),
    (r"feed_forward\.output_dense", "contract"),
    (r"final_layer_norm", "output_norm"),
    (r"^masked_spec_embed", "mask_embedding"),
)  # the same in Hugging Face's models, but for the groups in parentheses


def find_bundle(name: str) -> pipelines.Wav2Vec2Bundle:
    """Give a bundle such as HUBERT_BASE or WAV2VEC2_XLSR53, not fetched yet; raises UserError for others and WavLM."""
    bundles = {key: value for key, value in vars(pipelines).items() if isinstance(value, pipelines.Wav2Vec2Bundle)}
    known = [key for key, bundle in bundles.items() if bundle._model_type == "Wav2Vec2"]
    if name not in known:
        raise UserError(f"torchaudio has no encoder {name!r} of HuBERT or wav2vec 2.0; known: {', '.join(known)}")
    return bundles[name]


def read_bundle(name: str) -> tuple[SpeechEncoder, dict[str, Any]]:
    """Download the encoder of a bundle, and its info; raises UserError as `find_bundle`, or if the download fails."""
    bundle = find_bundle(name)
    try:
        model = bundle.get_model(dl_kwargs={"weights_only": True})
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"cannot fetch {name} of torchaudio ({error}); is download.pytorch.org in reach?") from None
    # bundles that normalise the waveform wrap their model
    encoder = from_module(getattr(model, "model", model), bundle._normalize_waveform, f"torchaudio's {name}")
    architecture = "hubert" if name.startswith("HUBERT") else "wav2vec2"
    return encoder, {"architecture": architecture, "source": f"torchaudio:{name}"}


def from_module(model: Wav2Vec2Model, normalize_waveform: bool, where: str) -> SpeechEncoder:
    """Turn a model of torchaudio into ours; `where` begins the errors. The output of a recognizer is left out."""
    convolutions: Any = model.feature_extractor.conv_layers
    first_layer: Any = model.encoder.transformer.layers[0]
    settings = {
        "conv_layers": [
            (layer.conv.out_channels, layer.conv.kernel_size[0], layer.conv.stride[0]) for layer in convolutions
        ],
        "num_heads": first_layer.attention.num_heads,
        "pre_ln": first_layer.layer_norm_first,
        "normalize_waveform": normalize_waveform,
    }
    return build_encoder(renamed(model.state_dict(), NAMES), settings, where)
