import re
from collections import Counter

import pytest

from s2st.corpora import phrasebook_grammar
from s2st.corpora.phrasebook import Phrasebook, PhrasebookConfig
from s2st.corpora.phrasebook_grammar import (
    content_words,
    draw,
    korean_particle,
    languages,
    sentences,
    stop_words,
    template_of,
    templates,
)


def find(template: str, **words: str) -> phrasebook_grammar.Sentence:
    for sentence in sentences():
        slots = dict(zip(sentence.template.slots, (word for _, word in sentence.fillers), strict=True))
        if sentence.template.name == template and all(slots[slot] == word for slot, word in words.items()):
            return sentence
    raise AssertionError(f"no {template} with {words}")


def test_every_sentence_is_different_in_every_language() -> None:
    """Splits go by sentence: two sentences of one text would leak from training into the test."""
    assert len(sentences()) >= 3000
    for lang in languages():
        assert len({sentence.text(lang) for sentence in sentences()}) == len(sentences())


def test_texts_are_whole_and_short() -> None:
    allowed = {"en": r"[a-z' ]+", "hi": r"[\u0900-\u0963\u0970-\u097f ]+", "ko": r"[가-힣 ]+"}
    lengths = {"en": (4, 9), "hi": (4, 10), "ko": (3, 7)}
    for lang in languages():
        for sentence in sentences():
            text = sentence.text(lang)
            assert re.fullmatch(allowed[lang], text), text
            assert text == " ".join(text.split())
            assert lengths[lang][0] <= len(text.split()) <= lengths[lang][1], text


def test_every_template_can_be_drawn_often() -> None:
    sizes = Counter(sentence.template.name for sentence in sentences())
    assert len(sizes) == len(templates())
    assert min(sizes.values()) >= 70


@pytest.mark.parametrize(
    ("template", "words", "hindi", "korean"),
    [
        (
            "where_is",
            {"adjective": "blue", "thing": "key"},
            "मेरी नीली चाबी कहाँ है",
            "제 파란 열쇠는 어디에 있어요",
        ),
        (
            "where_is",
            {"adjective": "blue", "thing": "bag"},
            "मेरा नीला बैग कहाँ है",
            "제 파란 가방은 어디에 있어요",
        ),
        (
            "works_at",
            {"person": "father", "place": "airport", "day": "monday"},
            "मेरे पिता सोमवार को हवाई अड्डे पर काम करते हैं",
            "우리 아버지는 월요일에 공항에서 일하세요",
        ),
        (
            "works_at",
            {"person": "daughter", "place": "shop", "day": "sunday"},
            "मेरी बेटी रविवार को दुकान पर काम करती है",
            "제 딸은 일요일에 가게에서 일해요",
        ),
        (
            "has_things",
            {"person": "son", "number": "two", "thing": "box"},
            "मेरे बेटे के पास दो डिब्बे हैं",
            "제 아들은 상자가 두 개 있어요",
        ),
        (
            "leaves_at",
            {"vehicle": "plane", "city": "seoul", "time": "3:30"},
            "सियोल का जहाज़ साढ़े तीन बजे निकलता है",
            "서울로 가는 비행기는 세 시 반에 떠나요",
        ),
    ],
)
def test_words_agree(template: str, words: dict[str, str], hindi: str, korean: str) -> None:
    sentence = find(template, **words)
    assert sentence.text("hi") == hindi
    assert sentence.text("ko") == korean


def test_english_article_fits_the_next_word() -> None:
    assert " an old book " in find("past_deed", adjective="old", thing="book").text("en")
    assert " a red book " in find("past_deed", adjective="red", thing="book").text("en")


@pytest.mark.parametrize(
    ("before", "pair", "expected"),
    [
        ("책", "을(를)", "을"),
        ("표", "을(를)", "를"),
        ("딸", "은(는)", "은"),
        ("아이", "이(가)", "가"),
        ("트럭", "(으)로", "으로"),
        ("버스", "(으)로", "로"),
        ("서울", "(으)로", "로"),
    ],
)
def test_korean_particles(before: str, pair: str, expected: str) -> None:
    assert korean_particle(before[-1], pair) == expected


def test_a_longer_draw_begins_with_the_shorter_and_seeds_differ() -> None:
    assert draw(700, 3)[:300] == draw(300, 3)
    assert draw(300, 3) != draw(300, 4)
    assert len(set(draw(len(sentences()), 0))) == len(sentences())


def test_ids_name_the_same_sentence_whatever_the_seed() -> None:
    for sentence in draw(50, 9):
        assert sentences()[int(sentence.sentence_id[3:])] is sentence
        assert template_of(sentence.sentence_id) == sentence.template.name


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_words_of_the_test_are_common_in_training(seed: int) -> None:
    splits = Phrasebook(PhrasebookConfig(seed=seed)).splits()
    for lang in languages():
        seen = Counter(word for s in splits["train"] for word in set(content_words(s.text(lang), lang)))
        tested = {word for s in splits["test"] for word in content_words(s.text(lang), lang)}
        assert min(seen[word] for word in tested) >= (10 if seed == 0 else 8)


def test_vocabulary_is_compact() -> None:
    for lang in languages():
        assert 120 <= len({word for s in sentences() for word in content_words(s.text(lang), lang)}) <= 200


def test_every_sentence_keeps_content_words() -> None:
    for lang in languages():
        assert all(content_words(sentence.text(lang), lang) for sentence in sentences())


def test_content_words_of_any_text() -> None:
    assert content_words("My mother's book IS, on the table!", "en") == ["mother", "book", "table"]
    assert content_words("우리 어머니의 가방은 아주 무거워요.", "ko") == ["어머니", "가방", "무거워요"]
    assert content_words("공원에 아이가 세 명 있어요", "ko") == ["공원", "아이", "세"]
    assert content_words("मेरी बहन को चाय पसंद है।", "hi") == ["बहन", "चाय", "पसंद"]
    assert content_words("", "en") == []
    assert content_words("la casa", "es") == ["casa"]
    assert content_words("l'homme n'est pas là", "fr") == ["homme", "là"]
    assert content_words("das Haus", "de") == ["das", "haus"]
    assert "the" in stop_words("en")
    assert "el" in stop_words("es")
    assert not stop_words("de")
    assert languages() == ("en", "hi", "ko")  # a list of stop words makes no language of the phrasebook


def test_hindi_words_are_found_however_they_are_encoded() -> None:
    composed, decomposed = "कमी\u095b", "कमी\u091c\u093c"
    assert content_words(composed, "hi") == content_words(decomposed, "hi")
