import numpy as np
import pytest
import torch

from s2st import checkpoint
from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.models.unit_transformer import pad_tokens

TINY = {"num_layers": 2, "model_dim": 16, "num_heads": 2, "ffn_dim": 32, "num_units": 20}
STILL = {"dropout": 0.0, "attention_dropout": 0.0}
SHORT, LONG = [1, 2, 3], [5, 6, 7, 8, 9, 3]


def tiny_model(**changes) -> UnitLm:
    torch.manual_seed(0)
    return UnitLm(UnitLmConfig(**{**TINY, **STILL, **changes})).eval()


def batch(*utterances: list[int]) -> torch.Tensor:
    vocabulary = UnitLmConfig(**TINY).vocabulary
    return pad_tokens([vocabulary.target_tokens(np.array(units), "") for units in utterances])[0]


def test_padding_changes_nothing():
    model = tiny_model()
    together = model(batch(SHORT, LONG))
    torch.testing.assert_close(together[:1, :4], model(batch(SHORT)))
    torch.testing.assert_close(together[1:], model(batch(LONG)))


def test_no_token_sees_what_follows_it():
    model, tokens = tiny_model(), batch(LONG)
    changed = tokens.clone()
    changed[0, 4] = 23
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[0, :4], after[0, :4])
    assert not torch.allclose(before[0, 4], after[0, 4])


@pytest.mark.parametrize("pre_ln", [False, True])
def test_cached_steps_equal_the_whole(pre_ln):
    model, tokens = tiny_model(pre_ln=pre_ln), batch(SHORT, LONG)
    cache = model.start(2)
    first = model.decode(tokens[:, :3], cache)  # the first step may read many tokens
    steps = [model.decode(tokens[:, t : t + 1], cache) for t in range(3, tokens.size(1) - 1)]
    torch.testing.assert_close(torch.cat([first, *steps], 1), model(tokens))


def test_sequences_may_leave_the_cache():
    model, tokens = tiny_model(), batch(SHORT, LONG, LONG[::-1])
    cache = model.start(3)
    model.decode(tokens[:, :1], cache)
    cache.select(torch.tensor([2, 0]), torch.tensor([[2], [0]]))
    model.decode(tokens[[2, 0], 1:2], cache)
    torch.testing.assert_close(model.decode(tokens[[2, 0], 2:3], cache)[:, 0], model(tokens)[[2, 0], 2])


def test_loss_ignores_padding():
    model = tiny_model()
    losses = [model.loss(model(tokens), tokens) for tokens in (batch(SHORT), batch(LONG), batch(SHORT, LONG))]
    assert [metrics["tokens"] for _, metrics in losses] == [4, 7, 11]
    torch.testing.assert_close(losses[2][0], (4 * losses[0][0] + 7 * losses[1][0]) / 11)
    torch.testing.assert_close(losses[2][0], losses[2][1]["nll"])


def test_every_weight_learns_and_the_embedding_is_the_output():
    model, tokens = tiny_model(), batch(SHORT, LONG)
    model.loss(model(tokens), tokens)[0].backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
    assert not any("encoder_attn" in name for name, _ in model.named_parameters())


def test_a_model_as_made_is_fairseqs_transformer_lm_big():
    """12 layers of 1024 and 4096, a norm at the end, and one embedding; positions have no weights."""
    attention, feed_forward, norm = 4 * (1024 * 1024 + 1024), 2 * 1024 * 4096 + 4096 + 1024, 2 * 1024
    with torch.device("meta"):
        model = UnitLm(UnitLmConfig())
    expected = 104 * 1024 + 12 * (attention + feed_forward + 2 * norm) + norm
    assert sum(weight.numel() for weight in model.parameters()) == expected


def test_a_model_comes_back_from_its_folder(tmp_path):
    model, tokens = tiny_model(), batch(SHORT)
    checkpoint.save(str(tmp_path), model, {"lang": "en"})
    loaded, info = checkpoint.load(str(tmp_path), "unit_lm")
    assert info == {"lang": "en"}
    torch.testing.assert_close(loaded(tokens), model(tokens), rtol=0, atol=0)


def test_an_utterance_that_is_too_long_is_told():
    with pytest.raises(ValueError, match="a sequence of 7 is longer than the model's 5 positions"):
        tiny_model(max_positions=5)(batch(LONG))
