import pickle

import numpy as np
import pytest

from s2st.units import EOS, UnitVocabulary, expand, fit_merges, reduce, reduce_rows


def reduced_phrases(num: int, num_units: int, seed: int = 0) -> list[np.ndarray]:
    """Sequences that recombine a few phrases, so that there is something to merge."""
    random = np.random.default_rng(seed)
    phrases = [random.integers(0, num_units, random.integers(2, 6)) for _ in range(8)]
    return [reduce(np.concatenate([phrases[i] for i in random.integers(0, 8, 10)]))[0] for _ in range(num)]


def test_reduce_joins_runs():
    reduced, durations = reduce(np.array([7, 7, 3, 7, 0, 0, 0]))
    assert reduced.tolist() == [7, 3, 7, 0]
    assert durations.tolist() == [2, 1, 1, 3]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16])
@pytest.mark.parametrize("length", [0, 1, 2, 50])
def test_expand_undoes_reduce(dtype, length):
    units = np.random.default_rng(length).integers(0, 3, length).astype(dtype)
    reduced, durations = reduce(units)
    assert not (reduced[1:] == reduced[:-1]).any()
    np.testing.assert_array_equal(expand(reduced, durations), units)
    assert reduced.dtype == dtype


@pytest.mark.parametrize("lengths", [(), (0,), (3, 0, 5, 1), (0, 4, 4, 0)])
def test_reduce_rows_is_reduce_of_each(lengths):
    offsets = np.cumsum([0, *lengths])
    units = np.random.default_rng(0).integers(0, 2, offsets[-1]).astype(np.uint16)
    reduced, ends = reduce_rows(units, offsets)
    rows = [reduce(row)[0].tolist() for row in np.split(units, offsets[1:-1])][: len(lengths)]
    assert [row.tolist() for row in np.split(reduced, ends[1:-1])][: len(lengths)] == rows
    assert ends[-1] == len(reduced)


def test_utut_vocabulary_has_1024_symbols():
    languages = "en es fr it pt el ru cs da de fi hr hu lt nl pl ro sk sl"
    vocabulary = UnitVocabulary(1000, tuple(languages.split()))
    assert vocabulary.size == 1024
    assert vocabulary.encode(np.array([0, 999])).tolist() == [4, 1003]
    assert vocabulary.language_symbol("en") == 1004
    assert vocabulary.mask == 1023


def test_sentences_carry_their_language():
    vocabulary = UnitVocabulary(10, ("en", "hi"))
    assert vocabulary.source_tokens(np.array([1, 2]), "hi").tolist() == [0, 5, 6, EOS, 15]
    assert vocabulary.target_tokens(np.array([1, 2]), "en").tolist() == [14, 5, 6, 14]


@pytest.mark.parametrize("num_merges", [0, 5, 60])
def test_decode_undoes_encode(num_merges):
    merges = fit_merges(reduced_phrases(50, 20), num_merges, 20)
    vocabulary = UnitVocabulary(20, ("en", "hi"), merges)
    unseen = [np.random.default_rng(0).permutation(20), np.array([], np.int64)]
    for units in reduced_phrases(50, 20, seed=1) + unseen:
        np.testing.assert_array_equal(vocabulary.decode(vocabulary.encode(units)), units)
        np.testing.assert_array_equal(vocabulary.decode(vocabulary.source_tokens(units, "hi")), units)


def test_merges_shorten_and_are_all_reached():
    sequences = reduced_phrases(50, 20)
    merges = fit_merges(sequences, 30, 20)
    vocabulary = UnitVocabulary(20, ("en",), merges)
    assert len(merges) == 30
    assert vocabulary.size == 4 + 20 + 30 + 1 + 1
    tokens = np.concatenate([vocabulary.encode(units) for units in sequences])
    assert tokens.max() < vocabulary.language_symbol("en")
    assert 2 * len(tokens) < sum(map(len, sequences))
    spelled = [tuple(vocabulary.decode(np.array([token]))) for token in range(4, vocabulary.language_symbol("en"))]
    assert len(set(spelled)) == 50, "two tokens spell the same units"


def test_most_frequent_pair_is_merged_first():
    assert fit_merges([np.array([0, 1, 2, 0, 1, 3, 0, 1])] * 2, 2, num_units=5)[0] == (0, 1)


def test_fit_gives_fewer_merges_when_pairs_run_out():
    assert fit_merges([np.array([0, 1])] * 2, 10, num_units=2) == ((0, 1),)


def test_decode_collapses_repeats_across_pieces():
    vocabulary = UnitVocabulary(3, ("en",), merges=((0, 1), (1, 2)))
    assert vocabulary.decode(np.array([7, 8, 6])).tolist() == [0, 1, 2]  # 01 12 2


def test_vocabulary_survives_pickling_after_use():
    vocabulary = UnitVocabulary(20, ("en",), fit_merges(reduced_phrases(20, 20), 10, 20))
    units = reduced_phrases(1, 20)[0]
    tokens = vocabulary.encode(units)
    again = pickle.loads(pickle.dumps(vocabulary))
    assert again == vocabulary
    np.testing.assert_array_equal(again.encode(units), tokens)


def test_mistakes_are_named():
    vocabulary = UnitVocabulary(10, ("en", "hi"))
    with pytest.raises(ValueError, match="another codebook"):
        vocabulary.encode(np.array([3, 10]))
    with pytest.raises(ValueError, match="call reduce"):
        vocabulary.encode(np.array([3, 3]))
    with pytest.raises(ValueError, match=r"'ko' is not in the vocabulary \(en, hi\)"):
        vocabulary.language_symbol("ko")
    with pytest.raises(ValueError, match=r"shape \(2, 1\)"):
        reduce(np.array([[1], [2]]))
    with pytest.raises(ValueError, match="merge 0 joins"):
        UnitVocabulary(10, ("en",), merges=((3, 10),))
    with pytest.raises(ValueError, match="name one twice"):
        UnitVocabulary(10, ("en", "en"))


def test_without_languages_sequences_are_those_of_a_plain_translation():
    vocabulary = UnitVocabulary(10, ())
    assert vocabulary.size == 14
    assert vocabulary.source_tokens(np.array([1, 2]), "hi").tolist() == [5, 6, EOS]
    assert vocabulary.target_tokens(np.array([1, 2]), "en").tolist() == [EOS, 5, 6, EOS]
    assert vocabulary.num_source_marks == 1


def test_targets_of_bart_stand_between_marks():
    vocabulary = UnitVocabulary(10, ("en", "hi"), bart_targets=True)
    assert vocabulary.target_tokens(np.array([1, 2]), "en").tolist() == [14, 0, 5, 6, EOS, 14]
    assert vocabulary.as_prefix(np.array([5])).tolist() == [0, 5]
    assert np.flatnonzero(vocabulary.target_tokens_allowed).tolist() == [0, EOS, *range(4, 14)]
    assert np.flatnonzero(UnitVocabulary(10, ("en", "hi")).target_tokens_allowed).tolist() == [*range(4, 14)]
