import math

import pytest
import torch

from s2st.models.losses import (
    LogMel,
    MelLoss,
    StftLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)


def tone(hertz: float, num_samples: int = 5120) -> torch.Tensor:
    return 0.5 * torch.sin(2 * math.pi * hertz * torch.arange(num_samples) / 16_000).unsqueeze(0)


def test_log_mel_has_a_frame_for_each_hop_and_a_floor():
    log_mel = LogMel()
    assert log_mel(tone(440)).shape == (1, 80, 20)
    # The 1e-9 under the root, through filters whose weights sum to a few hundredths, ends under the floor.
    assert torch.allclose(log_mel(torch.zeros(1, 2560)), torch.tensor(math.log(1e-5)))


def test_log_mel_hears_the_frequency():
    # Slaney's scale: 3 mels every 200 Hz up to 1 kHz, then 27 mels for each factor of 6.4.
    top = 15 + 27 * math.log(8) / math.log(6.4)
    for hertz in (400, 2000, 6000):
        mel = 3 * hertz / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)
        loudest = LogMel()(tone(hertz))[0, :, 10].argmax().item()
        assert abs(loudest + 1 - 81 * mel / top) < 1


@pytest.mark.parametrize("loss", [MelLoss(), StftLoss()], ids=["mel", "stft"])
def test_distance_is_zero_only_for_the_same(loss):
    assert loss(tone(440), tone(440)) == 0
    assert loss(tone(450), tone(440)) < loss(tone(880), tone(440))


@pytest.mark.parametrize("loss", [MelLoss(), StftLoss()], ids=["mel", "stft"])
def test_gradient_exists_even_for_silence(loss):
    silence = torch.zeros(1, 5120, requires_grad=True)
    for target in (tone(440), torch.zeros(1, 5120)):
        loss(silence, target).backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()


@pytest.mark.parametrize("loss", [MelLoss(), StftLoss()], ids=["mel", "stft"])
def test_noise_learns_a_tone(loss):
    torch.manual_seed(0)
    waveform = (0.05 * torch.randn(1, 5120)).requires_grad_()
    optimizer, losses = torch.optim.Adam([waveform], 0.02), []
    for _ in range(30):
        optimizer.zero_grad()
        value = loss(waveform, tone(440))
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 0.9 * losses[0]


def test_adversarial_losses_by_hand():
    real, fake = (
        [torch.tensor([[1.0, 0.5]]), torch.tensor([[0.0]])],
        [torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0]])],
    )
    assert discriminator_loss(real, fake) == pytest.approx(0.125 + 0.5 + 1 + 4)
    assert adversarial_loss(fake) == pytest.approx(0.5 + 1)
    assert feature_matching_loss(real, fake) == pytest.approx(2 * (0.75 + 2))
