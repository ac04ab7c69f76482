"""Units that are given as they are settled join to the translation that is given at once."""

import numpy as np
import pytest
import torch

from s2st.beam_search import SearchOptions
from s2st.decoding import translate_units
from s2st.growing_translation import translate_growing
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from s2st.units import reduce


@pytest.fixture(scope="module", params=[(), ((1, 2), (12, 3), (4, 1))], ids=["units", "merges"])
def model(request):
    """A translator with random weights that seldom says the symbol that ends a translation."""
    torch.manual_seed(0)
    sizes = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 32, "num_units": 12}
    model = UnitTransformer(UnitTransformerConfig(**sizes, languages=("en", "hi"), merges=request.param)).eval()
    model.embed_tokens.weight.data[model.vocabulary.language_symbol("hi")] *= 0.1
    return model


def searching(beam):
    """Options with which a random model does not say one unit for ever."""
    return SearchOptions(beam=beam, no_repeat_ngram=2, max_len_b=10)


def grow(model, source, options):
    """Give the parts that come and the hypothesis that is returned."""
    parts, growing = [], translate_growing(model, source, "en", "hi", options)
    while True:
        try:
            parts.append(next(growing))
        except StopIteration as stop:
            return parts, stop.value


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_parts_join_to_the_best_translation(model, beam, seed):
    random = np.random.default_rng(seed)
    source, _ = reduce(random.integers(0, 12, random.integers(4, 30)))
    options = searching(beam)
    ((expected, *_),) = translate_units(model, [source], ["en"], ["hi"], options)
    parts, best = grow(model, source, options)
    np.testing.assert_array_equal(np.concatenate(parts), expected.units)
    np.testing.assert_array_equal(best.units, expected.units)
    assert (best.finished, best.loops) == (expected.finished, expected.loops)
    assert best.score == pytest.approx(expected.score, abs=1e-5)


def test_units_come_before_the_search_ends(model):
    source, _ = reduce(np.random.default_rng(0).integers(0, 12, 40))
    searched = []
    decode = model.decode
    for beam in (1, 4):
        searched.clear()
        model.decode = lambda *inputs: searched.append(1) or decode(*inputs)
        steps = [len(searched) for _ in translate_growing(model, source, "en", "hi", searching(beam))]
        assert steps[0] <= (1 if beam == 1 else len(searched) // 2)
        assert len(steps) > 3
    del model.decode
