"""The search on a decoder that is a table of bigrams, whose probabilities can be told exactly."""

import itertools

import numpy as np
import pytest
import torch

from s2st.beam_search import Hypothesis, SearchOptions, ends_in_loop, search

PAD, END, FIRST, SIZE = 1, 2, 4, 8  # tokens from FIRST to SIZE - 1 are allowed


class NoCache:
    """Bigrams need no past."""

    def select(self, sentences, rows):
        pass


def bigrams(seed: int = 0) -> torch.Tensor:
    """Logits (SIZE, SIZE) of the token after each."""
    return torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 1.5


def find(logits: torch.Tensor, limit: int, options: SearchOptions, **more) -> list[Hypothesis]:
    """Search one sentence."""
    symbol = torch.tensor([END])
    allowed = torch.arange(SIZE) >= FIRST
    limits = torch.tensor([limit])
    (found,) = search(lambda tokens, _: logits[tokens], NoCache(), symbol, symbol, limits, allowed, options, **more)
    return found


def distribution(logits: torch.Tensor, limit: int, top_k: int = SIZE, top_p: float = 1.0) -> dict[tuple, float]:
    """What should be drawn: the probability of each sequence."""
    chances = {(): 1.0}
    ended: dict[tuple, float] = {}
    for length in range(limit + 1):
        longer = {}
        for tokens, chance in chances.items():
            places = [*range(FIRST, SIZE)] if length < limit else []
            places += [END] if length else []
            next_chances = logits[tokens[-1] if tokens else END, places].softmax(0)
            ranks = next_chances.argsort(descending=True)[:top_k]
            kept = next_chances[ranks] / next_chances[ranks].sum()
            before = kept.cumsum(0) - kept
            kept = torch.where(before < top_p, kept, 0)
            for rank, p in zip(ranks.tolist(), (kept / kept.sum()).tolist(), strict=True):
                if places[rank] == END:
                    ended[tokens] = chance * p
                elif p:
                    longer[*tokens, places[rank]] = chance * p
        chances = longer
    return ended


@pytest.mark.parametrize("choice", [{}, {"top_k": 2}, {"top_p": 0.7}, {"top_k": 3, "top_p": 0.6}])
def test_samples_follow_the_distribution(choice):
    logits, num = bigrams(), 20_000
    options = SearchOptions(n_best=num, sampling=True, **choice)
    found = find(logits, 3, options, generator=torch.Generator().manual_seed(1))
    drawn = {}
    for hypothesis in found:
        drawn[tuple(hypothesis.tokens.tolist())] = drawn.get(tuple(hypothesis.tokens.tolist()), 0) + 1
    expected = distribution(logits, 3, **choice)
    assert sum(expected.values()) == pytest.approx(1)
    assert set(drawn) <= {tokens for tokens, p in expected.items() if p}
    likely = {tokens: p for tokens, p in expected.items() if p * num > 5}
    squares = sum((drawn.get(tokens, 0) - p * num) ** 2 / (p * num) for tokens, p in likely.items())
    freedom = len(likely)
    assert squares < freedom + 4 * (2 * freedom) ** 0.5, "four deviations of a chi-square"


