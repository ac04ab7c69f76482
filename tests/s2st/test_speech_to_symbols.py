"""What a fine-tuned HuBERT hears, with weights that make it hear something."""

import numpy as np
import pytest
import torch

from s2st.config import UserError
from s2st.ctc_decoding import best_path
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.speech_to_symbols import SpeechToSymbols
from s2st.units import reduce


def listener(symbols: tuple[str, ...], pre_ln: bool = False) -> SpeechToSymbols:
    torch.manual_seed(0)
    encoder = EncoderConfig(
        conv_layers=((16, 10, 5), (16, 8, 8), (16, 8, 8)),
        width=32,
        num_layers=2,
        num_heads=2,
        ffn_dim=32,
        positional_kernel=8,
        positional_groups=4,
        pre_ln=pre_ln,
    )
    model = HubertCtc(HubertCtcConfig(symbols, encoder)).eval()
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(3)  # sharp: frames differ in what is heard
    return SpeechToSymbols(model, {})


def speech(*lengths: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.1, length).astype(np.float32) for length in lengths]


@pytest.mark.parametrize("pre_ln", [False, True])
def test_scores_are_those_of_the_model(pre_ln) -> None:
    heard, waveforms = listener(("a", "b", " "), pre_ln), speech(9000, 300, 5003)
    for waveform, log_probs in zip(waveforms, heard.log_probs(waveforms), strict=True):
        expected, frames = heard.model.log_probs(torch.from_numpy(waveform)[None], torch.tensor([len(waveform)]))
        assert len(log_probs) == frames[0]
        expected = expected[0, : frames[0], [0, 4, 5, 6]].detach().numpy()
        np.testing.assert_allclose(log_probs, expected, atol=1e-4)


def test_text_is_normalised_whatever_the_letters_are() -> None:
    waveforms = speech(30_000, 300)
    ours, fairseq = listener(("a", "b", " ")), listener(("A", "B", "|"))
    texts = ours.transcribe(waveforms)
    assert texts == fairseq.transcribe(waveforms)
    assert texts[1] == ""
    assert len(set(texts[0]) & set("ab ")) > 1
    assert ours.transcribe([]) == []


def test_hangul_comes_back_in_syllables() -> None:
    jamo = ("\u1112", "\u1161", "\u11ab")
    log_probs = np.log(np.eye(4)[[1, 0, 2, 3]] + 1e-6).astype(np.float32)
    assert listener(jamo).text(log_probs) == listener(jamo).text(log_probs, beam=4) == "한"


def test_units_are_one_a_frame_and_never_twice_in_a_row_when_reduced() -> None:
    heard, waveforms = listener(("7", "3", "12")), speech(30_000, 300)
    units, none = heard.units(waveforms)
    (log_probs, _) = heard.log_probs(waveforms)
    assert len(units) == len(log_probs)
    symbols = np.array([7, 3, 12])[best_path(log_probs)]
    assert reduce(units)[0].tolist() == reduce(symbols)[0].tolist()
    assert len(set(units.tolist())) > 1
    assert none.tolist() == []
    with pytest.raises(UserError, match="letters and not units"):
        listener(("a", "b")).units(waveforms)
