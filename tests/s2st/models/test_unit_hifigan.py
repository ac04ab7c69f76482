from itertools import groupby

import pytest
import torch
import torch.nn.functional as F

from s2st.models.losses import MelLoss
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocoder import inverse_stft

SMALL = {
    "num_units": 20,
    "embedding_dim": 16,
    "duration_hidden_dim": 16,
    "resblock_kernel_sizes": (3, 5),
    "resblock_dilations": ((1, 3), (1, 2)),
}
CONFIGS = {
    "convolutions": UnitHifiganConfig(**SMALL, initial_channels=64),
    "istft": UnitHifiganConfig(
        **SMALL, initial_channels=64, upsample_rates=(4,), upsample_kernel_sizes=(8,), istft_hop=80
    ),
    "istft-only": UnitHifiganConfig(
        **SMALL, initial_channels=32, upsample_rates=(), upsample_kernel_sizes=(), istft_hop=320
    ),
    "speakers-languages": UnitHifiganConfig(
        **SMALL, initial_channels=64, num_speakers=4, speaker_dim=8, num_languages=3, language_dim=4
    ),
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def model(request: pytest.FixtureRequest) -> UnitHifigan:
    return make(request.param)


def make(config: UnitHifiganConfig) -> UnitHifigan:
    torch.manual_seed(0)
    model = UnitHifigan(config)
    # As made, the waveform is faint and every duration is one; larger weights make both worth comparing.
    for upsample in model.upsamples:
        upsample.parametrizations.weight.original0.data.mul_(2)
    model.duration_predictor.proj.weight.data.mul_(3)
    model.duration_predictor.proj.bias.data.fill_(1.0)
    return model.eval()


def conditions(config: UnitHifiganConfig, batch: int) -> dict[str, torch.Tensor]:
    speaker = {"speaker": torch.arange(batch) % config.num_speakers} if config.num_speakers else {}
    return speaker | ({"language": torch.arange(batch) % config.num_languages} if config.num_languages else {})


@torch.no_grad()
def test_forward_makes_320_samples_for_each_unit(model):
    waveform = model(torch.randint(20, (2, 7)), **conditions(model.config, 2))
    assert waveform.shape == (2, 7 * 320)
    assert waveform.std() > 1e-4


@pytest.mark.parametrize("cumulative", [False, True])
def test_padded_batch_speaks_as_each_alone(model, cumulative):
    model.cumulative_rounding = cumulative
    units, lengths = torch.randint(20, (3, 11)), torch.tensor([11, 4, 7])
    extra = conditions(model.config, 3)
    waveform, num_samples, durations = model.speak(units, lengths, **extra)
    assert waveform.std() > 1e-4
    assert durations.max() > 1
    for row, length in enumerate(lengths):
        own = {name: value[row : row + 1] for name, value in extra.items()}
        alone, alone_samples, alone_durations = model.speak(
            units[row : row + 1, :length], lengths[row : row + 1], **own
        )
        assert torch.equal(durations[row, :length], alone_durations[0])
        assert not durations[row, length:].any()
        assert num_samples[row] == alone_samples[0] == 320 * alone_durations.sum() == alone.shape[1]
        torch.testing.assert_close(waveform[row, : num_samples[row]], alone[0], atol=1e-4, rtol=0)
        assert not waveform[row, num_samples[row] :].any()


@torch.no_grad()
def test_given_durations_speak_the_full_sequence(model):
    reduced, durations = torch.tensor([[3, 5, 3, 1]]), torch.tensor([[2, 1, 4, 3]])
    extra = conditions(model.config, 1)
    waveform, num_samples, kept = model.speak(reduced, torch.tensor([4]), durations, **extra)
    expected = model(torch.tensor([[3, 3, 5, 3, 3, 3, 3, 1, 1, 1]]), **extra)
    assert num_samples.tolist() == [3200]
    assert torch.equal(kept, durations)
    torch.testing.assert_close(waveform, expected.clamp(-1, 1), atol=1e-6, rtol=0)


def test_nothing_to_speak_is_silence(model):
    extra = conditions(model.config, 2)
    waveform, num_samples, _ = model.speak(torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 0]), **extra)
    assert waveform.shape == (2, 0)
    assert num_samples.tolist() == [0, 0]
    waveform, num_samples, _ = model.speak(torch.ones(2, 3, dtype=torch.long), torch.tensor([0, 3]), **extra)
    assert num_samples[0] == 0
    assert not waveform[0].any()
    assert waveform.shape[1] == num_samples[1]


