"""What a validation makes of vocoders that say the truth, nothing, or something else."""

import math

import pytest
import torch
from torch import nn

from s2st import audio
from s2st.models.discriminators import DiscriminatorConfig
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from trainers.vocoder_objective import VocoderObjective

WEIGHTS = {"mel": 45.0, "stft": 0.0, "duration": 2.0}


class Parrot(nn.Module):
    """Says what was recorded, louder or softer, and predicts the true durations and some frames more."""

    def __init__(self, batch, gain=1.0, more=0):
        super().__init__()
        self.batch, self.gain, self.more = batch, gain, more

    def speak(self, units, lengths, durations=None, speaker=None, language=None):
        true = self.batch["durations"]
        durations = true + self.more * (true > 0) if durations is None else durations
        return self.gain * self.batch["waveform"], self.batch["lengths"] * audio.HOP, durations

    def duration_loss(self, units, lengths):
        return torch.tensor(0.5)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    lengths = torch.tensor([30, 20])
    waveform = torch.rand(2, 30 * audio.HOP) - 0.5
    waveform[1, 20 * audio.HOP :] = 0
    units, durations = torch.zeros(2, 30, dtype=torch.long), torch.tensor([[10, 20], [20, 0]])
    units[0, 10:] = 1
    return {
        "units": units,
        "lengths": lengths,
        "waveform": waveform,
        "reduced": torch.tensor([[0, 1], [0, 0]]),
        "durations": durations,
        "reduced_lengths": torch.tensor([2, 1]),
    }


def test_who_says_the_truth_is_told_so(batch):
    objective = VocoderObjective(Parrot(batch), WEIGHTS)
    found = objective.judge(batch, 0)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        {"loss": 1.0, "mel": 0, "duration": 0.5, "level": 1.0, "mcd": 0, "mcd_true_durations": 0, "duration_error": 0},
        abs=1e-4,
    )
    assert set(objective.metrics) <= set(found)
    assert objective.validation_concern(found) is None
    assert sorted(objective.speech) == [f"utterance_{number}/{kind}" for number in (0, 1) for kind in ("made", "true")]
    torch.testing.assert_close(objective.speech["utterance_1/true"], batch["waveform"][1, : 20 * audio.HOP])


def test_softer_speech_with_longer_durations(batch):
    found = VocoderObjective(Parrot(batch, gain=0.5, more=3), WEIGHTS | {"stft": 1.0}).judge(batch, 0)
    assert float(found["mel"]) == pytest.approx(math.log(2), rel=1e-3)
    assert found["stft"] > 0.5
    assert float(found["level"]) == pytest.approx(0.5)
    assert float(found["duration_error"]) == pytest.approx(3)


def test_silence_is_of_concern(batch):
    objective = VocoderObjective(Parrot(batch, gain=0.01), WEIGHTS)
    found = objective.judge(batch, 1)
    assert "mcd" not in found
    assert "nearly silence: its amplitude is 1.0% of true speech's" in objective.validation_concern(found)


def test_a_critic_that_is_never_deceived_is_of_concern():
    objective = VocoderObjective(nn.Identity(), WEIGHTS, DiscriminatorConfig())
    assert objective.concern({"critic": 2.1}) is None
    assert "without fail (their loss is 0.050)" in objective.concern({"critic": 0.05})
    assert VocoderObjective(nn.Identity(), WEIGHTS).concern({"loss": 0.05}) is None


def test_a_batch_is_judged_as_its_utterances_alone(batch):
    torch.manual_seed(0)
    config = UnitHifiganConfig(2, 8, initial_channels=32, resblock_kernel_sizes=(3,), resblock_dilations=((1,),))
    objective = VocoderObjective(UnitHifigan(config), WEIGHTS)
    alone = []
    for row, length in enumerate(batch["lengths"].tolist()):
        own = {name: values[row : row + 1] for name, values in batch.items()}
        own["units"], own["waveform"] = own["units"][:, :length], own["waveform"][:, : length * audio.HOP]
        alone.append(own)
    together, apart = objective.judge(batch, 1), [objective.judge(each, 1) for each in alone]
    torch.testing.assert_close(together["mel"], (apart[0]["mel"] + apart[1]["mel"]) / 2, rtol=1e-5, atol=1e-5)
