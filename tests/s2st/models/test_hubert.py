import dataclasses

import pytest
import torch
from torch import Tensor

from s2st.audio import num_frames
from s2st.models.encoder_layers import span_mask
from s2st.models.hubert import Hubert, HubertConfig

TINY = HubertConfig(
    conv_layers=tuple((24, kernel, stride) for _, kernel, stride in HubertConfig().conv_layers),
    width=48,
    num_layers=3,
    num_heads=4,
    ffn_dim=96,
    positional_kernel=16,
    positional_groups=4,
    final_dim=16,
    num_classes=8,
)
TINY_LARGE = dataclasses.replace(TINY, conv_norm="layer", pre_ln=True, normalize_waveform=True)
STILL = {"dropout": 0.0, "attention_dropout": 0.0, "layer_drop": 0.0}


def batch_of(lengths: list[int]) -> tuple[Tensor, Tensor]:
    """Random speech; what lies past the lengths is no silence, and must not matter."""
    return torch.randn(len(lengths), max(lengths)) * 0.1, torch.tensor(lengths)


def test_base_has_the_published_size() -> None:
    with torch.device("meta"):
        hubert = Hubert(HubertConfig(num_classes=500))
    assert sum(parameter.numel() for parameter in hubert.parameters()) == 94_697_600


def test_frames_are_counted_as_everywhere_else() -> None:
    lengths = torch.tensor([0, 399, 400, 719, 720, 16_000, 56_011])
    hubert = Hubert(TINY)
    assert hubert.frame_lengths(lengths).tolist() == [num_frames(n) for n in lengths.tolist()]
    waveform, lengths = batch_of([56_011])
    features, frames = hubert.extract(waveform, lengths, 1)
    assert features.shape == (1, frames[0], TINY.width)


@pytest.mark.parametrize("config", [TINY, TINY_LARGE], ids=["base", "large"])
def test_padded_batch_equals_single_utterances(config: HubertConfig) -> None:
    torch.manual_seed(0)
    hubert = Hubert(config).eval()
    waveform, lengths = batch_of([160_000, 1_600, 56_011, 400, 16_000])
    with torch.no_grad():
        together, frames = hubert.extract(waveform, lengths, 3)
        for row, length in enumerate(lengths.tolist()):
            alone, _ = hubert.extract(waveform[row : row + 1, :length], lengths[row : row + 1], 3)
            assert alone.shape[1] == frames[row]
            torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=1e-4, rtol=0)


def test_loss_of_padded_batch_is_the_mean_over_all_frames() -> None:
    torch.manual_seed(0)
    hubert = Hubert(dataclasses.replace(TINY, **STILL))
    waveform, lengths = batch_of([16_000, 9_000])
    labels, mask = torch.randint(8, (2, 49)), torch.rand(2, 49) < 0.5
    together = hubert(waveform, lengths, labels, mask).metrics
    total = torch.tensor(0.0)
    for row, frames in enumerate(hubert.frame_lengths(lengths).tolist()):
        length = int(lengths[row])
        one = slice(row, row + 1)
        alone = hubert(waveform[one, :length], lengths[one], labels[one], mask[one, :frames]).metrics
        total += alone["masked_loss"] * alone["masked_frames"]
    torch.testing.assert_close(together["masked_loss"], total / together["masked_frames"])


def test_utterance_shorter_than_a_frame_does_no_harm() -> None:
    hubert = Hubert(TINY)
    waveform, lengths = batch_of([16_000, 300])
    result = hubert(waveform, lengths, torch.zeros(2, 49, dtype=torch.long))
    result.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in hubert.parameters() if parameter.grad is not None)
    features, frames = hubert.extract(waveform[1:, :300], lengths[1:], 1)
    assert frames.tolist() == [0]
    assert features.isfinite().all()


def test_silence_and_constant_waveforms_stay_finite() -> None:
    hubert = Hubert(TINY).eval()
    waveform = torch.stack([torch.zeros(8_000), torch.full((8_000,), 0.5)])
    features, _ = hubert.extract(waveform, torch.tensor([8_000, 8_000]), 3)
    assert features.isfinite().all()


def test_extract_runs_no_later_layer() -> None:
    hubert = Hubert(TINY_LARGE).eval()
    for parameter in (*hubert.layers[2].parameters(), *hubert.encoder_norm.parameters()):
        torch.nn.init.constant_(parameter, float("nan"))
    assert hubert.extract(*batch_of([8_000]), 2)[0].isfinite().all()
    with pytest.raises(ValueError, match="layer must be 1 to 3, found 0"):
        hubert.extract(*batch_of([8_000]), 0)


def test_labels_at_100_hz_are_taken_at_the_start_of_each_frame() -> None:
    hubert = Hubert(dataclasses.replace(TINY, label_rate=100, **STILL))
    labels = torch.arange(9)[None] % 8
    assert hubert._targets(labels, 6).tolist() == [[0, 2, 4, 6, 0, -1]]


