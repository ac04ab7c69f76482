import dataclasses

import pytest
import torch

from s2st import checkpoint
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
