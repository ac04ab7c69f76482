"""English text as references of fairseq's ASR-BLEU have it: the cleaner of Tacotron, and no punctuation.

The rules are those of `english_cleaners` in fairseq's examples/textless_nlp/gslm/unit2speech/tacotron2/cleaners.py,
with num2words for inflect: years in pairs of digits, dollars and cents, "3.14" as "three point fourteen". Letters of
other scripts are left out, where that one would transliterate them.
"""

import re
import unicodedata

from s2st.evaluation.spoken_text import MAX_DIGITS, number_words
from s2st.models.recognizer import normalize_text

ABBREVIATIONS = {  # spelt as there
    "mrs": "misess",
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "co": "company",
    "jr": "junior",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "esq": "esquire",
    "ltd": "limited",
    "col": "colonel",
    "ft": "fort",
}
ABBREVIATION = re.compile(rf"\b({'|'.join(ABBREVIATIONS)})\.")
COMMA = re.compile(r"(?<=\d),(?=\d)")
MONEY = re.compile(r"\$(\d*)(?:\.(\d+))?(?<=\d)")
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
NUMBER = re.compile(r"\d+")


def clean_english(text: str) -> str:
    """Lower-case words, numbers and abbreviations written out: "Mr. Li paid $2" -> "mister li paid two dollars"."""
    text = unicodedata.normalize("NFKD", text.replace("\u2019", "'")).encode("ascii", "ignore").decode().lower()
    text = MONEY.sub(_money, COMMA.sub("", text))
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", text)
    text = ORDINAL.sub(lambda found: _number(found[1], "ordinal"), text)
    text = NUMBER.sub(lambda found: _number(found[0]), text)
    return normalize_text(ABBREVIATION.sub(lambda found: ABBREVIATIONS[found[1]], text))


def _money(found: re.Match[str]) -> str:
    amounts = [(int(found[1] or 0), "dollar"), (int(found[2] or 0), "cent")]
    told = [f"{amount} {name}{'s' * (amount != 1)}" for amount, name in amounts if amount]
    return " ".join(told) or "zero dollars"


def _number(digits: str, kind: str = "cardinal") -> str:
    if len(digits) > MAX_DIGITS:
        return " ".join(map(_number, digits))
    number = int(digits)
    century, year = divmod(number, 100)
    if kind == "ordinal" or not 1000 < number < 3000 or 2000 <= number < 2010:
        return number_words(number, kind=kind)
    return f"{number_words(century)} {'hundred' if not year else 'oh ' * (year < 10) + number_words(year)}"
