import numpy as np
import pytest

from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.unit_files import UnitsError
from s2st.units import UnitVocabulary


def test_by_number_a_unit_is_the_token_that_our_translator_knows():
    dictionary, units = Dictionary.by_number(100), np.array([7, 0, 99])
    assert dictionary.encode(units).tolist() == [11, 4, 103, 2]
    assert dictionary.encode(units)[:-1].tolist() == UnitVocabulary(100, ("en",)).encode(units).tolist()


def test_by_frequency_orders_and_pads():
    dictionary = Dictionary.by_frequency([np.array([9, 9, 10, 3]), np.array([10, 11])])
    assert dictionary.symbols == ("10", "9", "11", "3")
    assert dictionary.counts == (2, 2, 1, 1)
    padded = Dictionary.by_frequency([np.arange(5)])
    assert padded.symbols[5:] == tuple(f"madeupword{i:04d}" for i in range(7))
    assert len(padded) == 16


@pytest.mark.parametrize("dictionary", [Dictionary.by_number(300), Dictionary.by_frequency([np.arange(300)])])
def test_units_come_back_from_tokens_and_from_a_file(tmp_path, dictionary):
    units = np.random.default_rng(0).integers(0, 300, 1000)
    assert (dictionary.decode(dictionary.encode(units)) == units).all()
    dictionary.save(tmp_path / "dict.txt")
    assert Dictionary.load(tmp_path / "dict.txt") == dictionary


def test_a_unit_that_is_not_listed_is_not_made_unknown():
    with pytest.raises(UnitsError, match="unit 5 is not in the dictionary"):
        Dictionary.by_number(5).encode(np.array([1, 5]))


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        ([4], "do not end in </s>"),
        ([], "do not end in </s>"),
        ([2], "there are no units"),
        ([4, 3, 2], "'<unk>' is no unit"),
        ([6, 2], "'madeupword0000' is no unit"),
        ([40, 2], "token 40 is not in the dictionary of 7"),
    ],
)
def test_tokens_that_are_no_units_say_why(tokens, reason):
    with pytest.raises(UnitsError, match=reason):
        Dictionary(("0", "1", "madeupword0000"), (1, 1, 0)).decode(np.array(tokens))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, and fairseq would take every unit for <unk>"),
        ("0 1\n1 1\n0 1\n", r"line 3 has the symbol '0' of .*line 1; was the file written twice"),
        ("0 1\n1\n", "line 2 is no entry"),
        ("0 many\n", "line 1 is no entry"),
    ],
)
def test_dictionaries_that_fairseq_would_misread_are_refused(tmp_path, text, message):
    (tmp_path / "dict.km.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        Dictionary.load(tmp_path / "dict.km.txt")
