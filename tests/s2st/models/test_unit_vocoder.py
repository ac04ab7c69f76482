"""What all unit vocoders must hold: a padded batch speaks as each of its members alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from s2st.models.unit_hifigan import Conv, UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocoder import UnitVocoder
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig

NUM_UNITS = 20
SIZES = {"num_units": NUM_UNITS, "embedding_dim": 16, "duration_hidden_dim": 16}
VOICES = {"num_speakers": 4, "speaker_dim": 8, "num_languages": 3, "language_dim": 4}
HIFIGAN = {**SIZES, "initial_channels": 64, "resblock_kernel_sizes": (3, 5), "resblock_dilations": ((1, 3), (1, 2))}
VOCOS = {**SIZES, "channels": 32, "num_blocks": 2}
ISTFT = {"upsample_rates": (4,), "upsample_kernel_sizes": (8,), "istft_hop": 80}
# Wide enough for convolution by Fourier transforms.
WIDE = {"initial_channels": 128, "resblock_kernel_sizes": (11,), "resblock_dilations": ((1, 3),)}
MODELS = {
    "hifigan": lambda: UnitHifigan(UnitHifiganConfig(**HIFIGAN)),
    "hifigan-wide": lambda: UnitHifigan(UnitHifiganConfig(**WIDE)),
    "hifigan-voices": lambda: UnitHifigan(UnitHifiganConfig(**HIFIGAN, **VOICES)),
    "istft-voices": lambda: UnitHifigan(UnitHifiganConfig(**HIFIGAN, **VOICES, **ISTFT)),
    "vocos": lambda: UnitVocos(UnitVocosConfig(**VOCOS)),
    "vocos-voices": lambda: UnitVocos(UnitVocosConfig(**VOCOS, **VOICES)),
}
BF16_ERROR = 0.05  # of the loudest sample


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def model(request: pytest.FixtureRequest) -> UnitVocoder:
    torch.manual_seed(0)
    model = request.param().eval()
    # As made, every duration is one, and HiFi-GAN is faint.
    model.duration_predictor.proj.weight.data.mul_(3)
    model.duration_predictor.proj.bias.data.fill_(1.0)
    for upsample in getattr(model, "upsamples", []):
        upsample.parametrizations.weight.original0.data.mul_(2)
    return model


def batch(model: UnitVocoder, lengths: list[int], seed: int) -> dict[str, Tensor]:
    """Draw reduced units of these lengths, padded with units that must not be heard, each in a voice."""
    random = np.random.default_rng(seed)
    units = torch.from_numpy(random.integers(NUM_UNITS, size=(len(lengths), max(lengths))))
    drawn = {"units": units, "lengths": torch.tensor(lengths)}
    for name, count in {"speaker": model.num_speakers, "language": model.num_languages}.items():
        if count:
            drawn[name] = torch.from_numpy(random.integers(count, size=len(lengths)))
    return drawn


def alone(model: UnitVocoder, batch: dict[str, Tensor], row: int) -> tuple[Tensor, Tensor]:
    """Speak one member of a batch: waveform (N,), durations (L,)."""
    length = int(batch["lengths"][row])
    per_unit = ("units", "durations")
    own = {
        name: value[row : row + 1, :length] if name in per_unit else value[row : row + 1]
        for name, value in batch.items()
    }
    waveform, _, durations = model.speak(**own)
    return waveform[0], durations[0]


def check(model: UnitVocoder, batch: dict[str, Tensor], error: float) -> None:
    """Hold a padded batch, made with masks as on a GPU, and what `speak` makes of it against each alone."""
    features, num_frames, _ = model.features(**batch)
    mask = (torch.arange(features.shape[2]) < num_frames[:, None])[:, None]
    with torch.no_grad():
        masked = model.waveform(features, mask)
    waveform, num_samples, durations = model.speak(**batch)
    assert waveform.dtype == masked.dtype == torch.float32
    assert waveform.shape == masked.shape
    for row, length in enumerate(batch["lengths"].tolist()):
        expected, expected_durations = alone(model, batch, row)
        assert torch.equal(durations[row, :length], expected_durations)
        assert not durations[row, length:].any()
        assert num_samples[row] == len(expected) == 320 * expected_durations.sum()
        assert expected.abs().max() > 1e-4
        for made in (waveform[row], masked[row]):
            torch.testing.assert_close(made[: len(expected)], expected, atol=error, rtol=0)
            assert not made[len(expected) :].any()


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_a_padded_batch_speaks_as_each_alone(model, seed, prepared):
    if prepared:
        model.prepare_to_speak()
    lengths = np.random.default_rng(seed).integers(1, 25, size=3).tolist()
    check(model, batch(model, [*lengths, 1, 40], seed), 1e-4)


def test_a_wide_model_convolves_by_fourier_transforms():
    model = UnitHifigan(UnitHifiganConfig(**WIDE))
    model.prepare_to_speak()
    assert any(layer.fourier is not None for layer in model.modules() if isinstance(layer, Conv))


@torch.no_grad()
def test_given_durations_in_a_padded_batch(model):
    given = batch(model, [3, 1, 12, 7], 0)
    given["durations"] = torch.from_numpy(np.random.default_rng(0).integers(1, 6, size=given["units"].shape))
    check(model, given, 1e-4)


def test_in_bf16_within_its_error(model):
    given = batch(model, [5, 1, 20], 0)
    expected, _, durations = model.speak(**given)
    error = BF16_ERROR * float(expected.abs().max())
    with torch.autocast("cpu", torch.bfloat16):
        rough, _, rough_durations = model.speak(**given)
        check(model, given, error)
    assert torch.equal(rough_durations, durations)
    torch.testing.assert_close(rough, expected, atol=error, rtol=0)


def test_a_sample_depends_on_its_context_and_no_more(model):
    features = torch.randn(1, model.features(**batch(model, [1], 0))[0].shape[1], 3 + 2 * model.context)
    features.requires_grad_()
    middle = model.generate(features, None).unflatten(1, (-1, 320))[:, model.context + 1]
    (gradient,) = torch.autograd.grad(middle.square().sum(), features)
    reached = gradient[0].abs().sum(0) > 0
    assert not reached[0]
    assert reached[1:-1].all()
    assert not reached[-1]


@pytest.mark.parametrize("dims", [5, 300])
def test_units_that_sound_alike_are_spoken_alike(dims):
    torch.manual_seed(0)
    vocoder = UnitVocos(UnitVocosConfig(num_units=40, channels=16, num_blocks=1))
    centroids = 100 * torch.randn(40, dims)
    centroids[1] = centroids[0] + 1
    vocoder.embed_by(centroids)
    embeddings = vocoder.unit_embedding.weight
    distances = torch.cdist(embeddings, embeddings).fill_diagonal_(torch.inf)
    assert distances[0].argmin() == 1
    assert distances[0, 1] < 0.1 * distances[0, 2:].min()
    assert 0.5 < embeddings[:, : min(dims, 39)].std() < 1.5
    assert not embeddings.requires_grad


def test_a_single_unit_has_an_embedding():
    vocoder = UnitVocos(UnitVocosConfig(num_units=1, channels=16, num_blocks=1))
    vocoder.embed_by(torch.ones(1, 65))
    assert vocoder.unit_embedding.weight.isfinite().all()


def test_a_duration_depends_on_its_context_and_no_more(model):
    predictor = model.duration_predictor
    length = 3 + 2 * predictor.context
    embedded = torch.randn(1, length, predictor.conv1.in_channels, requires_grad=True)
    middle = predictor(embedded, torch.ones(1, length, dtype=torch.bool))[0, predictor.context + 1]
    (gradient,) = torch.autograd.grad(middle, embedded)
    assert (gradient[0].abs().sum(1) > 0).tolist() == [False, *[True] * (length - 2), False]
