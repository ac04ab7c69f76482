import pytest
import torch

from s2st.models.discriminators import DiscriminatorConfig, Discriminators
from s2st.models.losses import adversarial_loss, discriminator_loss, feature_matching_loss

SMALL = DiscriminatorConfig(periods=(2, 3), num_scales=2, width=0.125)


def test_scores_and_features_of_every_discriminator():
    model = Discriminators(SMALL)
    scores, features = model(torch.randn(2, 2561))
    assert len(scores) == 4
    assert all(score.ndim == 2 and len(score) == 2 for score in scores)
    assert len(features) == 2 * 6 + 2 * 8


def test_the_full_size_is_that_of_hifigan():
    with torch.device("meta"):
        discriminators = Discriminators(DiscriminatorConfig()).discriminators
    layers = [
        [tuple(conv.weight.shape) for conv in (*one.convs, one.conv_post)]
        for one in (discriminators[0], discriminators[6])
    ]
    assert layers[0] == [
        (32, 1, 5, 1),
        (128, 32, 5, 1),
        (512, 128, 5, 1),
        (1024, 512, 5, 1),
        (1024, 1024, 5, 1),
        (1, 1024, 3, 1),
    ]
    assert layers[1] == [
        (128, 1, 15),
        (128, 32, 41),
        (256, 8, 41),
        (512, 16, 41),
        (1024, 32, 41),
        (1024, 64, 41),
        (1024, 1024, 5),
        (1, 1024, 3),
    ]


def test_learns_to_tell_noise_from_a_tone():
    torch.manual_seed(0)
    model = Discriminators(SMALL)
    real = torch.sin(torch.arange(2560) * 0.1).repeat(2, 1)
    fake = 0.5 * torch.randn(2, 2560)
    optimizer, losses = torch.optim.AdamW(model.parameters(), 1e-3), []
    for _ in range(30):
        loss = discriminator_loss(model(real)[0], model(fake)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_generator_losses_pull_towards_real_speech():
    torch.manual_seed(0)
    model = Discriminators(SMALL)
    real, made = torch.randn(1, 2560), torch.randn(1, 2560, requires_grad=True)
    real_features = model(real)[1]
    scores, features = model(made)
    (adversarial_loss(scores) + feature_matching_loss(real_features, features)).backward()
    assert made.grad is not None
    assert made.grad.any()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("changes", [{"width": 0.1}, {"width": 0.0}, {"periods": (), "num_scales": 0}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError):
        DiscriminatorConfig(**changes)
