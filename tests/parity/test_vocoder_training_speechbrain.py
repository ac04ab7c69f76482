"""What a vocoder is trained by, against SpeechBrain's HiFi-GAN with the same weights: scores, feature maps, losses.

SpeechBrain differs from the code of the HiFi-GAN paper in these, which the tests undo: its discriminators by period
pad with reflections instead of zeros, its feature-matching loss is a mean over feature maps and not twice their sum,
and its mel spectrogram has its frames around the multiples of the hop, one more of them.
"""

import sys
import types
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from s2st.models.discriminators import DiscriminatorConfig, Discriminators
from s2st.models.foreign import renamed
from s2st.models.losses import LogMel, MelLoss, adversarial_loss, discriminator_loss, feature_matching_loss
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig

NUM_PERIODS, NUM_LAYERS = 5, (6, 8)  # of a discriminator by period, and by scale
NAMES = (
    (r"^mpd\.", ""),
    (r"^msd\.discriminators\.(\d)", lambda match: f"discriminators.{NUM_PERIODS + int(match[1])}"),
    (r"\.conv\.", "."),
    (r"\.weight_orig$", ".parametrizations.weight.original"),
    (r"\.weight_(u|v)$", r".parametrizations.weight.0._\1"),
)  # of SpeechBrain's weights, and ours


@pytest.fixture(scope="module")
def hifigan() -> Iterator[types.ModuleType]:
    """SpeechBrain's module, kept from others: it would change how PyTorch computes in the whole process ("quirks").

    Its lazy parts fail for whoever looks through sys.modules, so they go again.
    """
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SB_DISABLE_QUIRKS", "disable_jit_profiling,allow_tf32,disable_cudnn_benchmarking")
        yield pytest.importorskip("speechbrain.lobes.models.HifiGAN")
    for name in set(sys.modules) - before:
        if name.startswith("speechbrain"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def both(hifigan: types.ModuleType) -> tuple[Discriminators, torch.nn.Module]:
    """All discriminators at full size, ours and theirs."""
    torch.manual_seed(0)
    theirs = hifigan.HifiganDiscriminator()
    for period in theirs.mpd.discriminators:
        for conv in (*period.convs, period.conv_post):
            conv.padding_mode = "constant"
    ours = Discriminators(DiscriminatorConfig())
    ours.load_state_dict(renamed(theirs.state_dict(), NAMES))
    return ours.eval(), theirs.eval()  # in training, power iterations of the older spectral norm there go another way


@pytest.fixture
def speech() -> tuple[Tensor, Tensor]:
    """Two waveforms each, said to be real and made; no period divides their length."""
    torch.manual_seed(1)
    return 0.3 * torch.randn(2, 2_561), 0.3 * torch.randn(2, 2_561)


def test_sizes_are_the_same(both):
    ours, theirs = both
    expected = [*theirs.mpd.discriminators, *theirs.msd.discriminators]
    assert len(ours.discriminators) == len(expected) == 8
    for one, other in zip(ours.discriminators, expected, strict=True):
        counts = [sum(parameter.numel() for parameter in part.parameters()) for part in (one, other)]
        assert counts[0] == counts[1]


@torch.no_grad()
def test_scores_and_feature_maps_are_the_same(both, speech):
    (scores, features), (their_scores, their_features) = both[0](speech[0]), both[1](speech[0].unsqueeze(1))
    assert [len(maps) for maps in their_features] == [NUM_LAYERS[0]] * NUM_PERIODS + [NUM_LAYERS[1]] * 3
    expected = [*their_scores, *(feature for maps in their_features for feature in maps)]
    for found, wanted in zip([*scores, *features], expected, strict=True):
        scale = wanted.abs().max()
        torch.testing.assert_close(found / scale, wanted / scale, atol=1e-5, rtol=0)


def test_adversarial_and_feature_losses_and_their_gradients_are_the_same(hifigan, both, speech):
    ours, theirs = both
    real, made = speech[0], speech[1].requires_grad_()
    (real_scores, real_features), (scores, features) = ours(real), ours(made)
    their_real_scores, their_real_features = theirs(real.unsqueeze(1))
    their_scores, their_features = theirs(made.unsqueeze(1))
    num_maps = sum(len(maps) for maps in their_features)
    scored = zip(their_scores, their_real_scores, strict=True)
    pairs = {
        "critic": (
            discriminator_loss(real_scores, scores),
            sum(hifigan.MSEDLoss()(score, real_score)[0] for score, real_score in scored),
        ),
        "adversarial": (adversarial_loss(scores), sum(hifigan.MSEGLoss()(score) for score in their_scores)),
        "feature": (
            feature_matching_loss(real_features, features),
            2 * num_maps * hifigan.MelganFeatureLoss()(their_features, their_real_features),
        ),
    }
    for name, losses in pairs.items():
        torch.testing.assert_close(*losses, atol=0, rtol=1e-5, msg=name)
        gradients = [torch.autograd.grad(loss, made, retain_graph=True)[0] for loss in losses]
        scale = gradients[1].abs().max()
        torch.testing.assert_close(gradients[0] / scale, gradients[1] / scale, atol=1e-5, rtol=0, msg=name)


def test_mel_spectrogram_and_loss_are_the_same(hifigan, speech):
    def theirs(waveform: Tensor) -> Tensor:
        """Pad a waveform so that frame i + 2 there is frame i here."""
        padded = F.pad(waveform.unsqueeze(1), (384, 640), mode="reflect").squeeze(1)
        settings = (16_000, 256, 1024, 1024, 80, 0.0, 8000.0, 1.0, False, "slaney", "slaney", True)
        return hifigan.mel_spectrogram(*settings, padded)[:, :, 2 : 2 + waveform.shape[1] // 256]

    expected = [theirs(waveform) for waveform in speech]
    for waveform, mel in zip(speech, expected, strict=True):
        torch.testing.assert_close(LogMel()(waveform), mel, atol=1e-5, rtol=0)
    real, made = speech
    torch.testing.assert_close(MelLoss()(made, real), F.l1_loss(expected[1], expected[0]), atol=0, rtol=1e-5)


def test_duration_targets_are_the_same_but_for_the_ends(hifigan):
    """There the first and last run of a segment, which may be cut, are left out; ours are of whole utterances."""
    torch.manual_seed(0)
    model = UnitHifigan(UnitHifiganConfig(num_units=20, embedding_dim=16, initial_channels=32)).eval()
    units = torch.tensor([[4, 4, 4, 9, 7, 7, 4, 4], [1, 2, 2, 2, 2, 8, 8, 5]])
    ends = torch.tensor([[11], [12]])
    segment = torch.cat([ends, units, ends], dim=1)
    embedded, mask, durations = hifigan.process_duration(segment, model.unit_embedding(segment))
    predicted = model.duration_predictor(embedded, mask)[mask]
    expected = F.mse_loss(predicted, torch.log(durations + 1))
    torch.testing.assert_close(model.duration_loss(units, torch.tensor([8, 8])), expected, atol=0, rtol=1e-5)
