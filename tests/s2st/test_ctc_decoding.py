"""CTC decoding against every path and every sequence, written out."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from s2st.ctc_decoding import Prefixes, beam_search, best_path, fill_path, log_probability


def random_log_probs(frames: int, columns: int, seed: int, sharpness: float = 1.5) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(0, sharpness, (frames, columns))
    return (scores - np.logaddexp.reduce(scores, 1, keepdims=True)).astype(np.float32)


def every_sequence(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Probability of each sequence of symbols: the sum over its paths."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        runs = [column for i, column in enumerate(path) if i == 0 or column != path[i - 1]]
        found[tuple(column - 1 for column in runs if column)] += np.exp(log_probs[range(len(path)), path].sum())
    return found


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_is_exact(seed: int) -> None:
    log_probs = random_log_probs(5, 4, seed)
    truth = every_sequence(log_probs)
    symbols, score = beam_search(log_probs, beam=1000)
    best = max(truth, key=truth.__getitem__)
    assert tuple(symbols) == best
    assert np.exp(score) == pytest.approx(truth[best], rel=1e-5)
    some = list(truth)[:40]
    exact = log_probability(log_probs, [np.array(sequence, np.int64) for sequence in some])
    np.testing.assert_allclose(np.exp(exact), [truth[sequence] for sequence in some], rtol=1e-5)


def test_a_prefix_that_comes_back_is_known_again() -> None:
    prefixes = Prefixes()
    node = prefixes.extend(prefixes.extend(0, 3), 1)
    assert prefixes.extend(prefixes.extend(0, 3), 1) == node != prefixes.extend(prefixes.extend(0, 1), 3)
    assert prefixes.symbols(node).tolist() == [2, 0]


@pytest.mark.parametrize("beam", [1, 2, 8])
def test_it_is_never_less_likely_than_the_best_path_and_mostly_more_with_more_beams(beam: int) -> None:
    better = 0
    for seed in range(20):
        log_probs = random_log_probs(40, 12, seed)
        (greedy,) = log_probability(log_probs, [best_path(log_probs)])
        _, score = beam_search(log_probs, beam)
        assert score >= greedy - 1e-6
        better += score > greedy + 1e-6
    assert better >= (15 if beam == 8 else 0)


def test_few_tokens_are_enough_where_the_others_are_unlikely() -> None:
    log_probs = random_log_probs(30, 200, 0, sharpness=5.0)
    narrow, wide = beam_search(log_probs, 8, tokens=5), beam_search(log_probs, 8, tokens=200)
    assert narrow[1] == pytest.approx(wide[1], rel=1e-3)


def one_hot(path: list[int], columns: int = 4) -> np.ndarray:
    return np.log(np.eye(columns, dtype=np.float32)[path] * 0.9 + 0.025)


def test_paths() -> None:
    log_probs = one_hot([0, 0, 2, 2, 0, 2, 3, 3, 0, 1])
    assert best_path(log_probs).tolist() == [1, 1, 2, 0]
    assert beam_search(log_probs, 8)[0].tolist() == [1, 1, 2, 0]
    assert fill_path(log_probs).tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2, 0]


def test_nothing_is_heard_in_blanks_and_in_no_frames() -> None:
    assert best_path(one_hot([0, 0])).tolist() == beam_search(one_hot([0, 0]), 4)[0].tolist() == []
    assert fill_path(one_hot([0, 0])).tolist() == [-1, -1]
    empty = np.zeros((0, 4), np.float32)
    assert best_path(empty).tolist() == fill_path(empty).tolist() == beam_search(empty, 4)[0].tolist() == []
