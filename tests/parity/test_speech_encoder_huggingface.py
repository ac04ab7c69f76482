"""Encoders out of folders of Hugging Face against transformers, tiny and random."""

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from s2st.interop.huggingface import read_encoder
from s2st.models.speech_encoder import SpeechEncoder

transformers = pytest.importorskip("transformers")
ATOL = 2e-5  # of features near 1

TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "conv_dim": (32, 32, 24),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True, "num_conv_pos_embeddings": 7}
STYLES = {"base": {}, "base with biases": {"conv_bias": True}, "large": LARGE}
FAMILIES = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2"}


def check_layers(reference: torch.nn.Module, encoder: SpeechEncoder) -> None:
    waveform = torch.randn(2, 3001) * 0.1 + 0.02
    given = waveform
    if encoder.config.normalize_waveform:
        given = torch.nn.functional.layer_norm(waveform, waveform.shape[1:])
    with torch.no_grad():
        output = reference(given, output_hidden_states=True)
        states = output.hidden_states
        for number in range(1, 4):
            features, frames = encoder.extract(waveform, torch.tensor([3001, 3001]), number)
            assert frames.tolist() == [states[number].shape[1]] * 2
            torch.testing.assert_close(features, states[number], atol=ATOL, rtol=1e-5)
        last = encoder.encoder_norm(features) if encoder.config.pre_ln else features
        torch.testing.assert_close(last, output.last_hidden_state, atol=ATOL, rtol=1e-5)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_equals_transformers(tmp_path: Path, family, style, randomize, check_padding) -> None:
    name = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**{**TINY, **style})
    reference = getattr(transformers, f"{name}Model")(config).eval()
    randomize(reference)
    reference.save_pretrained(tmp_path)
    normalizes = {"do_normalize": style == LARGE}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(normalizes))
    encoder, info = read_encoder(str(tmp_path))
    assert type(encoder) is SpeechEncoder
    assert info == {"architecture": family, "source": str(tmp_path)}
    assert encoder.config.normalize_waveform == (style == LARGE)
    check_layers(reference, encoder)
    check_padding(encoder, 3)


def test_a_fine_tuned_model_in_an_old_file_and_in_parts(tmp_path: Path, randomize) -> None:
    """Prefix wav2vec2., a recognizer's output, and weight norm under its old names."""
    reference = transformers.Wav2Vec2ForCTC(transformers.Wav2Vec2Config(**{**TINY, **LARGE})).eval()
    randomize(reference)
    reference.save_pretrained(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert any(name.startswith("wav2vec2.") for name in weights)
    assert "lm_head.weight" in weights
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in weights.items()
    }
    assert set(old) != set(weights)
    (tmp_path / "model.safetensors").unlink()
    torch.save(old, tmp_path / "pytorch_model.bin")
    encoder, _ = read_encoder(str(tmp_path))
    assert encoder.config.normalize_waveform, "as all published models with LayerNorm in the convolutions"
    check_layers(reference.wav2vec2, encoder)

    shutil.rmtree(tmp_path)
    reference.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    encoder, _ = read_encoder(str(tmp_path))
    check_layers(reference.wav2vec2, encoder)
