"""From speech to the units of its translation: a batch through S2UT and beam search."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from s2st.beam_search import Hypothesis, SearchOptions, search
from s2st.decoding import UnitHypothesis
from s2st.models.s2ut import S2ut
from s2st.stacked_search import search_stacked
from s2st.units import EOS, NUM_SPECIALS, reduce

# Reduced units are about 25 a second: so a translation may last about twice as long as its source. fairseq's recipe
# has max_len_a 1 and max_len_b 200.
SPEECH_SEARCH = SearchOptions(max_len_a=0.5, max_len_b=20)


def translate_speech(
    model: S2ut,
    features: Tensor,
    lengths: Tensor,
    target_langs: Sequence[str],
    options: SearchOptions = SPEECH_SEARCH,
    generator: torch.Generator | None = None,
) -> list[list[UnitHypothesis]]:
    """Find the n_best translations of each source of a batch, each into a language of its own.

    features and lengths as the model's source takes them. A translation holds 1 to max_len_a * S + max_len_b units,
    reduced afterwards, S being the source's frames of 10 ms. Samples are drawn with `generator`. Stacked units are
    found greedily, whatever the options, and their score is a sum. Raises ValueError for a language that the model
    lacks.
    """
    assert not model.training, "call model.eval() first: dropout would disturb the search"
    if len(target_langs) != len(features):
        raise ValueError(f"{len(features)} sources and {len(target_langs)} target languages; give one for each source")
    config = model.config
    with torch.inference_mode():
        cache = model.start(features, lengths)
    limits = (model.source.num_frames(lengths) * options.max_len_a + options.max_len_b).long()
    limits = limits.clamp(1, (config.max_steps - 1) * config.units_per_step)
    if config.units_per_step > 1:
        steps = limits.div(config.units_per_step).ceil().long()
        return [[_units(one)] for one in search_stacked(model.decoder, cache, steps, config.units_per_step)]
    allowed = torch.zeros(config.vocabulary_size, dtype=torch.bool, device=features.device)
    allowed[NUM_SPECIALS : NUM_SPECIALS + config.num_units] = True
    beginnings = torch.tensor([config.beginning(lang) for lang in target_langs], device=features.device)
    ends = torch.full_like(beginnings, EOS)
    found = search(model.decoder, cache, beginnings, ends, limits, allowed, options, generator=generator)
    return [[_units(hypothesis) for hypothesis in each] for each in found]


def _units(hypothesis: Hypothesis) -> UnitHypothesis:
    units = reduce((hypothesis.tokens - NUM_SPECIALS).astype(np.int32))[0]
    return UnitHypothesis(units, hypothesis.score, hypothesis.finished, hypothesis.loops)
