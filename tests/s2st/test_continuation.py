import numpy as np
import pytest
import torch

from s2st.continuation import SamplingOptions, continue_units, surprisals
from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.models.unit_transformer import pad_tokens

STILL = {"dropout": 0.0, "attention_dropout": 0.0}
NUM_UNITS = 6
EMPTY = np.zeros(0, np.int64)
PROMPTS = [np.array([1, 2, 3]), EMPTY, np.array([5]), np.array([0, 4, 0, 4, 1])]


@pytest.fixture
def model() -> UnitLm:
    torch.manual_seed(0)
    config = UnitLmConfig(num_layers=2, model_dim=16, num_heads=2, ffn_dim=32, num_units=NUM_UNITS, **STILL)
    return UnitLm(config).eval()


@pytest.fixture
def counting() -> UnitLm:
    """A model that learned a cycle: 0 1 2 3 4 5 0 1 ..., from any place in it, 12 units long."""
    torch.manual_seed(0)
    config = UnitLmConfig(num_layers=2, model_dim=32, num_heads=2, ffn_dim=64, num_units=NUM_UNITS, **STILL)
    learned = UnitLm(config)
    tokens, _ = pad_tokens([config.vocabulary.target_tokens(cycle(start), "") for start in range(NUM_UNITS)])
    optimizer = torch.optim.Adam(learned.parameters(), lr=5e-3)
    for _ in range(100):
        loss, _ = learned.loss(learned(tokens), tokens)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return learned.eval()


def cycle(start: int, length: int = 12) -> np.ndarray:
    return np.arange(start, start + length) % NUM_UNITS


def test_a_sample_depends_on_its_prompt_and_seed_alone(model):
    options = SamplingOptions(temperature=1.0, max_units=20)
    seeds = [7, 8, 9, 10]
    together = [found.units.tolist() for found in continue_units(model, PROMPTS, seeds, options)]
    for prompt, seed, expected in zip(PROMPTS, seeds, together, strict=True):
        (alone,) = continue_units(model, [prompt], [seed], options)
        assert alone.units.tolist() == expected
        assert expected[: len(prompt)] == prompt.tolist()
    turned = continue_units(model, PROMPTS[::-1], seeds[::-1], options)
    assert [found.units.tolist() for found in turned] == together[::-1]
    others = continue_units(model, PROMPTS, [seed + 50 for seed in seeds], options)
    assert [found.units.tolist() for found in others] != together
    assert len({tuple(found.units) for found in continue_units(model, [EMPTY] * 5, range(5), options)}) == 5


def test_the_learned_cycle_goes_on_to_its_end_and_is_no_surprise(counting):
    """Perplexity near 1: what follows is certain but for the first unit, which has six chances."""
    sequences = [cycle(start) for start in range(NUM_UNITS)]
    nats = surprisals(counting, sequences)
    assert np.exp((nats.sum() - NUM_UNITS * np.log(NUM_UNITS)) / (NUM_UNITS * 12)) < 1.05
    found = continue_units(counting, [cycle(2, 3), cycle(5, 4)], [0, 1])
    assert [hypothesis.units.tolist() for hypothesis in found] == [cycle(2).tolist(), cycle(5).tolist()]
    assert all(hypothesis.finished for hypothesis in found)


def test_samples_are_cut_at_their_limit(counting):
    (cut,) = continue_units(counting, [cycle(1, 3)], [0], SamplingOptions(max_units=4))
    assert cut.units.tolist() == cycle(1, 7).tolist()
    assert not cut.finished


def test_one_unit_to_draw_from_is_the_likeliest(counting):
    options = SamplingOptions(temperature=5.0, top_k=1)
    (greedy,) = continue_units(counting, [cycle(3, 2)], [0], options)
    assert greedy.units.tolist() == cycle(3).tolist()


def test_surprisals_do_not_depend_on_the_batch(model):
    utterances = [np.array([1, 2, 3]), np.array([5]), np.array([0, 4, 0, 4, 1])]
    together = surprisals(model, utterances)
    np.testing.assert_allclose(together, [surprisals(model, [units])[0] for units in utterances], rtol=1e-5)
    tokens, _ = pad_tokens([model.vocabulary.target_tokens(utterances[0], "")])
    with torch.no_grad():
        loss, metrics = model.loss(model(tokens), tokens)
    assert together[0] == pytest.approx(float(loss * metrics["tokens"]), rel=1e-5)


def test_mistakes_are_named(model):
    with pytest.raises(ValueError, match="max_units=0 must be at least 1"):
        SamplingOptions(max_units=0)
    with pytest.raises(ValueError, match="temperature 0.0 must be above 0"):
        SamplingOptions(temperature=0.0)
    short = UnitLm(UnitLmConfig(num_layers=1, model_dim=8, num_heads=2, num_units=NUM_UNITS, max_positions=6)).eval()
    with pytest.raises(ValueError, match="a prompt of 5 units leaves nothing of the model's 5"):
        continue_units(short, [cycle(0, 5)], [0])
    assert continue_units(model, [], []) == []
