"""From source units to the units of another language: a batch through a unit Transformer and beam search."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2st.beam_search import Hypothesis, SearchOptions, search
from s2st.models.unit_transformer import UnitTransformer, pad_tokens
from s2st.units import NUM_SPECIALS, UnitVocabulary


@dataclass(frozen=True)
class UnitHypothesis:
    units: np.ndarray  # reduced units (T,), int32
    score: float  # log-probability / number of tokens ** length_penalty; the end symbol counts as a token
    finished: bool  # False: it was cut at its limit
    loops: bool  # it was cut, and repeats itself to its end


def translate_units(
    model: UnitTransformer,
    sources: Sequence[np.ndarray],
    source_langs: Sequence[str],
    target_langs: Sequence[str],
    options: SearchOptions = SearchOptions(),
    prefixes: Sequence[np.ndarray] | None = None,
    banned_units: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> list[list[UnitHypothesis]]:
    """Find the n_best translations of each source: reduced units (S,), with its own pair of languages.

    Sources are one batch: give them by similar length. A translation holds 1 to max_len_a * S + max_len_b tokens (S is
    counted in tokens too, after the merges), all of them units, and none of `banned_units`. It begins with the units
    of its prefix (P,), which may be empty. Samples are drawn with `generator`.
    """
    _check_sizes(sources, source_langs, target_langs, prefixes)
    if not sources:
        return []
    vocabulary, device = model.vocabulary, model.embed_tokens.weight.device
    pairs = zip(sources, source_langs, strict=True)
    tokens, lengths = pad_tokens([vocabulary.source_tokens(source, lang) for source, lang in pairs])
    languages = torch.tensor([vocabulary.language_symbol(lang) for lang in target_langs])
    forced = None
    if prefixes is not None:
        forced = pad_tokens([vocabulary.as_prefix(vocabulary.encode(p)) for p in prefixes])[0].to(device)
    tokens, lengths, languages = tokens.to(device), lengths.to(device), languages.to(device)
    return translate_tokens(model, tokens, lengths, languages, options, forced, banned_units, generator)


@torch.inference_mode()
def translate_tokens(
    model: UnitTransformer,
    tokens: Tensor,
    lengths: Tensor,
    languages: Tensor,
    options: SearchOptions,
    prefixes: Tensor | None = None,
    banned_units: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> list[list[UnitHypothesis]]:
    """`translate_units` of sources that are tokens already.

    tokens (N, S) of `source_tokens`, padded, lengths (N,), languages (N,) symbols of the targets, prefixes (N, P).
    """
    inputs = search_inputs(model, tokens, lengths, languages, options, banned_units)
    found = search(model.decode, **inputs, prefixes=prefixes, generator=generator)
    return [[unit_hypothesis(model.vocabulary, hypothesis) for hypothesis in each] for each in found]


def search_inputs(
    model: UnitTransformer,
    tokens: Tensor,
    lengths: Tensor,
    languages: Tensor,
    options: SearchOptions,
    banned_units: Collection[int] = (),
) -> dict[str, Any]:
    """Read sources, as `translate_tokens` has them, and give what `beam_search.search` and Search begin with."""
    assert not model.training, "call model.eval() first: dropout would disturb the search"
    limits = ((lengths - model.vocabulary.num_source_marks) * options.max_len_a + options.max_len_b).long()
    return {
        "cache": model.start(tokens, lengths),
        "beginnings": languages,
        "ends": languages,
        "limits": limits.clamp(1, model.config.max_positions - 1),
        "allowed": _allowed_tokens(model.vocabulary, banned_units).to(tokens.device),
        "options": options,
    }


def unit_hypothesis(vocabulary: UnitVocabulary, found: Hypothesis) -> UnitHypothesis:
    """Give the units of a hypothesis of tokens."""
    return UnitHypothesis(vocabulary.decode(found.tokens), found.score, found.finished, found.loops)


def _check_sizes(
    sources: Sequence[np.ndarray],
    source_langs: Sequence[str],
    target_langs: Sequence[str],
    prefixes: Sequence[np.ndarray] | None,
) -> None:
    if not len(sources) == len(source_langs) == len(target_langs):
        raise ValueError(
            f"{len(sources)} sources, {len(source_langs)} source and {len(target_langs)} target languages; "
            "give one of each for every sentence"
        )
    if prefixes is not None and len(prefixes) != len(sources):
        raise ValueError(f"{len(prefixes)} prefixes for {len(sources)} sources; give an empty one where there is none")
    for i, source in enumerate(sources):
        if not len(source):
            raise ValueError(f"source {i} is empty; leave out utterances without units")


def _allowed_tokens(vocabulary: UnitVocabulary, banned_units: Collection[int]) -> Tensor:
    """(V,) bool: what the vocabulary allows in targets, save tokens that hold a banned unit."""
    allowed = torch.from_numpy(vocabulary.target_tokens_allowed)
    for token in range(NUM_SPECIALS, vocabulary.first_language) if banned_units else ():
        allowed[token] = not set(vocabulary.decode(np.array([token])).tolist()) & set(banned_units)
    return allowed
