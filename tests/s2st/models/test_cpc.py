import pytest
import torch

from s2st.models.cpc import Cpc, CpcConfig


def test_frames_are_counted_at_100_hz() -> None:
    cpc = Cpc(CpcConfig(8, 6, 2))
    assert cpc.config.hop == 160
    lengths = torch.tensor([0, 3, 158, 159, 318, 319, 16_000])
    assert cpc.frame_lengths(lengths).tolist() == [0, 0, 0, 1, 1, 2, 100]
    features, frames = cpc.extract(torch.randn(1, 319), torch.tensor([319]), 2)
    assert features.shape == (1, frames[0], 6)


def test_utterance_shorter_than_a_frame_does_no_harm() -> None:
    cpc = Cpc(CpcConfig(8, 6, 2)).eval()
    for waveform, length in ((torch.randn(1, 50), 50), (torch.empty(1, 0), 0)):
        features, frames = cpc.extract(waveform, torch.tensor([length]), 1)
        assert frames.tolist() == [0]
        assert features.isfinite().all()


def test_the_future_is_not_heard_past_the_convolutions() -> None:
    torch.manual_seed(0)
    cpc = Cpc(CpcConfig(8, 6, 2)).eval()
    waveform = torch.randn(1, 3_200)
    changed = waveform.clone()
    changed[:, 1_600 + 465 :] = 0  # a frame sees 465 samples
    before, after = (cpc.extract(value, torch.tensor([3_200]), 2)[0] for value in (waveform, changed))
    torch.testing.assert_close(before[:, :10], after[:, :10])


def test_extract_runs_no_later_layer() -> None:
    cpc = Cpc(CpcConfig(8, 6, 2)).eval()
    for parameter in cpc.layers[1].parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    assert cpc.extract(torch.randn(1, 800), torch.tensor([800]), 1)[0].isfinite().all()
    with pytest.raises(ValueError, match="layer must be 1 to 2, found 3"):
        cpc.extract(torch.randn(1, 800), torch.tensor([800]), 3)
