import pytest

from s2st.evaluation.spoken_text import spoken_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Press 2, or 8 to exit.", "press two or eight to exit"),
        ("folder 9", "folder nine"),
        ("16th", "sixteenth"),
        ("the 90th of 21st", "the ninetieth of twenty first"),
        ("1,250 and 1000000", "one thousand two hundred fifty and one million"),
        ("extension 007", "extension zero zero seven"),
        ("1234567890123", "one two three four five six seven eight nine zero one two three"),
        ("it's the H2O, or 12ab", "it's the h2o or 12ab"),
    ],
)
def test_numbers_are_said(text, spoken) -> None:
    assert spoken_text(text, "en") == spoken


def test_numbers_of_other_languages_are_said_where_that_is_known() -> None:
    assert spoken_text("Pulse 2.", "es") == "pulse dos"
    assert spoken_text("저는 21살이에요", "ko") == "저는 이십일 살이에요"
    assert spoken_text("2 घर", "hi") == "2 घर"
