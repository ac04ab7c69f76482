"""Text to text by a dictionary of phrases: each text is taken for the nearest one that is known.

It runs offline and has nothing to train. That of the phrasebook holds every sentence of its grammar, those of the test
split too: a cascade with it shows what its recogniser and its voice lose, and not what a translator of text would. One
of training sentences (a translation memory) says of a new sentence what it knows of the most similar one.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from s2st.config import UserError
from s2st.corpora import phrasebook_grammar
from s2st.evaluation.spoken_text import spoken_text


class PhraseDictionary:
    """Parallel phrases of several languages."""

    def __init__(self, phrases: Mapping[str, Sequence[str]]) -> None:
        """Take the phrases of each language, all in one order."""
        self.phrases = phrases
        self.spellings = {lang: [spoken_text(phrase, lang) for phrase in known] for lang, known in phrases.items()}

    @classmethod
    def of_phrasebook(cls, languages: Collection[str]) -> "PhraseDictionary":
        """Take every sentence of the phrasebook; raises UserError for a language that it lacks."""
        check_languages(languages)
        return cls({lang: [each.say(lang) for each in phrasebook_grammar.sentences()] for lang in languages})

    def translate(self, texts: Sequence[str], source: str, to: str) -> list[str]:
        """Give the translation of the phrase nearest to each text, by edit distance of letters; "" stays ""."""
        spelled = [spoken_text(text, source) for text in texts]
        return [self.phrases[to][self._nearest(text, source)] if text else "" for text in spelled]

    def _nearest(self, spelled: str, lang: str) -> int:
        """Give the place of the nearest phrase, the first of equally near ones."""
        return process.extractOne(spelled, self.spellings[lang], scorer=Levenshtein.distance)[2]


def check_languages(languages: Iterable[str]) -> None:
    """Raise UserError for a language that the phrasebook lacks."""
    known = phrasebook_grammar.languages()
    if missing := sorted(set(languages) - set(known)):
        raise UserError(
            f"the phrasebook has no '{missing[0]}' (it has {', '.join(known)}); name text_models that translate it"
        )
