"""Encoders out of fairseq's checkpoint files against fairseq's own models, tiny and random."""

import argparse
from dataclasses import asdict
from typing import Any

import pytest
import torch

from s2st.fairseq.checkpoints import read_encoder
from s2st.models.hubert import Hubert
from s2st.models.speech_encoder import SpeechEncoder

fairseq_wav2vec = pytest.importorskip("fairseq.models.wav2vec.wav2vec2")
fairseq_hubert = pytest.importorskip("fairseq.models.hubert.hubert")
ATOL = 2e-5  # of features near 1

TINY = {
    "conv_feature_layers": "[(32, 10, 5)] + [(32, 3, 2)] * 2 + [(24,2,2)]",
    "encoder_layers": 3,
    "encoder_embed_dim": 48,
    "encoder_ffn_embed_dim": 96,
    "encoder_attention_heads": 4,
    "conv_pos": 8,
    "conv_pos_groups": 4,
    "final_dim": 16,
}
LARGE = {"extractor_mode": "layer_norm", "layer_norm_first": True, "conv_bias": True, "conv_pos": 7}
STYLES = {
    "base": {},
    "base with biases": {"conv_bias": True},
    "large": LARGE,
    "large of hubert": {**LARGE, "conv_bias": False},
}


def check_layers(reference: Any, encoder: SpeechEncoder) -> None:
    waveform = torch.randn(2, 3001) * 0.1 + 0.02
    given = waveform
    if encoder.config.normalize_waveform:
        given = torch.nn.functional.layer_norm(waveform, waveform.shape[1:])
    with torch.no_grad():
        for number in range(1, 4):
            if isinstance(reference, fairseq_hubert.HubertModel):
                expected, _ = reference.extract_features(given, output_layer=number)
            else:  # as GSLM's reader takes it: from 0
                results = reference(given, mask=False, features_only=True, layer=number - 1)["layer_results"]
                expected = results[number - 1][0].transpose(0, 1)
            features, frames = encoder.extract(waveform, torch.tensor([3001, 3001]), number)
            assert frames.tolist() == [expected.shape[1]] * 2
            torch.testing.assert_close(features, expected, atol=ATOL, rtol=1e-5)


def settings_of(config: Any) -> dict[str, Any]:
    return {key: getattr(value, "value", value) for key, value in asdict(config).items()}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_wav2vec2_out_of_a_checkpoint_equals_fairseq(tmp_path, style, randomize, check_padding) -> None:
    omegaconf = pytest.importorskip("omegaconf")
    config = fairseq_wav2vec.Wav2Vec2Config(**{**TINY, **style}, quantize_targets=True, latent_vars=4)
    reference = fairseq_wav2vec.Wav2Vec2Model(config).eval()
    randomize(reference)
    cfg = {
        "model": {**settings_of(config), "_name": "wav2vec2"},
        "task": {"_name": "audio_pretraining", "normalize": style == LARGE},
    }
    path = f"{tmp_path}/model.pt"
    torch.save({"args": None, "cfg": omegaconf.OmegaConf.create(cfg), "model": reference.state_dict()}, path)
    encoder, info = read_encoder(path)
    assert type(encoder) is SpeechEncoder
    assert info == {"architecture": "wav2vec2", "source": path}
    assert encoder.config.normalize_waveform == (style == LARGE)
    check_layers(reference, encoder)
    check_padding(encoder, 3)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_fine_tuned_wav2vec2_with_an_old_namespace(tmp_path, style, randomize) -> None:
    config = fairseq_wav2vec.Wav2Vec2Config(**{**TINY, **style})
    reference = fairseq_wav2vec.Wav2Vec2Model(config).eval()
    randomize(reference)
    reference.remove_pretraining_modules()
    pretraining = argparse.Namespace(**settings_of(config), normalize=False, arch="wav2vec2")
    args = argparse.Namespace(arch="wav2vec_ctc", normalize=True, w2v_args=pretraining, dropout=0.5)
    weights = {f"w2v_encoder.w2v_model.{name}": value for name, value in reference.state_dict().items()}
    weights["w2v_encoder.proj.weight"] = torch.ones(5, 48)
    path = f"{tmp_path}/model.pt"
    torch.save({"args": args, "model": weights}, path, _use_new_zipfile_serialization=False)
    encoder, info = read_encoder(path)
    assert info["architecture"] == "wav2vec2"
    assert encoder.config.normalize_waveform
    assert encoder.config.dropout == 0.1
    check_layers(reference, encoder)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_hubert_keeps_its_heads_unless_it_was_fine_tuned(tmp_path, style, randomize, check_padding) -> None:
    from fairseq.data import Dictionary
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig

    dictionary = Dictionary()
    for label in range(7):
        dictionary.add_symbol(str(label))
    config = fairseq_hubert.HubertConfig(**{**TINY, **style}, label_rate=100, untie_final_proj=True)
    reference = fairseq_hubert.HubertModel(config, HubertPretrainingConfig(sample_rate=16_000), [dictionary]).eval()
    randomize(reference)
    cfg = {
        "model": {**settings_of(config), "_name": "hubert", "label_rate": "${task.label_rate}"},
        "task": {"_name": "hubert_pretraining", "label_rate": 100.0, "normalize": False},
    }
    path = f"{tmp_path}/model.pt"
    torch.save({"cfg": cfg, "model": reference.state_dict(), "task_state": {"dictionaries": [dictionary]}}, path)
    encoder, info = read_encoder(path)
    assert type(encoder) is Hubert
    assert info["architecture"] == "hubert"
    assert (encoder.config.num_classes, encoder.config.final_dim, encoder.config.label_rate) == (7, 16, 100)
    check_layers(reference, encoder)
    check_padding(encoder, 2)

    reference.remove_pretraining_modules()
    tuned = {"model": {"_name": "hubert_ctc", "w2v_args": cfg}, "task": {"normalize": False, "label_rate": -1}}
    weights = {f"w2v_encoder.w2v_model.{name}": value for name, value in reference.state_dict().items()}
    torch.save({"cfg": tuned, "model": weights}, path)
    encoder, info = read_encoder(path)
    assert type(encoder) is SpeechEncoder
    assert info["architecture"] == "hubert"
    check_layers(reference, encoder)
