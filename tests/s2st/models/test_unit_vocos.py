import pytest
import torch

from s2st.models.losses import MelLoss
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig

SMALL = UnitVocosConfig(num_units=20, embedding_dim=16, duration_hidden_dim=16, channels=32, num_blocks=2)


def make(config: UnitVocosConfig) -> UnitVocos:
    torch.manual_seed(0)
    model = UnitVocos(config).eval()
    model.duration_predictor.proj.weight.data.mul_(3)
    model.duration_predictor.proj.bias.data.fill_(1.0)
    return model


def test_padded_batch_speaks_as_each_alone():
    model = make(SMALL)
    units, lengths = torch.randint(20, (3, 11)), torch.tensor([11, 4, 7])
    waveform, num_samples, durations = model.speak(units, lengths)
    assert waveform.std() > 1e-4
    assert durations.max() > 1
    for row, length in enumerate(lengths):
        alone, alone_samples, _ = model.speak(units[row : row + 1, :length], lengths[row : row + 1])
        assert num_samples[row] == alone_samples[0] == alone.shape[1]
        torch.testing.assert_close(waveform[row, : num_samples[row]], alone[0], atol=1e-4, rtol=0)
        assert not waveform[row, num_samples[row] :].any()


@torch.no_grad()
def test_speakers_sound_different():
    model = make(UnitVocosConfig(num_units=20, channels=32, num_blocks=2, num_speakers=2, speaker_dim=8))
    units = torch.randint(20, (1, 6)).expand(2, -1)
    waveform = model(units, torch.tensor([0, 1]))
    assert waveform.shape == (2, 6 * 320)
    assert (waveform[0] - waveform[1]).abs().max() > 1e-4


def test_learns_one_batch():
    torch.manual_seed(0)
    model = UnitVocos(SMALL)
    units = torch.randint(20, (4, 8)).repeat_interleave(2, dim=1)
    pitch = (200 + 40 * units.repeat_interleave(320, dim=1)) / 16_000
    target = 0.3 * torch.sin(2 * torch.pi * pitch.cumsum(1))
    optimizer, mel_loss, losses = torch.optim.AdamW(model.parameters(), 2e-3), MelLoss(), []
    for _ in range(30):
        loss = mel_loss(model(units), target) + 0.1 * model.duration_loss(units, torch.full((4,), 16))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_without_a_predictor_durations_are_to_be_given():
    model = UnitVocos(UnitVocosConfig(num_units=20, channels=32, num_blocks=1, predict_durations=False)).eval()
    units, lengths = torch.tensor([[3, 1, 4]]), torch.tensor([3])
    assert model.duration_loss(units, lengths) == 0
    assert model.speak(units, lengths, torch.tensor([[2, 1, 3]]))[0].shape == (1, 6 * 320)
    with pytest.raises(ValueError, match="predicts no durations"):
        model.speak(units, lengths)


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="must be odd"):
        UnitVocosConfig(kernel_size=6)