def test_samples_are_seeded_and_scored_by_the_model():
    logits = bigrams()
    options = SearchOptions(n_best=5, sampling=True, temperature=0.7)
    first, second = (find(logits, 4, options, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert [h.tokens.tolist() for h in first] == [h.tokens.tolist() for h in second]
    assert [h.score for h in first] == sorted((h.score for h in first), reverse=True)
    for hypothesis in first:
        path = [END, *hypothesis.tokens.tolist(), END]
        steps = [(logits[a] / 0.7).log_softmax(0)[b].item() for a, b in itertools.pairwise(path)]
        assert hypothesis.score == pytest.approx(np.mean(steps), abs=1e-5)


def test_a_sample_with_a_generator_of_its_own_does_not_depend_on_the_others():
    logits = bigrams()

    def draw(*seeds: int) -> list[list[int]]:
        options = SearchOptions(n_best=len(seeds), sampling=True, length_penalty=0.0)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return [hypothesis.tokens.tolist() for hypothesis in find(logits, 6, options, generator=generators)]

    alone = [draw(seed)[0] for seed in range(8)]
    assert sorted(draw(*range(8))) == sorted(alone)
    assert len({tuple(tokens) for tokens in alone}) > 1


def test_what_loops_or_never_ends_is_cut_and_marked():
    logits = torch.full((SIZE, SIZE), -9.0)
    logits[END, FIRST] = logits[FIRST, FIRST + 1] = logits[FIRST + 1, FIRST + 2] = logits[FIRST + 2, FIRST + 1] = 9.0
    (loop,) = find(logits, 12, SearchOptions(beam=1))
    assert len(loop.tokens) == 12
    assert not loop.finished
    assert loop.loops
    (short,) = find(logits, 5, SearchOptions(beam=1))
    assert not short.finished
    assert not short.loops, "too short to tell"
    logits[FIRST + 2, END] = 12.0
    (whole,) = find(logits, 12, SearchOptions(beam=1))
    assert whole.tokens.tolist() == [FIRST, FIRST + 1, FIRST + 2]
    assert whole.finished
    assert not whole.loops


def test_logits_that_are_no_numbers_are_told():
    with pytest.raises(ValueError, match="no token had a probability"):
        find(torch.full((SIZE, SIZE), torch.nan), 5, SearchOptions(beam=2))


def test_a_loop_is_an_n_gram_four_times_in_a_row_at_the_end():
    assert ends_in_loop(np.array([9, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]))
    assert ends_in_loop(np.array([5, 5, 5, 5]))
    assert not ends_in_loop(np.array([5, 5, 5, 5, 6]))
    assert not ends_in_loop(np.array([1, 2, 3, 1, 2, 3, 1, 2, 3]))
    assert not ends_in_loop(np.array([], int))


@pytest.mark.parametrize("sampling", [False, True])
def test_no_n_gram_comes_twice(sampling):
    logits = bigrams()
    logits[:, END] = -20.0
    options = SearchOptions(beam=4, n_best=4, no_repeat_ngram=2, sampling=sampling)
    found = find(logits, 12, options, generator=torch.Generator().manual_seed(0))
    assert max(len(h.tokens) for h in found) > 8
    for hypothesis in found:
        pairs = list(itertools.pairwise(hypothesis.tokens.tolist()))
        assert len(pairs) == len(set(pairs))


def test_a_prefix_comes_first_and_is_scored():
    logits = bigrams()
    prefix = [SIZE - 1, SIZE - 1, FIRST]
    for options in (SearchOptions(beam=3, n_best=3, no_repeat_ngram=2), SearchOptions(n_best=3, sampling=True)):
        for hypothesis in find(logits, 6, options, prefixes=torch.tensor([[*prefix, PAD]])):
            assert hypothesis.tokens.tolist()[:3] == prefix
            path = [END, *hypothesis.tokens.tolist(), END]
            steps = [logits[a].log_softmax(0)[b].item() for a, b in itertools.pairwise(path)]
            assert hypothesis.score == pytest.approx(np.mean(steps), abs=1e-5)
    (cut,) = find(logits, 2, SearchOptions(beam=1), prefixes=torch.tensor([prefix]))
    assert cut.tokens.tolist() == prefix[:2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam 0"),
        ({"beam": 2, "n_best": 3}, "n_best 3"),
        ({"temperature": 0.0}, "temperature"),
        ({"no_repeat_ngram": 1}, "no_repeat_ngram 1"),
        ({"sampling": True, "top_p": 0.0}, "top_p 0.0"),
        ({"top_k": 5}, "need sampling"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SearchOptions(**options)
