"""The filterbank's normalisation and deltas and the encoder of it against fairseq's, on the same random weights."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from s2st.fairseq.s2s_models import SOURCE_NAMES, to_ours
from s2st.features.filterbank import normalize
from s2st.features.spectral import with_deltas
from s2st.models.speech_source import SpeechSource, SpeechSourceConfig

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.data.audio.feature_transforms.delta_deltas import DeltaDeltas
from fairseq.data.audio.feature_transforms.utterance_cmvn import UtteranceCMVN
from fairseq.models.speech_to_speech.s2s_transformer import S2STransformerEncoder, s2ut_architecture_fisher


def test_transforms() -> None:
    features = np.random.default_rng(0).normal(10, 3, (150, 80)).astype(np.float32)
    expected = UtteranceCMVN()(features)
    torch.testing.assert_close(normalize(torch.from_numpy(features)), torch.from_numpy(expected), atol=1e-4, rtol=0)
    deltas = with_deltas(torch.from_numpy(expected))
    torch.testing.assert_close(deltas, torch.from_numpy(DeltaDeltas()(expected)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_encoder(channels: int, randomize) -> None:
    sizes = {"encoder_embed_dim": 32, "encoder_ffn_embed_dim": 48, "encoder_layers": 2, "conv_channels": 40}
    given = {"input_feat_per_channel": 80, "input_channels": channels, "max_source_positions": 100}
    arguments = Namespace(**sizes, **given, target_speaker_embed=False)
    s2ut_architecture_fisher(arguments)
    theirs = S2STransformerEncoder(arguments).eval()
    randomize(theirs)
    config = {"num_layers": 2, "model_dim": 32, "ffn_dim": 48, "conv_dim": 40}
    ours = SpeechSource(SpeechSourceConfig(**config, deltas=channels == 3)).eval()
    named = to_ours({f"encoder.{name}": value for name, value in theirs.state_dict().items()}, SOURCE_NAMES)
    ours.load_state_dict({name.removeprefix("source."): value for name, value in named.items()})

    features, lengths = torch.randn(3, 61, 80 * channels), torch.full((3,), 61)
    expected = theirs(features, lengths, return_all_hiddens=True)
    states: list[torch.Tensor] = []
    found, found_lengths = ours(features, lengths, states)
    torch.testing.assert_close(found, expected["encoder_out"][0].transpose(0, 1), atol=1e-5, rtol=1e-5)
    for state, their_state in zip(states, expected["encoder_states"], strict=True):
        torch.testing.assert_close(state, their_state.transpose(0, 1), atol=1e-5, rtol=1e-5)
    assert found_lengths.tolist() == [16, 16, 16]
