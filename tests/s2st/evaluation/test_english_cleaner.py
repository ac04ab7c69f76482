import pytest

from s2st.evaluation.english_cleaner import clean_english


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        # what fairseq's english_cleaners give, less the punctuation
        ("Mr. Li paid $2.50, not $1!", "mister li paid two dollars fifty cents not one dollar"),
        ("$1.01 or $0.00", "one dollar one cent or zero dollars"),
        ("In 1984, 1905, 1900.", "in nineteen eighty four nineteen oh five nineteen hundred"),
        ("2000, 2005, 2010, 3000", "two thousand two thousand five twenty ten three thousand"),
        ("the 1990s", "the nineteen ninetys"),
        ("3.14 of 21st St. Louis", "three point fourteen of twenty first saint louis"),
        ("1,250,000 or 101", "one million two hundred fifty thousand or one hundred one"),
        ("Drs. O’Neil’s café: “naïve”", "doctors o'neil's cafe naive"),
        ("costs 5 dollars.", "costs five dollars"),
        ("", ""),
    ],
)
def test_english_is_written_out(text, cleaned) -> None:
    assert clean_english(text) == cleaned
