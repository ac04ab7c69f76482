"""A translation while it is being found: units are given as soon as they are settled."""

from collections.abc import Generator

import numpy as np
import torch

from s2st.beam_search import Search, SearchOptions, best_of
from s2st.decoding import UnitHypothesis, search_inputs, unit_hypothesis
from s2st.models.unit_transformer import UnitTransformer


@torch.inference_mode()
def translate_growing(
    model: UnitTransformer,
    source: np.ndarray,
    source_lang: str,
    target_lang: str,
    options: SearchOptions = SearchOptions(),
) -> Generator[np.ndarray, None, UnitHypothesis]:
    """Translate reduced units (S,), as `translate_units` does; give units (L,), int32, that follow those before.

    A unit is settled once all hypotheses that may still become the best share it: at once in greedy search, some
    tokens later in beam search. Returns the best hypothesis, whose units are all that were given.
    """
    vocabulary, device = model.vocabulary, model.embed_tokens.weight.device
    tokens = torch.from_numpy(vocabulary.source_tokens(source, source_lang))[None].to(device)
    lengths = torch.tensor([tokens.size(1)], device=device)
    languages = torch.tensor([vocabulary.language_symbol(target_lang)], device=device)
    inputs = search_inputs(model, tokens, lengths, languages, options)
    state, given = Search(**inputs, prefixes=None, generator=None), 0
    while len(state.sentences):
        state.step(model.decode)
        units = vocabulary.decode(state.settled(0))
        if len(units) > given:
            yield units[given:]
            given = len(units)
    return unit_hypothesis(vocabulary, best_of(state.found[0], 1)[0])
