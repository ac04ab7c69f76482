import io
from urllib.error import URLError

import pytest
import torch
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model
from torchaudio.pipelines._wav2vec2 import utils

from s2st.config import UserError
from s2st.interop.torchaudio import NAMES, from_module, read_bundle
from s2st.models.foreign import build_encoder, renamed

TINY = {
    "extractor_mode": "layer_norm",
    "extractor_conv_layer_config": [(16, 10, 5), (16, 3, 2)],
    "extractor_conv_bias": True,
    "encoder_embed_dim": 32,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 48,
    "encoder_ff_interm_dropout": 0.1,
    "encoder_dropout": 0.1,
    "encoder_layer_norm_first": True,
    "encoder_layer_drop": 0.05,
    "aux_num_out": None,
}


@pytest.mark.parametrize("normalize", [True, False])
def test_a_bundle_becomes_ours(monkeypatch, normalize: bool) -> None:
    """The weights that torchaudio would download are made here."""
    file = io.BytesIO()
    torch.save(wav2vec2_model(**TINY).state_dict(), file)

    def download(url: str, weights_only: bool = False) -> dict[str, torch.Tensor]:
        assert weights_only, "a pickle from outside is not trusted"
        file.seek(0)
        return torch.load(file, weights_only=weights_only)

    monkeypatch.setattr(utils, "load_state_dict_from_url", download)
    bundle = pipelines.Wav2Vec2Bundle("tiny.pth", TINY, 16_000, normalize, "Wav2Vec2")
    monkeypatch.setattr(pipelines, "HUBERT_TINY", bundle, raising=False)
    encoder, info = read_bundle("HUBERT_TINY")
    assert info == {"architecture": "hubert", "source": "torchaudio:HUBERT_TINY"}
    assert encoder.config.normalize_waveform == normalize
    assert (encoder.config.num_heads, encoder.config.conv_bias, encoder.config.pre_ln) == (4, True, True)
    waveform = torch.randn(1, 1_600) + 0.3
    with torch.no_grad():
        expected = bundle.get_model(dl_kwargs={"weights_only": True}).extract_features(waveform)[0][1]
        features, _ = encoder.extract(waveform, torch.tensor([1_600]), 2)
    torch.testing.assert_close(features, expected, atol=2e-5, rtol=1e-5)


def test_unknown_bundles_and_failing_downloads_are_named(monkeypatch) -> None:
    for name in ("HUBERT_BIG", "WAVLM_BASE"):
        with pytest.raises(UserError, match=rf"no encoder '{name}' .* known: .*WAV2VEC2_XLSR53"):
            read_bundle(name)

    def offline(url: str, weights_only: bool = False) -> None:
        raise URLError("no network")

    monkeypatch.setattr(utils, "load_state_dict_from_url", offline)
    with pytest.raises(UserError, match="cannot fetch HUBERT_BASE of torchaudio"):
        read_bundle("HUBERT_BASE")


@pytest.mark.parametrize(
    "name",
    [
        key
        for key, value in vars(pipelines).items()
        if isinstance(value, pipelines.Wav2Vec2Bundle) and value._model_type == "Wav2Vec2"
    ],
)
def test_every_published_bundle_fits_and_is_guessed_without_settings(name: str) -> None:
    """Its shapes alone tell heads, strides, place of the norms and normalisation. There are no weights here."""
    bundle = getattr(pipelines, name)
    with torch.device("meta"):
        model = wav2vec2_model(**bundle._params)
    encoder = from_module(model, bundle._normalize_waveform, name)
    ours = sum(parameter.numel() for parameter in encoder.parameters())
    theirs = sum(value.numel() for key, value in model.named_parameters() if not key.startswith("aux"))
    assert ours == theirs
    assert build_encoder(renamed(model.state_dict(), NAMES), {}, name).config == encoder.config
