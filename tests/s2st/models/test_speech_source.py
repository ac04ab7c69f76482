"""The encoder of filterbanks: padding, lengths, outputs of its layers."""

import pytest
import torch

from s2st.models.speech_source import SpeechSource, SpeechSourceConfig, state_count

TINY = {"num_layers": 2, "model_dim": 16, "num_heads": 2, "ffn_dim": 32, "conv_dim": 24}


@torch.no_grad()
def test_a_padded_batch_equals_single_utterances() -> None:
    torch.manual_seed(0)
    source = SpeechSource(SpeechSourceConfig(**TINY)).eval()
    lengths = torch.tensor([37, 1, 36, 22, 35, 34])
    features = torch.randn(6, 37, 80)  # what lies past the lengths must not matter
    together, state_lengths = source(features, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, alone_lengths = source(features[row : row + 1, :length], lengths[row : row + 1])
        assert state_count(length) == state_lengths[row] == alone_lengths[0] == alone.shape[1]
        torch.testing.assert_close(together[row, : alone.shape[1]], alone[0], atol=1e-5, rtol=0)


def test_layers_are_seen_before_the_last_norm() -> None:
    source = SpeechSource(SpeechSourceConfig(**TINY)).eval()
    states: list[torch.Tensor] = []
    encoded, _ = source(torch.randn(1, 20, 80), torch.tensor([20]), states)
    assert len(states) == 2
    torch.testing.assert_close(source.encoder.layer_norm(states[-1]), encoded)


def test_too_long_a_source_is_refused() -> None:
    source = SpeechSource(SpeechSourceConfig(**TINY, max_frames=16))
    source(torch.randn(1, 16, 80), torch.tensor([16]))
    with pytest.raises(ValueError, match="a sequence of 5 is longer than the model's 4 positions"):
        source(torch.randn(1, 17, 80), torch.tensor([17]))
