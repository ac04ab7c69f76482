"""Text as it is spoken, so that recognisers that write numbers in digits or in words are scored alike."""

import functools
import re

from num2words import num2words

from s2st.models.recognizer import normalize_text

LANGUAGES = ("en", "es", "fr", "ko")  # whose numbers are said; with some others, num2words fails or never ends
NUMBER = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+)(st|nd|rd|th)?(?![a-z\d])", re.IGNORECASE)
MAX_DIGITS = 12  # longer numbers are read digit by digit


def spoken_text(text: str, lang: str) -> str:
    """`normalize_text`, and numbers of LANGUAGES in words: "Press 2." -> "press two"; of others as they are."""
    return normalize_text(NUMBER.sub(functools.partial(_in_words, lang), text) if lang in LANGUAGES else text)


def number_words(number: int, lang: str = "en", kind: str = "cardinal") -> str:
    """Write a number out, cardinal or ordinal, without commas and hyphens, and in English without "and"."""
    return re.sub(r",|\band\b|-", " ", num2words(number, lang=lang, to=kind))


def _in_words(lang: str, found: re.Match[str]) -> str:
    digits = found[1].replace(",", "")
    read_singly = len(digits) > MAX_DIGITS or (len(digits) > 1 and digits[0] == "0")
    *first, last = map(int, digits) if read_singly else [int(digits)]
    kind = "ordinal" if found[2] and lang == "en" else "cardinal"
    return f" {' '.join([*(number_words(digit, lang) for digit in first), number_words(last, lang, kind)])} "
