import pytest

from s2st.baselines.phrases import PhraseDictionary
from s2st.config import UserError
from s2st.corpora.phrasebook_grammar import draw


@pytest.fixture(scope="module")
def phrasebook():
    return PhraseDictionary.of_phrasebook(["en", "hi"])


@pytest.mark.parametrize(("source", "to"), [("en", "hi"), ("hi", "en")])
def test_every_sentence_of_the_phrasebook_is_translated_as_it_says(phrasebook, source, to):
    sentences = draw(60, seed=3)
    texts = [sentence.text(source) for sentence in sentences]
    assert phrasebook.translate(texts, source, to) == [sentence.say(to) for sentence in sentences]


def test_what_is_misheard_is_taken_for_the_nearest():
    phrases = PhraseDictionary(
        {"en": ["Good morning", "Press two", "Good night"], "hi": ["सुप्रभात", "दो दबाएँ", "शुभ रात्रि"]}
    )
    heard = ["gud morning", "PRESS 2!", "good nite", "", "..."]
    assert phrases.translate(heard, "en", "hi") == ["सुप्रभात", "दो दबाएँ", "शुभ रात्रि", "", ""]
    assert phrases.translate(["शुभ रात"], "hi", "en") == ["Good night"]


def test_a_language_that_the_phrasebook_lacks_is_told():
    with pytest.raises(UserError, match="the phrasebook has no 'fr' .it has en, hi, ko.; name text_models"):
        PhraseDictionary.of_phrasebook(["en", "fr"])
