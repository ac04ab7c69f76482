"""Text as it is spoken, so that recognisers that write numbers in digits or in words are scored alike."""

import re

from s2st.models.recognizer import normalize_text

SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
SIZES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(st|nd|rd|th)?\b", re.IGNORECASE)
MAX_DIGITS = 12  # longer numbers are read digit by digit


def spoken_text(text: str, lang: str) -> str:
    """`normalize_text`, and numbers of English in words: "Press 2." -> "press two"; of other languages as they are."""
    return normalize_text(NUMBER.sub(_in_words, text) if lang == "en" else text)


def _in_words(found: re.Match[str]) -> str:
    digits = found[1].replace(",", "")
    if len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0"):
        words = [word for digit in digits for word in _cardinal(int(digit))]
    else:
        words = _cardinal(int(digits))
    if found[2]:
        words[-1] = ORDINALS.get(words[-1]) or re.sub("y$", "ie", words[-1]) + "th"
    return f" {' '.join(words)} "


def _cardinal(number: int) -> list[str]:
    if number < 20:
        return [SMALL.split()[number]]
    if number < 100:
        return [TENS.split()[number // 10 - 2], *_rest(number % 10)]
    size, name = next((size, name) for size, name in SIZES if number >= size)
    return [*_cardinal(number // size), name, *_rest(number % size)]


def _rest(number: int) -> list[str]:
    return _cardinal(number) if number else []
