"""Folders that we write, loaded by transformers, and recognisers of transformers, read by us; tiny and random."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from s2st.interop.huggingface import read_ctc, read_encoder
from s2st.interop.huggingface_writer import write_encoder
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig, encoder_config
from s2st.models.speech_encoder import SpeechEncoder

transformers = pytest.importorskip("transformers")
ATOL = 2e-5  # of features and scores near 1

BASE = HubertConfig(
    conv_layers=((32, 10, 5), (32, 3, 2), (24, 2, 2)),
    width=48,
    num_layers=3,
    num_heads=4,
    ffn_dim=96,
    positional_kernel=8,
    positional_groups=4,
    final_dim=16,
    num_classes=7,
)
LARGE = replace(BASE, conv_norm="layer", pre_ln=True, normalize_waveform=True, conv_bias=True)
STYLES = {"base": BASE, "base with biases": replace(BASE, conv_bias=True), "large": LARGE}
LENGTHS = torch.tensor([3001, 3001])


def load(kind: str, folder: Path) -> Any:
    """Load a model, with every weight from the file and none left over."""
    model, told = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    return model.eval()


def hear(folder: Path) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Make waveforms, and what the folder's own preprocessor makes of them.

    They are loud: to the variance that it divides by, transformers adds 1e-7, and we, as fairseq, 1e-5.
    """
    preprocessor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    waveform = torch.randn(2, 3001) + 0.2
    given = preprocessor([row.numpy() for row in waveform], sampling_rate=16_000, return_tensors="pt")
    return waveform, dict(given)


def check_layers(folder: Path, reference: Any, model: SpeechEncoder) -> None:
    waveform, given = hear(folder)
    with torch.no_grad():
        output = reference(**given, output_hidden_states=True)
        for number in range(1, 4):
            features, _ = model.extract(waveform, LENGTHS, number)
            torch.testing.assert_close(features, output.hidden_states[number], atol=ATOL, rtol=1e-5)
        last = model.encoder_norm(features) if model.config.pre_ln else features
    torch.testing.assert_close(last, output.last_hidden_state, atol=ATOL, rtol=1e-5)


@pytest.mark.parametrize("config", STYLES.values(), ids=STYLES)
def test_transformers_loads_an_encoder_with_every_layer(tmp_path: Path, config, randomize) -> None:
    model = Hubert(config).eval()
    randomize(model)
    write_encoder(str(tmp_path), model)
    reference = load("HubertModel", tmp_path)
    check_layers(tmp_path, reference, model)
    assert torch.equal(reference.masked_spec_embed, model.mask_embedding)

    read, info = read_encoder(str(tmp_path))
    assert info["architecture"] == "hubert"
    assert read.config == encoder_config(config)
    for name, value in read.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    write_encoder(f"{tmp_path}/again", read, "wav2vec2")
    reference = load("Wav2Vec2Model", tmp_path / "again")
    check_layers(tmp_path, reference, model)


def test_padded_batches_of_transformers_equal_ours(tmp_path: Path, randomize) -> None:
    """Models with LayerNorm in the convolutions; those with GroupNorm hear padding in transformers."""
    model = Hubert(LARGE).eval()
    randomize(model)
    write_encoder(str(tmp_path), model)
    reference = load("HubertModel", tmp_path)
    preprocessor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    waveform, lengths = torch.randn(2, 3001) + 0.2, torch.tensor([3001, 1600])
    rows = [row[:length].numpy() for row, length in zip(waveform, lengths, strict=True)]
    given = preprocessor(rows, padding=True, sampling_rate=16_000, return_tensors="pt")
    assert "attention_mask" in given
    with torch.no_grad():
        states = reference(**given, output_hidden_states=True).hidden_states
        features, frames = model.extract(waveform, lengths, 3)
    assert frames[1] < frames[0]
    for row, count in enumerate(frames.tolist()):
        torch.testing.assert_close(features[row, :count], states[3][row, :count], atol=ATOL, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["hubert", "wav2vec2"])
@pytest.mark.parametrize("config", STYLES.values(), ids=STYLES)
def test_transformers_loads_a_recogniser_with_its_letters(tmp_path: Path, config, architecture, randomize) -> None:
    model = HubertCtc(HubertCtcConfig((" ", "E", "T"), encoder_config(config), mask_length=4)).eval()
    randomize(model)
    write_encoder(str(tmp_path), model, architecture)
    reference = load("HubertForCTC" if architecture == "hubert" else "Wav2Vec2ForCTC", tmp_path)
    waveform, given = hear(tmp_path)
    with torch.no_grad():
        logits, _ = model(waveform, LENGTHS)
        torch.testing.assert_close(logits, reference(**given).logits, atol=ATOL, rtol=1e-5)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.decode(torch.tensor([5, 5, 0, 5, 4, 6, 0, 0])) == "EE T"
    assert reference.config.pad_token_id == tokenizer.pad_token_id == 0

    read, info = read_ctc(str(tmp_path))
    assert info == {"architecture": architecture, "source": str(tmp_path)}
    assert read.config == replace(model.config, symbols=("|", "E", "T"))
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


@pytest.mark.parametrize("added", [{}, {"<s>": 6, "</s>": 7}], ids=["letters first", "with added tokens"])
def test_a_recogniser_of_transformers_whose_blank_is_last(tmp_path: Path, added, randomize) -> None:
    tiny = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    shapes = {"conv_dim": (32, 24), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_conv_pos_embedding_groups": 4}
    vocabulary = {"|": 0, "ट": 1, "A": 2, "b": 3, "[UNK]": 4, "[PAD]": 5}
    size = len(vocabulary) + len(added)
    config = transformers.HubertConfig(**tiny, **shapes, vocab_size=size, pad_token_id=5, num_conv_pos_embeddings=8)
    reference = transformers.HubertForCTC(config).eval()
    randomize(reference)
    reference.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "preprocessor_config.json").write_text('{"do_normalize": false}')
    if added:
        (tmp_path / "added_tokens.json").write_text(json.dumps(added))
    model, _ = read_ctc(str(tmp_path))
    assert model.config.symbols == ("|", "ट", "A", "b")
    assert (model.config.mask_probability, model.config.final_dropout) == (0.05, 0.1)
    waveform = torch.randn(2, 3001) * 0.1
    with torch.no_grad():
        expected = reference(waveform).logits.log_softmax(-1)
        log_probs, _ = model.log_probs(waveform, LENGTHS)
    torch.testing.assert_close(log_probs[..., 4:], expected[..., :4], atol=ATOL, rtol=1e-5)
    torch.testing.assert_close(log_probs[..., 0], expected[..., 5], atol=ATOL, rtol=1e-5)
