"""HuBERT with a CTC output: padding, masks, freezing, learning, and on disk."""

import pytest
import torch

from s2st import checkpoint
from s2st.models.encoder_layers import span_mask
from s2st.models.hubert import HubertConfig
from s2st.models.hubert_ctc import NUM_SPECIALS, HubertCtc, HubertCtcConfig, encoder_config
from s2st.models.speech_encoder import EncoderConfig

TINY = EncoderConfig(
    conv_layers=((16, 10, 5), (16, 8, 8), (16, 8, 8)),
    width=32,
    num_layers=2,
    num_heads=2,
    ffn_dim=32,
    positional_kernel=8,
    positional_groups=4,
    dropout=0.0,
    attention_dropout=0.0,
    layer_drop=0.0,
    feature_grad_mult=0.0,
)
SYMBOLS = ("a", "b", "c")


def tiny(**settings) -> HubertCtc:
    torch.manual_seed(0)
    return HubertCtc(HubertCtcConfig(SYMBOLS, TINY, **{"mask_length": 3, "channel_mask_length": 4} | settings))


def speech() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    lengths = torch.tensor([9000, 2000, 6003, 300])
    return torch.randn(len(lengths), 9000) * 0.1, lengths


LABELS = torch.tensor([[4, 5, 5, 6], [6, 4, -1, -1], [5, 6, 4, -1], [4, -1, -1, -1]])
LABEL_LENGTHS = torch.tensor([4, 2, 3, 1])


def test_a_padded_batch_equals_each_alone() -> None:
    model, (waveform, lengths) = tiny().eval(), speech()
    together, frames = model.log_probs(waveform, lengths)
    assert together.shape == (4, frames.max(), NUM_SPECIALS + 3)
    assert frames.tolist()[-1] == 0  # 300 samples are less than a frame sees
    losses = []
    for row, length in enumerate(lengths.tolist()):
        one = (waveform[row : row + 1, :length], lengths[row : row + 1])
        alone, size = model.log_probs(*one)
        torch.testing.assert_close(together[row, : frames[row]], alone[0, : size[0]], atol=1e-5, rtol=1e-5)
        losses.append(model.loss(*one, LABELS[row : row + 1], LABEL_LENGTHS[row : row + 1]))
    assert losses[-1] == 0  # what has too few frames for its labels teaches nothing
    torch.testing.assert_close(model.loss(waveform, lengths, LABELS, LABEL_LENGTHS), torch.stack(losses).mean())


def test_masks_are_for_training_only() -> None:
    model, (waveform, lengths) = tiny(), speech()
    hidden = torch.randn(4, 30, 32)
    frames = torch.tensor([30, 10, 20, 0])
    masked = model.mask(hidden, frames)
    channels = (masked == 0).all(1)
    assert channels.any(1).all()  # int(0.5 * 32 / 4 + U) spans of 4
    assert channels.sum(1).max() <= 5 * 4
    embedding = torch.where(channels, 0, model.mask_embedding)[:, None]
    time = (masked == embedding).all(-1)
    assert time[:3].any(1).all()
    assert not (time & (torch.arange(30) >= frames[:, None])).any()
    kept = ~time[..., None] & ~channels[:, None]
    assert torch.equal(masked[kept], hidden[kept])
    assert torch.equal(tiny(mask_probability=0.0, channel_mask_probability=0.0).mask(hidden, frames), hidden)
    model.eval()
    assert torch.equal(model(waveform, lengths)[0], model(waveform, lengths)[0])
    model.train()
    assert not torch.equal(model(waveform, lengths)[0], model(waveform, lengths)[0])


def test_channel_spans_have_no_least_number() -> None:
    counts = span_mask(torch.full((500,), 64), 64, 0.5, 64, torch.Generator().manual_seed(0), min_spans=0).sum(1)
    assert 0.4 < (counts == 0).float().mean() < 0.6  # int(0.5 + U) is 0 or 1


def test_the_convolutions_never_learn_and_the_encoder_not_while_frozen() -> None:
    model, (waveform, lengths) = tiny().train(), speech()
    model.loss(waveform, lengths, LABELS, LABEL_LENGTHS, frozen=True).backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {"output.weight", "output.bias"}
    model.loss(waveform, lengths, LABELS, LABEL_LENGTHS).backward()
    still = {name for name, p in model.named_parameters() if p.grad is None}
    assert still
    assert all(name.startswith("encoder.convolutions.") for name in still)


def test_it_learns() -> None:
    model, (waveform, lengths) = tiny(mask_probability=0.0, channel_mask_probability=0.0).train(), speech()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = model.loss(waveform, lengths, LABELS, LABEL_LENGTHS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


def test_on_disk(tmp_path) -> None:
    model, (waveform, lengths) = tiny().eval(), speech()
    checkpoint.save(str(tmp_path), model, {"languages": ["en"]})
    loaded, info = checkpoint.load(str(tmp_path), "hubert_ctc")
    assert loaded.config == model.config
    assert info == {"languages": ["en"]}
    assert torch.equal(loaded(waveform, lengths)[0], model(waveform, lengths)[0])


def test_the_config_of_a_pretrained_model_is_that_of_its_encoder() -> None:
    changed = encoder_config(HubertConfig(width=48, num_classes=7), layer_drop=0.2)
    assert type(changed) is EncoderConfig
    assert changed == EncoderConfig(width=48, layer_drop=0.2)
    with pytest.raises(ValueError, match="'a' twice"):
        HubertCtcConfig(("a", "b", "a"))
