import dataclasses

import pytest
import torch

from s2st import checkpoint
from s2st.models import speech_encoder
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

TINY = EncoderConfig(
    conv_layers=tuple((24, kernel, stride) for _, kernel, stride in EncoderConfig().conv_layers),
    width=48,
    num_layers=2,
    num_heads=4,
    ffn_dim=96,
    positional_kernel=16,
    positional_groups=4,
)
BIASED = dataclasses.replace(TINY, conv_bias=True)
LARGE = dataclasses.replace(BIASED, conv_norm="layer", pre_ln=True, normalize_waveform=True)


def randomized(config: EncoderConfig) -> SpeechEncoder:
    torch.manual_seed(0)
    encoder = SpeechEncoder(config).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.1)
    return encoder


def test_every_convolution_has_a_bias_but_the_first_before_group_norm() -> None:
    biased = [name for name, _ in SpeechEncoder(BIASED).named_parameters() if name.endswith(".bias")]
    names = {f"convolutions.{i}.bias" for i in range(7)}
    assert names & set(biased) == names - {"convolutions.0.bias"}
    assert names <= {name for name, _ in SpeechEncoder(LARGE).named_parameters()}
    assert not names & {name for name, _ in SpeechEncoder(TINY).named_parameters()}


@pytest.mark.parametrize("config", [BIASED, LARGE], ids=["group", "layer"])
def test_padded_batch_with_biases_equals_single_utterances(config: EncoderConfig) -> None:
    encoder = randomized(config)
    lengths = torch.tensor([32_000, 1_600, 400, 16_001])
    waveform = torch.randn(4, 32_000) * 0.1
    with torch.no_grad():
        together, frames = encoder.extract(waveform, lengths, 2)
        for row, length in enumerate(lengths.tolist()):
            alone, _ = encoder.extract(waveform[row : row + 1, :length], lengths[row : row + 1], 2)
            torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=5e-5, rtol=0)


def test_an_encoder_is_stored_and_read(tmp_path) -> None:
    encoder = randomized(LARGE)
    checkpoint.save(str(tmp_path), encoder, {"architecture": "wav2vec2", "source": "here"})
    again, info = checkpoint.load(str(tmp_path), "speech_encoder")
    assert type(again) is SpeechEncoder
    assert again.config == LARGE
    assert info == {"architecture": "wav2vec2", "source": "here"}
    assert checkpoint.fingerprint(again) == checkpoint.fingerprint(encoder)


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("config", [BIASED, LARGE], ids=["group", "layer"])
def test_convolving_again_in_parts_gives_the_same_gradients(config: EncoderConfig, bf16: bool, monkeypatch) -> None:
    encoder = randomized(config)
    waveform, lengths = torch.randn(2, 16_000) * 0.1, torch.tensor([16_000, 9_000])
    results = []
    for values in (speech_encoder.CPU_VALUES, 10 * 24 * 64):  # all 49 frames at once, or 10
        monkeypatch.setattr(speech_encoder, "CPU_VALUES", values)
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            features, _ = encoder.convolve(waveform, lengths)
        features.float().square().mean().backward()
        gradients = {name: x.grad.clone() for name, x in encoder.convolutions.named_parameters()}
        results.append({"features": features.detach().float(), **gradients})
    assert len(results[0]) > len(encoder.convolutions)
    for name, whole in results[0].items():
        scale = float(whole.abs().max())
        torch.testing.assert_close(results[1][name], whole, atol=(0.02 if bf16 else 1e-5) * scale, rtol=0, msg=name)
