"""The critic's gradients are those of the textbook, and stay where they belong."""

import pytest
import ray.train.torch
import torch

from s2st.models.discriminators import DiscriminatorConfig, Discriminators
from s2st.models.losses import adversarial_loss, discriminator_loss, feature_matching_loss
from trainers.critic import Critic
from trainers.run import LoopConfig

SIZES = DiscriminatorConfig(periods=(2, 3), num_scales=2, width=0.125)


@pytest.fixture
def critic(monkeypatch):
    monkeypatch.setattr(ray.train.torch, "prepare_model", lambda module: module)
    torch.manual_seed(0)
    return Critic(Discriminators(SIZES), LoopConfig(clip_norm=1e-3, learning_rate=0.1))


@pytest.fixture
def speech():
    torch.manual_seed(1)
    return torch.rand(2, 2560) - 0.5, (torch.rand(2, 2560) - 0.5).requires_grad_()


def gradients(critic):
    return [parameter.grad for parameter in critic.module.parameters()]


def test_the_critic_learns_as_from_real_and_generated_speech_apart(critic, speech):
    real, fake = speech
    critic.loss(real, fake, 1).backward()
    assert fake.grad is None
    found = gradients(critic)
    critic.module.zero_grad()
    discriminator_loss(critic.module(real)[0], critic.module(fake.detach())[0]).backward()
    torch.testing.assert_close(found, gradients(critic), rtol=1e-4, atol=1e-6)


def test_the_generator_gets_the_gradients_of_hifigan_and_the_critic_none(critic, speech):
    real, fake = speech
    losses = critic.losses(real, fake)
    (losses["adversarial"] + losses["feature"]).backward()
    found, fake.grad = fake.grad, None
    assert gradients(critic) == [None] * len(gradients(critic))
    assert all(parameter.requires_grad for parameter in critic.module.parameters())

    critic.module.eval()
    (_, real_features), (scores, features) = critic.module(real), critic.module(fake)
    expected = adversarial_loss(scores) + feature_matching_loss(real_features, features)
    torch.testing.assert_close(losses["adversarial"] + losses["feature"], expected)
    expected.backward()
    torch.testing.assert_close(found, fake.grad)


def test_spectral_norms_are_estimated_once_an_update(critic, speech):
    def norms():
        return [value.clone() for name, value in critic.module.named_buffers() if name.endswith("._u")]

    real, fake = speech
    start = norms()
    critic.loss(real, fake, 0)
    first = norms()
    assert any(not torch.equal(old, new) for old, new in zip(start, first, strict=True))
    critic.loss(real, fake, 1)
    critic.losses(real, fake)
    torch.testing.assert_close(norms(), first, rtol=0, atol=0)


def test_a_step_is_clipped_and_tells_the_norm_of_before(critic, speech):
    critic.loss(*speech, 1).backward()
    expected = torch.cat([gradient.flatten() for gradient in gradients(critic)]).norm()
    before = [parameter.clone() for parameter in critic.module.parameters()]
    assert expected > 1e-3
    torch.testing.assert_close(critic.step(0.0), expected, rtol=1e-3, atol=0)
    torch.testing.assert_close(list(critic.module.parameters()), before)  # the rate is that of the schedule
    assert gradients(critic) == [None] * len(before)
