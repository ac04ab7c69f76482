"""Beam search and sampling, batched. Of the model it knows one step of a decoder; of tokens, only their numbers.

As in fairseq's sequence_generator.py, a candidate that ends counts as found only among the best K of its step, and a
sentence is finished when K are found or its limit is reached. Limits here are those of each sentence, not of the
longest of its batch, so a sentence is translated as if it were alone.

Shapes: N sentences still searched, K beams, C candidates for the next step, T tokens so far, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from s2st.models.decoder_cache import DecoderCache
from s2st.units import PAD

LOOP_REPEATS = 4  # so many copies of an n-gram at the end are a loop


@dataclass(frozen=True)
class SearchOptions:
    beam: int = 5  # width K of the search; 1 is greedy search
    n_best: int = 1  # hypotheses returned of each sentence
    length_penalty: float = 1.0  # scores are divided by length ** length_penalty: large ones favour long hypotheses
    max_len_a: float = 2.0  # a hypothesis has at most max_len_a * source length + max_len_b tokens
    max_len_b: int = 20
    no_repeat_ngram: int = 0  # no n-gram of this size comes twice; 0: all may
    temperature: float = 1.0  # logits are divided by it
    sampling: bool = False  # draw n_best hypotheses instead of searching for the best; beam is not used then
    top_k: int = 0  # draw from so many of the likeliest tokens; 0: from all
    top_p: float = 1.0  # draw from the fewest tokens that hold this probability together

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"beam {self.beam} keeps nothing; use 1 for greedy search, 5 for a good one")
        if self.n_best < 1 or (self.n_best > self.beam and not self.sampling):
            raise ValueError(f"n_best {self.n_best} must be from 1 to beam {self.beam}; or set sampling")
        if self.temperature <= 0:
            raise ValueError(f"temperature {self.temperature} must be above 0; use beam 1 for greedy search")
        if self.no_repeat_ngram < 0 or self.no_repeat_ngram == 1:
            raise ValueError(f"no_repeat_ngram {self.no_repeat_ngram} must be 0 (off) or at least 2")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"top_k {self.top_k} must be 0 (off) or more, top_p {self.top_p} in (0, 1]")
        if not self.sampling and (self.top_k or self.top_p < 1):
            raise ValueError("top_k and top_p choose what is drawn from; they need sampling")


@dataclass(frozen=True)
class Hypothesis:
    tokens: np.ndarray  # (T,), int64, without what begins and ends them
    score: float  # log-probability / number of tokens ** length_penalty; the end symbol counts as a token
    finished: bool  # False: it was cut at its limit, where the end is the only token allowed
    loops: bool  # it was cut, and ends in an n-gram that comes LOOP_REPEATS times in a row


@torch.inference_mode()
def search(
    decode: Callable[[Tensor, DecoderCache], Tensor],
    cache: DecoderCache,
    beginnings: Tensor,
    ends: Tensor,
    limits: Tensor,
    allowed: Tensor,
    options: SearchOptions,
    prefixes: Tensor | None = None,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
) -> list[list[Hypothesis]]:
    """Find the n_best hypotheses of each of N sentences, the best first; beam search may find fewer than n_best.

    `decode` reads tokens (rows, 1), a row a beam, after those in the cache -> logits (rows, 1, V). A sentence begins
    with its symbol of beginnings (N,) and ends on that of ends (N,). Between them come 1 to limits (N,) tokens of those
    that allowed (V,), bool, permits; they begin with prefixes (N, P), padded with PAD, whose tokens are scored as if
    chosen. Samples are drawn with `generator`; with one for each of the N * n_best, none depends on the others. On
    return the cache is used up. Raises ValueError if a sentence has no hypothesis, as where logits are no numbers.
    """
    if options.sampling:  # each sample is searched as a sentence of its own, with one beam
        repeats = torch.arange(len(ends), device=ends.device).repeat_interleave(options.n_best)
        cache.select(repeats, repeats[:, None])
        beginnings, ends, limits = beginnings[repeats], ends[repeats], limits[repeats]
        prefixes = None if prefixes is None else prefixes[repeats]
    state = Search(cache, beginnings, ends, limits, allowed, options, prefixes, generator)
    while len(state.sentences):
        state.step(decode)
    found = state.found
    if options.sampling:
        found = [list(chain(*found[i : i + options.n_best])) for i in range(0, len(found), options.n_best)]
    return [best_of(each, options.n_best) for each in found]


def best_of(found: list[Hypothesis], count: int) -> list[Hypothesis]:
    """Give the best hypotheses that were found of a sentence; raises ValueError if there is none."""
    if not found:
        raise ValueError("no token had a probability: are the logits finite, and is a token allowed?")
    return sorted(found, key=lambda hypothesis: -hypothesis.score)[:count]


@dataclass
class Search:
    """The state of a search, a row a sentence; finished sentences leave it."""

    cache: DecoderCache
    beginnings: InitVar[Tensor]
    ends: Tensor
    limits: Tensor
    allowed: Tensor
    options: SearchOptions
    prefixes: Tensor | None
    generator: torch.Generator | Sequence[torch.Generator] | None

    def __post_init__(self, beginnings: Tensor) -> None:
        self.beam = 1 if self.options.sampling else self.options.beam
        self.sentences = torch.arange(len(self.ends), device=self.ends.device)  # (N,) numbers in the caller's order
        self.tokens = beginnings[:, None, None]  # (N, K, T + 1); there is one beam until the first step branches
        self.scores = torch.zeros(len(self.ends), 1, device=self.ends.device)  # (N, K)
        self.found: list[list[Hypothesis]] = [[] for _ in self.ends]  # of each sentence

    @property
    def length(self) -> int:
        """Number T of tokens after the beginning."""
        return self.tokens.size(2) - 1

    def step(self, decode: Callable[[Tensor, DecoderCache], Tensor]) -> None:
        """Extend every beam by one token, store what ended, and drop the sentences that are finished."""
        log_probs = self._log_probs(decode(self.tokens[:, :, -1].reshape(-1, 1), self.cache))
        choose = self._draw if self.options.sampling else self._best
        scores, origins, tokens = choose(self.scores[:, :, None] + log_probs)
        ended = tokens == self.ends[:, None]
        self._store(scores, origins, ended)

        # The best K that go on, in their order; where candidates are fewer than 2K, some have ended and are lost.
        kept = ended.int().argsort(dim=1, stable=True)[:, : self.beam]
        scores = scores.masked_fill(ended, -torch.inf)
        self.scores, origins, tokens = (values.gather(1, kept) for values in (scores, origins, tokens))
        past = self.tokens.gather(1, origins[:, :, None].expand(-1, -1, self.tokens.size(2)))
        rows = torch.arange(len(origins), device=origins.device)[:, None] * self.tokens.size(1) + origins
        self.tokens = torch.cat([past, tokens[:, :, None]], 2)
        self._keep_unfinished(rows)

    def settled(self, sentence: int) -> np.ndarray:
        """Give the tokens (T,), int64, that will begin the best hypothesis of a sentence, however the search goes on.

        All that may still become the best share them: the beams, and the best of those that have ended.
        """
        row = self.sentences == sentence
        rivals = list(self.tokens[row][self.scores[row].isfinite()][:, 1:].cpu().numpy())
        if self.found[sentence]:
            rivals.append(best_of(self.found[sentence], 1)[0].tokens)
        if not rivals:
            return np.zeros(0, np.int64)
        length = min(map(len, rivals))
        agree = (np.stack([tokens[:length] for tokens in rivals]) == rivals[0][:length]).all(0)
        return rivals[0][: length if agree.all() else int(agree.argmin())]

    def _log_probs(self, logits: Tensor) -> Tensor:
        """logits (N * K, 1, V) -> (N, K, V), -inf where a token may not come next."""
        log_probs = (logits.float() / self.options.temperature).log_softmax(2).view(*self.scores.shape, -1)
        forced = self._forced_tokens()
        free = forced == PAD
        allowed = self.allowed & (free & (self.length < self.limits))[:, None]
        allowed.scatter_(1, self.ends[:, None], (free & bool(self.length))[:, None])  # nothing is no translation
        allowed.scatter_(1, forced[:, None], ~free[:, None])
        log_probs = log_probs.masked_fill(~allowed[:, None], -torch.inf)
        if self.options.no_repeat_ngram and self.tokens.size(2) >= self.options.no_repeat_ngram:
            self._ban_repeats(log_probs, free, self.options.no_repeat_ngram)
        return log_probs

    def _forced_tokens(self) -> Tensor:
        """(N,) the token that a prefix demands next, PAD where it demands none or the limit is reached."""
        if self.prefixes is None or self.length >= self.prefixes.size(1):
            return torch.full_like(self.ends, PAD)
        return self.prefixes[:, self.length].masked_fill(self.length >= self.limits, PAD)

    def _ban_repeats(self, log_probs: Tensor, free: Tensor, size: int) -> None:
        """Set to -inf what would complete an n-gram of this size again, in sentences that are free (N,) to choose."""
        ngrams = self.tokens.unfold(2, size, 1)  # (N, K, T + 2 - size, size)
        newest = self.tokens[:, :, None, self.tokens.size(2) - size + 1 :]
        repeated = (ngrams[..., :-1] == newest).all(3) & free[:, None, None]
        rows, beams, _ = repeated.nonzero(as_tuple=True)
        log_probs[rows, beams, ngrams[..., -1][repeated]] = -torch.inf

    def _best(self, totals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the best candidates: totals (N, K, V) -> scores, beams they extend and tokens, each (N, C)."""
        flat = totals.flatten(1)
        scores, places = flat.topk(min(2 * self.beam, flat.size(1)))
        return scores, places // totals.size(2), places % totals.size(2)

    def _draw(self, totals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw one candidate a sentence: totals (N, 1, V) -> scores, beams and tokens, each (N, 1)."""
        probabilities = totals[:, 0].softmax(1)
        ordered, order = probabilities.sort(1, descending=True)
        if self.options.top_k:
            ordered[:, self.options.top_k :] = 0.0
            ordered /= ordered.sum(1, keepdim=True)
        ordered[ordered.cumsum(1) - ordered >= self.options.top_p] = 0.0
        # in the order of tokens: two that are nearly as likely may change ranks with what else is in the batch
        tokens = self._draw_each(torch.zeros_like(ordered).scatter(1, order, ordered))
        return totals[:, 0].gather(1, tokens), torch.zeros_like(tokens), tokens

    def _draw_each(self, probabilities: Tensor) -> Tensor:
        """Draw a token for each sentence: probabilities (N, V) -> (N, 1)."""
        if not isinstance(self.generator, Sequence):
            return probabilities.multinomial(1, generator=self.generator)
        own = [self.generator[sentence] for sentence in self.sentences.tolist()]
        rows = zip(probabilities, own, strict=True)
        return torch.stack([row.multinomial(1, generator=generator) for row, generator in rows])

    def _store(self, scores: Tensor, origins: Tensor, ended: Tensor) -> None:
        found = ended[:, : self.beam] & scores[:, : self.beam].isfinite()
        for row, rank in found.nonzero().tolist():
            hypotheses = self.found[int(self.sentences[row])]
            if len(hypotheses) < self.beam:
                score = scores[row, rank].item() / (self.length + 1) ** self.options.length_penalty
                tokens = self.tokens[row, origins[row, rank], 1:].cpu().numpy()
                cut = self.length >= int(self.limits[row])
                hypotheses.append(Hypothesis(tokens, score, not cut, cut and ends_in_loop(tokens)))

    def _keep_unfinished(self, rows: Tensor) -> None:
        """Give each beam the cache of the row that it extends (N, K), and drop finished sentences."""
        enough = torch.tensor([len(self.found[i]) >= self.beam for i in self.sentences.tolist()])
        past_limit = self.length > self.limits
        going = (~(enough.to(rows.device) | past_limit)).nonzero()[:, 0]
        if len(going) == len(rows):
            self.cache.select(None, rows)
            return
        self.cache.select(going, rows[going])
        self.ends, self.limits, self.sentences = self.ends[going], self.limits[going], self.sentences[going]
        self.tokens, self.scores = self.tokens[going], self.scores[going]
        self.prefixes = None if self.prefixes is None else self.prefixes[going]


def ends_in_loop(tokens: np.ndarray) -> bool:
    """Say whether tokens (T,) end in an n-gram, of any size, that comes LOOP_REPEATS times in a row."""
    for size in range(1, len(tokens) // LOOP_REPEATS + 1):
        copies = tokens[-size * LOOP_REPEATS :].reshape(LOOP_REPEATS, size)
        if (copies == copies[0]).all():
            return True
    return False
