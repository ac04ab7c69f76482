"""The unit HiFi-GAN against fairseq's CodeHiFiGAN with the same weights: samples, durations, losses, gradients."""

import pytest
import torch
from torch import Tensor

from s2st.fairseq.vocoder_writer import vocoder_settings
from s2st.fairseq.vocoders import our_name
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.units import reduce

codehifigan = pytest.importorskip("fairseq.models.text_to_speech.codehifigan")

SMALL = {"num_units": 20, "embedding_dim": 16, "initial_channels": 64}
SPEAKERS = {"num_speakers": 3, "speaker_dim": 16}
CONFIGS = {
    "tiny": UnitHifiganConfig(**SMALL, resblock_kernel_sizes=(3, 5), resblock_dilations=((1, 3, 5), (1, 2, 4))),
    "speakers": UnitHifiganConfig(**SMALL, **SPEAKERS, duration_hidden_dim=24),
    "full units": UnitHifiganConfig(**SMALL, predict_durations=False),
    "default": UnitHifiganConfig(),
}


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request: pytest.FixtureRequest) -> UnitHifiganConfig:
    return request.param


def reference(config: UnitHifiganConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    model = codehifigan.CodeGenerator(vocoder_settings(config, ()))
    # As made, the waveform is faint and every duration is one; larger weights make both worth comparing.
    for module in model.ups:
        module.weight_g.data.mul_(2)
    if config.predict_durations:
        model.dur_predictor.proj.weight.data.mul_(3)
        model.dur_predictor.proj.bias.data.fill_(1.0)
    return model.eval()


def same_weights(config: UnitHifiganConfig) -> tuple[UnitHifigan, torch.nn.Module]:
    theirs = reference(config)
    ours = UnitHifigan(config).eval()
    ours.load_state_dict({our_name(name): value for name, value in theirs.state_dict().items()})
    return ours, theirs


def speakers(config: UnitHifiganConfig) -> tuple[Tensor | None, dict[str, Tensor]]:
    """Speakers of two sequences, for us and for them."""
    numbers = torch.tensor([2, 1])
    return (numbers, {"spkr": numbers.unsqueeze(1)}) if config.num_speakers else (None, {})


def check_gradients(ours: UnitHifigan, theirs: torch.nn.Module) -> None:
    """Hold the gradients of all parameters against theirs, relative to the largest of each."""
    expected = {our_name(name): parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        assert (parameter.grad is None) == (expected[name] is None), name
        if parameter.grad is not None:
            scale = expected[name].abs().max()
            torch.testing.assert_close(parameter.grad / scale, expected[name] / scale, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 13_370_243),  # hubert100_dw1.0.json
        ({"num_units": 1000}, 13_370_243 + 900 * 128),  # of mHuBERT's units
        ({"num_speakers": 200}, 13_370_243 + 200 * 128 + 128 * 512 * 7),
        ({"predict_durations": False}, 13_370_243 - 99_201),
    ],
    ids=["hubert 100", "mhubert 1000", "speakers", "full units"],
)
def test_the_numbers_of_parameters_are_the_reference_ones(changes, count):
    config = UnitHifiganConfig(**changes)
    with torch.device("meta"):
        models = UnitHifigan(config), codehifigan.CodeGenerator(vocoder_settings(config, ()))
    assert [sum(parameter.numel() for parameter in model.parameters()) for model in models] == [count, count]


def test_waveform_of_full_units_and_its_gradients(config):
    """In float64: in float32, rounding turns leaky ReLUs over that are near zero."""
    ours, theirs = (model.double() for model in same_weights(config))
    units, (speaker, their_speaker) = torch.randint(config.num_units, (2, 12)), speakers(config)
    expected, waveform = theirs(code=units, **their_speaker).squeeze(1), ours(units, speaker)
    assert expected.std() > 1e-3
    torch.testing.assert_close(waveform, expected, atol=1e-4, rtol=0)
    weights = torch.randn_like(expected)
    (waveform * weights).sum().backward()
    (expected * weights).sum().backward()
    check_gradients(ours, theirs)


@torch.no_grad()
@pytest.mark.parametrize("name", ["tiny", "speakers", "default"])
def test_waveform_with_predicted_durations(name):
    config = CONFIGS[name]
    ours, theirs = same_weights(config)
    ours.prepare_to_speak()
    lengths = torch.tensor([9, 4])
    units, (speaker, _) = torch.randint(config.num_units, (2, 9)), speakers(config)
    waveform, num_samples, durations = ours.speak(units, lengths, speaker=speaker)
    assert durations.max() > 1
    for row in range(2):
        code = units[row : row + 1, : lengths[row]]
        extra = {} if speaker is None else {"spkr": speaker[row].view(1, 1)}
        expected = theirs(code=code, dur_prediction=True, **extra)[0, 0]
        assert num_samples[row] == len(expected)
        torch.testing.assert_close(waveform[row, : len(expected)], expected, atol=1e-4, rtol=0)


def test_duration_loss_and_its_gradients():
    ours, theirs = same_weights(CONFIGS["tiny"])
    units = torch.tensor([[3, 3, 3, 7, 7, 1, 1, 1, 1, 3], [5, 5, 9, 9, 9, 2, 0, 0, 0, 0]])
    lengths = torch.tensor([10, 6])
    errors = []
    for row, length in zip(units, lengths, strict=True):
        reduced, durations = (torch.from_numpy(part) for part in reduce(row[:length].numpy()))
        predicted = theirs.dur_predictor(theirs.dict(reduced).unsqueeze(0))[0]
        errors.append((predicted - torch.log(durations + 1.0)) ** 2)
    expected, loss = torch.cat(errors).mean(), ours.duration_loss(units, lengths)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
    loss.backward()
    expected.backward()
    check_gradients(ours, theirs)


@torch.no_grad()
def test_language_embeddings_are_what_fairseq_calls_another_feature():
    config = UnitHifiganConfig(**SMALL, **SPEAKERS, num_languages=2, language_dim=8)
    theirs, ours = reference(config), UnitHifigan(config).eval()
    state = {our_name(name): value for name, value in theirs.state_dict().items()}
    into = "conv_pre.parametrizations.weight.original1"
    state[into] = state[into].roll(config.language_dim, dims=1)  # languages come last there, and first here
    state["language_embedding.weight"] = torch.randn(2, 8)
    ours.load_state_dict(state)
    units, language, (speaker, their_speaker) = torch.randint(20, (2, 7)), torch.tensor([1, 0]), speakers(config)
    expected = theirs(code=units, **their_speaker, lang=state["language_embedding.weight"][language]).squeeze(1)
    torch.testing.assert_close(ours(units, speaker, language), expected, atol=1e-4, rtol=0)
