import io
from urllib.error import URLError

import pytest
import torch
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model
from torchaudio.pipelines._wav2vec2 import utils

from s2st.config import UserError
from s2st.interop.torchaudio import read_bundle

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


def test_published_sizes_of_bundles_are_those_guessed_without_a_config() -> None:
    """Heads, strides, pre-LN and normalisation, as build_encoder takes them where a checkpoint does not tell."""
    from s2st.models.foreign import HEADS_OF_WIDTH, STRIDES

    for name, bundle in vars(pipelines).items():
        if not isinstance(bundle, pipelines.Wav2Vec2Bundle) or bundle._model_type != "Wav2Vec2":
            continue
        params = bundle._params
        width, layered = params["encoder_embed_dim"], params["extractor_mode"] == "layer_norm"
        assert params["encoder_num_heads"] == HEADS_OF_WIDTH.get(width, width // 64), name
        assert all(STRIDES[kernel] == stride for _, kernel, stride in params["extractor_conv_layer_config"]), name
        assert params["encoder_layer_norm_first"] == layered, name
        assert bundle._normalize_waveform == layered, name
