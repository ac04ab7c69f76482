import numpy as np
import pytest
import torch

from s2st.decoding import translate_units
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig, grow, pad_tokens
from s2st.units import PAD

TINY = {
    "num_layers": 2,
    "model_dim": 16,
    "num_heads": 2,
    "ffn_dim": 32,
    "num_units": 20,
    "languages": ("en", "hi"),
}


def tiny_model(**changes) -> UnitTransformer:
    torch.manual_seed(0)
    return UnitTransformer(UnitTransformerConfig(**{**TINY, "dropout": 0.0, **changes})).eval()


def batch(model, *pairs):
    """Padded sources with their lengths, and targets, of (source units, target units), Hindi to English."""
    encode = model.vocabulary
    source, lengths = pad_tokens([encode.source_tokens(np.array(source), "hi") for source, _ in pairs])
    target, _ = pad_tokens([encode.target_tokens(np.array(target), "en") for _, target in pairs])
    return source, lengths, target


SHORT, LONG = ([1, 2, 3], [4, 5]), ([5, 6, 7, 8, 9], [3, 2, 1, 0, 8, 9])


@pytest.mark.parametrize("pre_ln", [False, True])
def test_padding_changes_nothing(pre_ln):
    model = tiny_model(pre_ln=pre_ln)
    together = model(*batch(model, SHORT, LONG))
    torch.testing.assert_close(together[:1, :3], model(*batch(model, SHORT)))
    torch.testing.assert_close(together[1:], model(*batch(model, LONG)))


def test_no_token_sees_what_follows_it():
    model = tiny_model()
    source, lengths, target = batch(model, LONG)
    changed = target.clone()
    changed[0, 4] = 15
    before, after = model(source, lengths, target), model(source, lengths, changed)
    torch.testing.assert_close(before[0, :4], after[0, :4])
    assert not torch.allclose(before[0, 4], after[0, 4])


@pytest.mark.parametrize("pre_ln", [False, True])
def test_cached_steps_equal_the_whole_target(pre_ln):
    model = tiny_model(pre_ln=pre_ln)
    source, lengths, target = batch(model, SHORT, LONG)
    cache = model.start(source, lengths)
    steps = [model.decode(target[:, t : t + 1], cache) for t in range(target.size(1) - 1)]
    torch.testing.assert_close(torch.cat(steps, 1), model(source, lengths, target))


def test_loss_ignores_padding():
    model = tiny_model()
    losses, tokens = [], []
    for pairs in ([SHORT], [LONG], [SHORT, LONG]):
        *sources, target = batch(model, *pairs)
        loss, metrics = model.loss(model(*sources, target), target)
        losses.append(loss)
        tokens.append(metrics["tokens"])
    assert tokens == [3, 7, 10]
    torch.testing.assert_close(losses[2], (3 * losses[0] + 7 * losses[1]) / 10)


def test_without_smoothing_the_loss_is_the_nll():
    model = tiny_model(label_smoothing=0.0)
    *sources, target = batch(model, SHORT)
    loss, metrics = model.loss(model(*sources, target), target)
    torch.testing.assert_close(loss, metrics["nll"])


@pytest.mark.parametrize("share", [True, False])
def test_every_weight_learns(share):
    model = tiny_model(share_all_embeddings=share)
    *sources, target = batch(model, SHORT, LONG)
    model.loss(model(*sources, target), target)[0].backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
    assert (model.source_embed_tokens is model.embed_tokens) == share


def test_thirty_steps_on_one_batch_lower_the_loss():
    model = tiny_model(label_smoothing=0.0).train()
    *sources, target = batch(model, SHORT, LONG)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss, metrics = model.loss(model(*sources, target), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert metrics["accuracy"] == 1


def test_bf16_autocast_stays_near_float32():
    model = tiny_model()
    *sources, target = batch(model, SHORT, LONG)
    loss, _ = model.loss(model(*sources, target), target)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = model.loss(model(*sources, target), target)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, loss, rtol=0.02, atol=0.02)


def test_pad_tokens():
    tokens, lengths = pad_tokens([np.array([5, 6, 7]), np.array([8])])
    assert tokens.tolist() == [[5, 6, 7], [8, PAD, PAD]]
    assert lengths.tolist() == [3, 1]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="model_dim 16 must be a multiple of num_heads 3"):
        UnitTransformerConfig(model_dim=16, num_heads=3)
    model = tiny_model(max_positions=5)
    with pytest.raises(ValueError, match="a sequence of 8 is longer than the model's 5 positions"):
        model(*batch(model, LONG))


@pytest.mark.parametrize("share", [True, False])
def test_a_grown_model_says_of_old_languages_what_it_said(share):
    model = tiny_model(share_all_embeddings=share)
    grown = grow(model, ["ko"])
    before, after = model.vocabulary, grown.vocabulary
    assert after.language_symbol("ko") == before.mask
    old = [*range(before.mask), after.mask]  # <mask> moves
    source, lengths, target = batch(model, SHORT, LONG)
    torch.testing.assert_close(grown(source, lengths, target)[..., old], model(source, lengths, target))
    units = [np.arange(n) * 7 % 20 for n in (9, 4, 12)]
    for langs in (["hi"] * 3, ["en"] * 3), (["en"] * 3, ["hi"] * 3):
        found, expected = (translate_units(m, units, *langs) for m in (grown, model))
        for now, then in zip(found, expected, strict=True):
            np.testing.assert_array_equal(now[0].units, then[0].units)
    assert not grown.training
    spoken = translate_units(grown, units, ["hi"] * 3, ["ko"] * 3)
    assert all(len(hypothesis.units) for (hypothesis,) in spoken)
    with pytest.raises(ValueError, match="name one twice"):
        grow(model, ["hi"])
