"""Our HuBERT against torchaudio's and fairseq's, tiny and random, with the same weights."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torchaudio.models import wav2vec2_model

from s2st.fairseq.checkpoints import hubert_weights
from s2st.interop.torchaudio import from_module
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.speech_encoder import SpeechEncoder

ATOL = 2e-5  # of features near 1; 2e-6 measured

CONVOLUTIONS = ((32, 10, 5), (32, 3, 2), (24, 2, 2))
BASE = HubertConfig(
    conv_layers=CONVOLUTIONS,
    width=48,
    num_layers=3,
    num_heads=4,
    ffn_dim=96,
    positional_kernel=8,
    positional_groups=4,
    final_dim=16,
    num_classes=7,
    label_rate=800,
)
LARGE = replace(BASE, conv_norm="layer", pre_ln=True, positional_kernel=7, normalize_waveform=True)


@pytest.mark.parametrize("conv_bias", [False, True], ids=["", "biases"])
@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_every_layer_equals_torchaudio(config: HubertConfig, conv_bias: bool, randomize, check_padding) -> None:
    reference = wav2vec2_model(
        "group_norm" if config.conv_norm == "group" else "layer_norm",
        list(config.conv_layers),
        conv_bias,
        config.width,
        0.0,
        config.positional_kernel,
        config.positional_groups,
        config.num_layers,
        config.num_heads,
        0.0,
        config.ffn_dim,
        0.0,
        0.0,
        config.pre_ln,
        0.0,
        5,  # letters of a recognizer, which the encoder lacks
    ).eval()
    randomize(reference)
    encoder = from_module(reference, config.normalize_waveform, "tiny")
    assert type(encoder) is SpeechEncoder
    waveform = torch.randn(2, 3000) * 0.1 + 0.02
    lengths = torch.tensor([3000, 3000])
    given = waveform
    if config.normalize_waveform:
        given = torch.nn.functional.layer_norm(waveform, waveform.shape[1:])
    with torch.no_grad():
        layers, _ = reference.extract_features(given)
        for number, expected in enumerate(layers, start=1):
            features, frames = encoder.extract(waveform, lengths, number)
            assert frames.tolist() == [expected.shape[1]] * 2
            torch.testing.assert_close(features, expected, atol=ATOL, rtol=1e-5)
    check_padding(encoder, config.num_layers)


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_loss_and_gradients_equal_fairseq(
    config: HubertConfig, monkeypatch: pytest.MonkeyPatch, randomize: Callable[[torch.nn.Module], None]
) -> None:
    fairseq_hubert = pytest.importorskip("fairseq.models.hubert.hubert")
    from fairseq.data import Dictionary
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig

    torch.manual_seed(0)
    config = replace(config, dropout=0.0, attention_dropout=0.0, layer_drop=0.0, normalize_waveform=False)
    dictionary = Dictionary()
    for label in range(config.num_classes):
        dictionary.add_symbol(str(label))
    reference = fairseq_hubert.HubertModel(
        fairseq_hubert.HubertConfig(
            label_rate=config.label_rate,
            extractor_mode="default" if config.conv_norm == "group" else "layer_norm",
            conv_feature_layers=str(list(config.conv_layers)),
            encoder_layers=config.num_layers,
            encoder_embed_dim=config.width,
            encoder_ffn_embed_dim=config.ffn_dim,
            encoder_attention_heads=config.num_heads,
            layer_norm_first=config.pre_ln,
            conv_pos=config.positional_kernel,
            conv_pos_groups=config.positional_groups,
            final_dim=config.final_dim,
            untie_final_proj=True,
            dropout=0.0,
            attention_dropout=0.0,
            feature_grad_mult=config.feature_grad_mult,
        ),
        HubertPretrainingConfig(sample_rate=16_000),
        [dictionary],
    )
    randomize(reference)
    hubert = Hubert(config)
    hubert.load_state_dict(hubert_weights(reference.state_dict()))

    waveform, lengths = torch.randn(2, 3000) * 0.1, torch.tensor([3000, 3000])
    mask = torch.zeros(2, int(hubert.frame_lengths(lengths)[0]), dtype=torch.bool)
    mask[0, 3:40], mask[1, 20:70] = True, True
    labels = torch.randint(config.num_classes, mask.shape)

    def fixed_mask(x: torch.Tensor, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.where(mask.unsqueeze(-1), reference.mask_emb, x), mask

    monkeypatch.setattr(reference, "apply_mask", fixed_mask)
    targets = [labels + 4]  # as fairseq's dictionary numbers them
    output = reference(waveform, targets, torch.zeros_like(waveform, dtype=torch.bool))
    logits, positive = reference.get_logits(output, True)[0], reference.get_targets(output, True)[0]
    cross_entropy = torch.nn.functional.cross_entropy(logits, positive)
    expected = cross_entropy + config.feature_penalty * output["features_pen"]
    result = hubert(waveform, lengths, labels, mask)

    torch.testing.assert_close(result.metrics["masked_loss"], cross_entropy.detach(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(result.loss, expected, atol=1e-4, rtol=1e-5)
    expected.backward()
    result.loss.backward()
    gradients = {name: value.grad for name, value in hubert.named_parameters()}
    for name, value in hubert_weights(dict(reference.named_parameters())).items():
        # a key's bias moves all scores of a query alike: its gradient is only rounding
        atol = 1e-3 * float(value.grad.abs().max()) + 1e-6
        same = torch.allclose(gradients[name], value.grad, atol=atol, rtol=1e-3)
        assert same, f"gradient of {name}"
