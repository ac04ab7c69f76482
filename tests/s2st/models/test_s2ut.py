"""S2UT: sizes, labels, cached decoding, tasks."""

import numpy as np
import pytest
import torch

from s2st.models.auxiliary_tasks import TaskConfig
from s2st.models.pretrained_source import PretrainedSourceConfig
from s2st.models.s2ut import S2ut, S2utConfig, UnitDecoderConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.models.speech_source import SpeechSourceConfig
from s2st.units import EOS

TINY = {
    "num_units": 12,
    "source": SpeechSourceConfig(num_layers=2, model_dim=16, num_heads=2, ffn_dim=32, conv_dim=24, dropout=0.0),
    "decoder": UnitDecoderConfig(num_layers=2, model_dim=24, num_heads=4, ffn_dim=32, dropout=0.0),
}


ENCODER = EncoderConfig(
    conv_layers=((16, 10, 5), (16, 8, 8), (16, 8, 8)),
    width=32,
    num_layers=1,
    num_heads=2,
    ffn_dim=32,
    positional_kernel=8,
    positional_groups=4,
    layer_drop=0.0,
    feature_grad_mult=1.0,
)


@pytest.mark.parametrize(("units_per_step", "parameters"), [(1, 27_002_880), (5, 27_658_240)])
def test_as_large_as_the_paper(units_per_step: int, parameters: int) -> None:
    with torch.device("meta"):
        model = S2ut(S2utConfig(units_per_step=units_per_step))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("units_per_step", [1, 3])
@torch.no_grad()
def test_cached_decoding_equals_teacher_forcing(units_per_step: int) -> None:
    torch.manual_seed(0)
    model = S2ut(S2utConfig(**TINY, units_per_step=units_per_step)).eval()
    features, lengths = torch.randn(2, 30, 80), torch.tensor([30, 21])
    labels = torch.from_numpy(np.stack([model.config.labels(np.arange(6)), model.config.labels(np.arange(6)[::-1])]))
    expected, _ = model(features, lengths, torch.full((2,), EOS), labels)
    cache = model.start(features, lengths)
    tokens = torch.full((2, units_per_step), EOS)
    found = []
    for step in range(6 // units_per_step):
        found.append(model.decoder(tokens, cache))
        tokens = labels[:, step * units_per_step : (step + 1) * units_per_step]
    torch.testing.assert_close(torch.cat(found, 1), expected[:, :6], atol=1e-5, rtol=1e-5)


def test_labels() -> None:
    config = S2utConfig(num_units=100, units_per_step=2)
    assert config.labels(np.array([0, 99, 5], np.uint16)).tolist() == [4, 103, EOS]
    with pytest.raises(ValueError, match="outside 0 to 99"):
        config.labels(np.array([100, 1]))
    many = S2utConfig(num_units=100, languages=("en", "hi"))
    assert [many.beginning(lang) for lang in many.languages] == [104, 105]
    assert many.vocabulary_size == 106
    with pytest.raises(ValueError, match="does not translate into 'ko'"):
        many.beginning("ko")
    assert config.beginning("ko") == EOS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units_per_step": 5, "languages": ("en", "hi")}, "units_per_step above 1 and languages contradict"),
        *(
            ({"tasks": {name: TaskConfig()}}, f"cannot be called '{name}'")
            for name in ("a.b", "loss", "keys", "training")
        ),
        ({"tasks": {"a": TaskConfig(encoder_layer=13)}}, "hears encoder_layer 13 of 12"),
        ({"tasks": {"a": TaskConfig(decoder_type="ctc", decoder_layer=8)}}, "but the last is 7"),
        (
            {"pretrained": PretrainedSourceConfig(), "tasks": {"a": TaskConfig(encoder_layer=6)}},
            "must hear encoder_layer 0, the output",
        ),
    ],
)
def test_contradictions(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        S2utConfig(**settings)


@pytest.mark.parametrize("adaptor_layers", [0, 2])
def test_a_pretrained_encoder_hears_waveforms(adaptor_layers: int) -> None:
    torch.manual_seed(0)
    model = S2ut(
        S2utConfig(
            **TINY,
            pretrained=PretrainedSourceConfig(ENCODER, adaptor_layers),
            tasks={"letters": TaskConfig(symbols=("a", "b"), decoder_type="ctc")},
        )
    ).eval()
    lengths = torch.tensor([9000, 5000, 7333])
    waveform = torch.randn(3, 9000) * 0.1  # what lies past the lengths must not matter
    memory, memory_lengths = model.source(waveform, lengths)
    expected = model.source.encoder.frame_lengths(lengths) / 2**adaptor_layers
    assert memory_lengths.tolist() == expected.ceil().tolist()
    for row, length in enumerate(lengths.tolist()):
        alone, _ = model.source(waveform[row : row + 1, :length], lengths[row : row + 1])
        assert alone.shape[1] == memory_lengths[row]
        torch.testing.assert_close(memory[row, : alone.shape[1]], alone[0], atol=1e-5, rtol=0)

    labels, beginnings = torch.tensor([[4, 5, EOS]] * 3), torch.full((3,), EOS)
    for frozen in (True, False):
        model.source.frozen = frozen
        model.zero_grad()
        loss, _ = model.loss(waveform, lengths, beginnings, labels, {"letters": torch.tensor([[4, 5]] * 3)}, 0)
        loss.backward()
        assert (model.source.encoder.layers[0].expand.weight.grad is None) == frozen
        assert all(parameter.grad is not None for parameter in model.source.adaptor.parameters())