@torch.no_grad()
def test_folded_weights_speak_the_same(model):
    units, extra = torch.randint(20, (2, 6)), conditions(model.config, 2)
    before = model(units, **extra)
    model.prepare_to_speak()
    assert not any("parametrizations" in name for name in model.state_dict())
    torch.testing.assert_close(model(units, **extra), before, atol=1e-5, rtol=0)


def test_cumulative_rounding_keeps_the_total():
    model = make(CONFIGS["istft"])
    model.duration_predictor.proj.weight.data.zero_()
    model.duration_predictor.proj.bias.data.fill_(torch.tensor(3.4).log())  # each unit lasts 2.4 frames
    units, lengths = torch.randint(20, (1, 50)), torch.tensor([50])
    assert model.speak(units, lengths)[2].sum() == 100
    model.cumulative_rounding = True
    durations = model.speak(units, lengths)[2]
    assert durations.sum() == 120
    assert set(durations[0].tolist()) == {2, 3}


def test_predicted_durations_are_bounded():
    model = make(CONFIGS["istft"])
    model.duration_predictor.proj.bias.data.fill_(1e4)
    assert model.speak(torch.tensor([[3, 1]]), torch.tensor([2]))[2].tolist() == [[500, 500]]


def test_duration_loss_is_that_of_each_run():
    model = make(CONFIGS["istft"])
    rows = [[4, 4, 7, 7, 7, 4, 1, 1, 9], [2, 2, 2, 5, 5], [6, 6, 6, 1, 2, 2]]
    units = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    loss = model.duration_loss(units, torch.tensor([len(row) for row in rows]))
    errors = []
    for row in rows:
        runs = [(unit, len(list(group))) for unit, group in groupby(row)]
        kept, durations = zip(*runs, strict=True)
        embedded = model.unit_embedding(torch.tensor([kept]))
        predicted = model.duration_predictor(embedded, torch.ones(1, len(kept), dtype=torch.bool))
        errors.append((predicted[0] - (torch.tensor(durations) + 1).log()) ** 2)
    torch.testing.assert_close(loss, torch.cat(errors).mean())
    torch.testing.assert_close(model.duration_loss(units[:1], torch.tensor([9])), errors[0].mean())


def test_learns_one_batch():
    torch.manual_seed(0)
    model = UnitHifigan(CONFIGS["istft"])
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


def test_gradients_reach_every_parameter(model):
    model.train()
    units, extra = torch.randint(20, (2, 12)), conditions(model.config, 2)
    (model(units, **extra).square().mean() + model.duration_loss(units, torch.tensor([12, 12]))).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_istft_turns_a_spectrum_back():
    torch.manual_seed(0)
    hop, waveform = 16, torch.randn(2, 16 * 30)
    frames = F.pad(waveform, (24, 24)).unfold(1, 64, hop) * torch.hann_window(64)
    spectrum = torch.fft.rfft(frames)
    halves = torch.cat([spectrum.abs().clamp(min=1e-9).log(), spectrum.angle()], dim=2)
    torch.testing.assert_close(inverse_stft(halves, hop, None), waveform, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"istft_hop": 2}, "make 640 samples a unit"),
        ({"upsample_kernel_sizes": (10, 8, 8, 4, 4)}, "10 for rate 5"),
        ({"upsample_kernel_sizes": (11, 8)}, "one kernel for each rate"),
        ({"resblock_kernel_sizes": (3,)}, "a row for each kernel"),
        ({"initial_channels": 100}, "cannot be halved"),
        ({"duration_kernel_size": 4}, "must be odd"),
    ],
)
def test_contradictions_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        UnitHifiganConfig(**changes)


def test_missing_and_unknown_speakers_are_refused():
    units = torch.zeros(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="speaker"):
        make(CONFIGS["speakers-languages"])(units, language=torch.tensor([0]))
    with pytest.raises(ValueError, match="0 languages"):
        make(CONFIGS["istft"])(units, language=torch.tensor([0]))