def test_frames_without_label_are_left_out() -> None:
    torch.manual_seed(0)
    hubert = Hubert(dataclasses.replace(TINY, **STILL))
    waveform, lengths = batch_of([16_000])
    labels, mask = torch.randint(8, (1, 49)), torch.zeros(1, 49, dtype=torch.bool)
    mask[:, 30:] = True
    some = labels.clone()
    some[:, 40:] = -1
    cut, marked = (hubert(waveform, lengths, given, mask).metrics for given in (labels[:, :40], some))
    assert marked["masked_frames"] == cut["masked_frames"] == 10
    assert marked["masked_loss"] == cut["masked_loss"]


def test_convolutions_get_a_scaled_gradient_or_none() -> None:
    gradients = []
    for scale in (1.0, 0.5, 0.0):
        torch.manual_seed(0)
        hubert = Hubert(dataclasses.replace(TINY, feature_grad_mult=scale, **STILL))
        waveform, lengths = batch_of([8_000])
        mask = torch.arange(24)[None] < 12
        hubert(waveform, lengths, torch.zeros(1, 24, dtype=torch.long), mask).loss.backward()
        gradients.append(hubert.convolutions[0].weight.grad)
    assert gradients[2] is None
    torch.testing.assert_close(gradients[1], gradients[0] / 2)


def test_spans_are_seeded_inside_the_utterance_and_as_many_as_fairseq_draws() -> None:
    lengths = torch.tensor([500, 105, 30, 5, 1, 0])
    masks = [span_mask(lengths, 500, 0.8, 10, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
    for row, length in zip(masks[0], lengths.tolist(), strict=True):
        assert not row[length:].any()
    # 50 x 0.8 spans of 10 frames over 500 cover 1 - e^-0.8 = 0.55 of them
    many = span_mask(torch.full((200,), 500), 500, 0.8, 10, torch.Generator().manual_seed(0))
    assert abs(float(many.float().mean()) - 0.55) < 0.02
    # one frame a span shows the number of spans: int(0.25 * 50 + U[0, 1)) is 12 or 13
    counts = span_mask(torch.full((200,), 50), 50, 0.25, 1, torch.Generator().manual_seed(0)).sum(1)
    assert sorted(set(counts.tolist())) == [12, 13]
    assert span_mask(torch.tensor([50]), 50, 0.0, 1).sum() == 2


# as in the demo; some CPUs get its positional convolution wrong in bfloat16
DEMO_LIKE = dataclasses.replace(TINY, width=192, pre_ln=True, positional_kernel=32, positional_groups=16)


@pytest.mark.parametrize("config", [TINY_LARGE, DEMO_LIKE], ids=["large", "demo"])
def test_bfloat16_is_near_float32(config: HubertConfig) -> None:
    torch.manual_seed(0)
    hubert = Hubert(config).eval()
    waveform, lengths = batch_of([16_000, 9_000])
    with torch.no_grad():
        exact, _ = hubert.extract(waveform, lengths, 3)
        with torch.autocast("cpu", torch.bfloat16):
            rough, _ = hubert.extract(waveform, lengths, 3)
    assert (rough[0] - exact[0]).abs().mean() < 0.05 * exact[0].std()


def test_contradicting_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="width=50 must be a multiple of num_heads=4"):
        dataclasses.replace(TINY, width=50)


def test_loss_falls_in_thirty_steps() -> None:
    """Eight tones, 0.1 s each; the label is the tone."""
    torch.manual_seed(0)
    tones = torch.randint(8, (4, 20)).repeat_interleave(5, dim=1)
    phase = (200.0 * (1 + tones)).repeat_interleave(320, dim=1).cumsum(1) * (2 * torch.pi / 16_000)
    waveform, lengths = 0.3 * phase.sin(), torch.full((4,), phase.shape[1])
    hubert = Hubert(dataclasses.replace(TINY, pre_ln=True, unmasked_weight=0.5, layer_drop=0.0, dropout=0.0))
    optimizer = torch.optim.Adam(hubert.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        result = hubert(waveform, lengths, tones)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        losses.append(float(result.loss.detach()))
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert 1 <= result.metrics["code_perplexity"] <= 12


def test_a_compiled_model_gives_the_same_loss_and_gradients() -> None:
    """Traced by Dynamo and run as it is: what inductor makes of it is PyTorch's own matter."""
    config = dataclasses.replace(TINY, layer_drop=0.0, dropout=0.0, attention_dropout=0.0)
    waveform, lengths = batch_of([4000, 3000])
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        hubert = Hubert(config)
        if compiled:
            torch._dynamo.reset()
            hubert.compile(backend="eager", dynamic=True)
        frames = hubert.frame_lengths(lengths)
        labels = torch.arange(int(frames.max())).remainder(config.num_classes).expand(2, -1)
        for mask in (None, torch.arange(int(frames.max())).remainder(3).eq(0).expand(2, -1)):  # drawn, and given
            hubert.zero_grad()
            loss = hubert(waveform, lengths, labels, mask).loss
            loss.backward()
        results.append((loss.detach(), {name: value.grad for name, value in hubert.named_parameters()}))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)
