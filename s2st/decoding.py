"""Beam search over units, batched, with cached keys and values; a beam of 1 is greedy search.

Shapes: N sentences still searched, K beams, T tokens so far, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2st.models.transformer import DecoderCache
from s2st.models.unit_transformer import UnitTransformer, pad_tokens
from s2st.units import UnitVocabulary


@dataclass(frozen=True)
class Hypothesis:
    units: np.ndarray  # reduced units (T,), int32
    score: float  # log-probability / number of tokens ** length_penalty; the end symbol counts as a token


@torch.inference_mode()
def translate_units(
    model: UnitTransformer,
    sources: Sequence[np.ndarray],
    source_langs: Sequence[str],
    target_langs: Sequence[str],
    beam: int = 5,
    max_ratio: float = 2.0,
    max_extra: int = 20,
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """Find the best translation of each source: reduced units (S,), with its own pair of languages.

    Sources are one batch: give them by similar length. A translation holds 1 to max_ratio * S + max_extra
    tokens (S is counted in tokens too, after the merges), all of them units.
    """
    assert not model.training, "call model.eval() first: dropout would disturb the search"
    if not len(sources) == len(source_langs) == len(target_langs):
        raise ValueError(
            f"{len(sources)} sources, {len(source_langs)} source and {len(target_langs)} target languages; "
            "give one of each for every sentence"
        )
    if beam < 1:
        raise ValueError(f"beam {beam} keeps nothing; use 1 for greedy search, 5 for a good one")
    for i, source in enumerate(sources):
        if not len(source):
            raise ValueError(f"source {i} is empty; leave out utterances without units")
    if not sources:
        return []
    vocabulary, device = model.vocabulary, model.embed_tokens.weight.device
    pairs = zip(sources, source_langs, strict=True)
    tokens, lengths = pad_tokens([vocabulary.source_tokens(source, lang) for source, lang in pairs])
    limits = ((lengths - vocabulary.num_source_marks) * max_ratio + max_extra).long()
    search = _BeamSearch(
        cache=model.start(tokens.to(device), lengths.to(device)),
        ends=torch.tensor([vocabulary.language_symbol(lang) for lang in target_langs], device=device),
        limits=limits.clamp(1, model.config.max_positions - 1).to(device),
        vocabulary=vocabulary,
        beam=beam,
        length_penalty=length_penalty,
    )
    while len(search.sentences):
        search.step(model)
    best = [max(found, key=lambda hypothesis: hypothesis[0]) for found in search.found]
    return [Hypothesis(vocabulary.decode(tokens.cpu().numpy()), score) for score, tokens in best]


class _BeamSearch:
    """The state of one search, a row a sentence; finished sentences leave the batch.

    As in fairseq, a candidate that ends counts as found only among the best K of its step, and a sentence is
    finished when K are found or its limit is reached.
    """

    def __init__(
        self,
        cache: DecoderCache,
        ends: Tensor,
        limits: Tensor,
        vocabulary: UnitVocabulary,
        beam: int,
        length_penalty: float,
    ) -> None:
        self.cache, self.ends, self.limits = cache, ends, limits  # ends and limits (N,)
        self.beam, self.length_penalty = beam, length_penalty
        self.sentences = torch.arange(len(ends), device=ends.device)  # (N,) numbers in the caller's order
        self.tokens = ends[:, None, None].repeat(1, beam, 1)  # (N, K, T), begins with the language
        self.scores = torch.full(self.tokens.shape[:2], -torch.inf, device=ends.device)  # (N, K)
        self.scores[:, 0] = 0.0  # all beams begin alike: only one of them may branch
        self.is_unit = torch.from_numpy(vocabulary.target_tokens_allowed).to(ends.device)  # (V,)
        self.found: list[list[tuple[float, Tensor]]] = [[] for _ in ends]  # of each sentence: score, tokens

    def step(self, model: UnitTransformer) -> None:
        """Extend every beam by one token, store what ended, and drop the sentences that are finished."""
        totals = self.scores[:, :, None] + self._log_probabilities(model)
        scores, places = totals.flatten(1).topk(2 * self.beam)
        origins, tokens = places // totals.size(2), places % totals.size(2)
        ended = tokens == self.ends[:, None]
        self._store(scores, origins, ended)

        # The best K that go on, in their order; a beam can end in one way only, so K of 2K always go on.
        kept = ended.int().argsort(dim=1, stable=True)[:, : self.beam]
        self.scores, origins, tokens = (values.gather(1, kept) for values in (scores, origins, tokens))
        past = self.tokens.gather(1, origins[:, :, None].expand_as(self.tokens))
        self.tokens = torch.cat([past, tokens[:, :, None]], 2)
        self._advance_cache(origins)

    def _log_probabilities(self, model: UnitTransformer) -> Tensor:
        """(N, K, V), -inf where a token may not come next."""
        logits = model.decode(self.tokens[:, :, -1].reshape(-1, 1), self.cache).float()
        length = self.tokens.size(2) - 1
        allowed = self.is_unit & (length < self.limits)[:, None]
        if length:  # nothing is no translation
            allowed.scatter_(1, self.ends[:, None], True)
        log_probabilities = logits.log_softmax(2).view(*self.scores.shape, -1)
        return log_probabilities.masked_fill(~allowed[:, None], -torch.inf)

    def _store(self, scores: Tensor, origins: Tensor, ended: Tensor) -> None:
        found = ended[:, : self.beam] & scores[:, : self.beam].isfinite()
        length = self.tokens.size(2)  # the language that begins is not counted, the one that ends is
        for row, rank in found.nonzero().tolist():
            score = scores[row, rank].item() / length**self.length_penalty
            self.found[int(self.sentences[row])].append((score, self.tokens[row, origins[row, rank]]))

    def _advance_cache(self, origins: Tensor) -> None:
        """Give each beam the cache of the beam it extends (N, K), and drop finished sentences."""
        enough = torch.tensor([len(self.found[i]) >= self.beam for i in self.sentences.tolist()])
        past_limit = self.tokens.size(2) - 1 > self.limits
        going = (~(enough.to(origins.device) | past_limit)).nonzero()[:, 0]
        rows = torch.arange(len(origins), device=origins.device)[:, None] * self.beam + origins
        if len(going) == len(origins):
            self.cache.select(None, rows.flatten())
            return
        self.cache.select(going, rows[going].flatten())
        self.ends, self.limits, self.sentences = self.ends[going], self.limits[going], self.sentences[going]
        self.tokens, self.scores = self.tokens[going], self.scores[going]
