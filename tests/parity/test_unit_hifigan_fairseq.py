"""The unit HiFi-GAN against fairseq's CodeHiFiGAN with the same weights."""

import pytest
import torch

from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig

codehifigan = pytest.importorskip("fairseq.models.text_to_speech.codehifigan")

TINY = UnitHifiganConfig(
    num_units=20,
    embedding_dim=16,
    initial_channels=64,
    resblock_kernel_sizes=(3, 5),
    resblock_dilations=((1, 3, 5), (1, 2, 4)),
)
TINY_SPEAKERS = UnitHifiganConfig(
    num_units=20,
    embedding_dim=16,
    num_speakers=3,
    speaker_dim=16,
    initial_channels=64,
    duration_hidden_dim=24,
)


@pytest.fixture(params=[TINY, TINY_SPEAKERS, UnitHifiganConfig()], ids=["tiny", "tiny-speakers", "default"])
def config(request: pytest.FixtureRequest) -> UnitHifiganConfig:
    return request.param


def reference(config: UnitHifiganConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    model = codehifigan.CodeGenerator(
        {
            "resblock_kernel_sizes": config.resblock_kernel_sizes,
            "resblock_dilation_sizes": config.resblock_dilations,
            "upsample_rates": config.upsample_rates,
            "upsample_kernel_sizes": config.upsample_kernel_sizes,
            "upsample_initial_channel": config.initial_channels,
            "model_in_dim": config.input_dim,
            "num_embeddings": config.num_units,
            "embedding_dim": config.embedding_dim,
            "multispkr": "single" if config.num_speakers else None,
            "num_speakers": config.num_speakers,
            "dur_predictor_params": {
                "encoder_embed_dim": config.embedding_dim,
                "var_pred_hidden_dim": config.duration_hidden_dim,
                "var_pred_kernel_size": config.duration_kernel_size,
                "var_pred_dropout": config.duration_dropout,
            },
        }
    )
    # As made, the waveform is faint and every duration is one; larger weights make both worth comparing.
    for module in model.ups:
        module.weight_g.data.mul_(2)
    model.dur_predictor.proj.weight.data.mul_(3)
    model.dur_predictor.proj.bias.data.fill_(1.0)
    return model.eval()


def our_name(theirs: str) -> str:
    renamed = {"dict": "unit_embedding", "spkr": "speaker_embedding", "ups": "upsamples"}
    head, _, rest = theirs.partition(".")
    if head == "dur_predictor":
        rest = rest.replace("conv1.0", "conv1").replace("conv2.0", "conv2").replace("ln", "norm")
        return f"duration_predictor.{rest}"
    rest = rest.replace("weight_g", "parametrizations.weight.original0")
    return f"{renamed.get(head, head)}.{rest.replace('weight_v', 'parametrizations.weight.original1')}"


def same_weights(config: UnitHifiganConfig) -> tuple[UnitHifigan, torch.nn.Module]:
    theirs = reference(config)
    ours = UnitHifigan(config).eval()
    ours.load_state_dict({our_name(name): value for name, value in theirs.state_dict().items()})
    return ours, theirs


def test_default_has_the_reference_number_of_parameters():
    ours = UnitHifigan(UnitHifiganConfig())
    assert sum(parameter.numel() for parameter in ours.parameters()) == 13_370_243


@torch.no_grad()
def test_waveform_of_full_units(config):
    ours, theirs = same_weights(config)
    units = torch.randint(config.num_units, (2, 12))
    speaker = torch.tensor([2, 1]) if config.num_speakers else None
    expected = theirs(code=units, **({} if speaker is None else {"spkr": speaker.unsqueeze(1)})).squeeze(1)
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours(units, speaker), expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_waveform_with_predicted_durations(config):
    ours, theirs = same_weights(config)
    ours.prepare_to_speak()
    lengths = torch.tensor([9, 4])
    units = torch.randint(config.num_units, (2, 9))
    speaker = torch.tensor([2, 1]) if config.num_speakers else None
    waveform, num_samples, durations = ours.speak(units, lengths, speaker=speaker)
    assert durations.max() > 1
    for row in range(2):
        code = units[row : row + 1, : lengths[row]]
        extra = {} if speaker is None else {"spkr": speaker[row].view(1, 1)}
        expected = theirs(code=code, dur_prediction=True, **extra)[0, 0]
        assert num_samples[row] == len(expected)
        torch.testing.assert_close(waveform[row, : len(expected)], expected, atol=1e-4, rtol=0)
