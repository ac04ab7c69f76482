import json
from importlib.resources import files

import pytest

from s2st.config import UserError
from s2st.evaluation.protocols import protocol, recognizer_of


@pytest.mark.parametrize(
    ("name", "lang", "reference", "expected"),
    [
        ("plain", "en", "Where's my BOOK? It is No. 2!", "where's my book it is no two"),
        ("plain", "hi", "मेरी किताब कहाँ है?", "मेरी किताब कहाँ है"),
        ("plain", "ko", "책은 어디에 있어요?", "책은 어디에 있어요"),
        ("fairseq", "en", "Dr. Who’s 2 cups.", "doctor who's two cups"),
        ("fairseq", "es", "¿Qué tal, señor 2?", "qué tal señor 2"),
        ("seamless", "en", "Uh, don't colour $20 and twenty one books!", "do not color $20 and 21 books"),
        ("seamless", "hi", "घर है।", "घर ह "),  # it takes vowel signs for symbols
        ("seamless", "ko", "책은 어디에 있어요?", "책은 어디에 있어요 "),
    ],
)
def test_texts_are_normalised_as_the_protocol_says(name, lang, reference, expected) -> None:
    assert protocol(name, lang).reference(reference) == expected


def test_both_sides_are_normalised_alike_but_in_fairseq() -> None:
    for name in ("plain", "seamless"):
        for lang in ("en", "hi", "ko", "zh"):
            rules = protocol(name, lang)
            assert rules.reference == rules.heard
    assert protocol("fairseq", "en").heard("MR. 2") == "mr. 2"


def test_characters_count_where_words_have_no_spaces() -> None:
    tokenizers = {
        name: [protocol(name, lang).tokenizer for lang in ("en", "hi", "zh", "ja", "th", "lo", "my")]
        for name in ("seamless", "fairseq")
    }
    assert tokenizers == {"seamless": ["13a"] * 2 + ["char"] * 5, "fairseq": ["13a"] * 7}
    assert protocol("seamless", "hi").lowercase
    assert not protocol("fairseq", "en").lowercase


def test_the_english_normaliser_is_that_of_transformers() -> None:
    normalizer = pytest.importorskip("transformers.models.whisper.english_normalizer")
    spellings = json.loads((files("whisper_normalizer") / "normalizers" / "english.json").read_text())
    theirs, ours = normalizer.EnglishTextNormalizer(spellings), protocol("seamless", "en").reference
    for text in ("Mr. O'Neil's 2nd café, [noise] (um) it's twenty-five percent.", "$3.50 £2 in 1984", "We'd won't"):
        assert ours(text) == theirs(text)


def test_protocols_name_their_recognizers() -> None:
    assert recognizer_of("seamless", "hi") == "openai/whisper-large-v2"
    assert recognizer_of("fairseq", "es") == "jonatasgrosman/wav2vec2-large-xlsr-53-spanish"
    with pytest.raises(UserError, match="the protocol 'fairseq' does not say what hears 'hi'; name a recognizer"):
        recognizer_of("fairseq", "hi")
    with pytest.raises(UserError, match="the protocol 'plain' does not say"):
        recognizer_of("plain", "en")
