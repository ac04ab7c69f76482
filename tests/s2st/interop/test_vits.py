"""VITS with random weights, tiny, saved as transformers saves it."""

import json

import numpy as np
import pytest
import torch

from s2st.config import UserError
from s2st.interop.vits import VitsConfig, VitsSpeaker

transformers = pytest.importorskip("transformers")


@pytest.fixture
def save(tmp_path):
    """A function that writes a voice of the letters a to c at 8 kHz; it gives the folder."""

    def save(**settings):
        torch.manual_seed(0)
        (tmp_path / "letters.json").write_text(json.dumps({"_": 0, "a": 1, "b": 2, "c": 3}))
        tokenizer = transformers.VitsTokenizer(
            str(tmp_path / "letters.json"), pad_token="_", unk_token=None, phonemize=False, **settings
        )
        config = transformers.VitsConfig(
            vocab_size=4,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=16,
            flow_size=16,
            spectrogram_bins=9,
            upsample_initial_channel=16,
            upsample_rates=[4, 4],
            upsample_kernel_sizes=[8, 8],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1]],
            prior_encoder_num_flows=1,
            prior_encoder_num_wavenet_layers=1,
            posterior_encoder_num_wavenet_layers=1,
            depth_separable_num_layers=1,
            duration_predictor_flow_bins=4,
            duration_predictor_num_flows=1,
            sampling_rate=8000,
        )
        transformers.VitsModel(config).save_pretrained(tmp_path / "voice")
        tokenizer.save_pretrained(tmp_path / "voice")
        return str(tmp_path / "voice")

    return save


def test_a_text_sounds_the_same_in_any_batch(save):
    speaker = VitsSpeaker.load({"hi": VitsConfig(save())}, "cpu")
    first, second = speaker.speak(["abc cab", "bb"], "hi")
    np.testing.assert_array_equal(speaker.speak(["bb"], "hi")[0], second)
    for waveform in (first, second):
        assert waveform.dtype == np.float32
        assert len(waveform) > 100
        assert 0 < np.abs(waveform).max() <= 1


def test_voices_that_need_romanised_text_are_told(save):
    with pytest.raises(UserError, match="reads text that uroman has romanised, which is not done; name another model"):
        VitsSpeaker.load({"ko": VitsConfig(save(is_uroman=True))}, "cpu")
