"""The sentences of the phrasebook: every filling of every template of phrasebook.yaml, in every language."""

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

Forms = Mapping[str, str]  # form name -> text; the first is the one a bare {slot} gives

FIELD = re.compile(r"\{(\w+)(?:([.:@])([^}]*))?\}")
KOREAN_PARTICLE = re.compile(r"(\w)(은\(는\)|이\(가\)|을\(를\)|\(으\)로)")
# Particles that content_words takes off a noun, longest first.
KOREAN_ENDINGS = ("에서", "에게", "까지", "으로", "로", "에", "께", "은", "는", "이", "가", "을", "를", "의")
PUNCTUATION = re.compile(r"[.,?!।]")


@dataclass(frozen=True, eq=False)
class Template:
    name: str
    patterns: Mapping[str, str]  # language -> pattern
    slots: Mapping[str, tuple[tuple[str, str], ...]]  # slot -> its words, as (class, word)


@dataclass(frozen=True)
class Sentence:
    sentence_id: str
    template: Template
    fillers: tuple[tuple[str, str], ...]  # a (class, word) for each slot

    def say(self, lang: str) -> str:
        """Write the sentence as it is spoken, with capitals and question mark."""
        slots = dict(zip(self.template.slots, self.fillers, strict=True))
        return render(self.template.patterns[lang], slots, lang)

    def text(self, lang: str) -> str:
        """Write the sentence as transcripts have it: lower case, no punctuation (as FLEURS does)."""
        return PUNCTUATION.sub("", self.say(lang)).lower()


@functools.cache
def _book() -> dict[str, Any]:
    text = Path(__file__).with_name("phrasebook.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(unicodedata.normalize("NFC", text))


@functools.cache
def languages() -> tuple[str, ...]:
    """The languages that every sentence has."""
    return tuple(_book()["languages"])


@functools.cache
def forms(kind: str, word: str, lang: str) -> Forms:
    """Get all forms of a word of the class `kind` in one language."""
    words = _book()["words"][kind]
    return dict(zip(words["forms"][lang], words[word][lang], strict=True))


@functools.cache
def templates() -> tuple[Template, ...]:
    """All templates, in the order of the file."""
    return tuple(
        Template(
            name=name,
            patterns={lang: entry[lang] for lang in languages()},
            slots={slot: tuple(_words(choice)) for slot, choice in entry["slots"].items()},
        )
        for name, entry in _book()["templates"].items()
    )


def _words(choice: str | Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """List the words of a slot: `place`, `{place: [bank, shop]}` or `{drink: all, food: all}`."""
    for kind, chosen in {choice: "all"}.items() if isinstance(choice, str) else choice.items():
        known = [word for word in _book()["words"][kind] if word != "forms"]
        yield from ((kind, word) for word in (known if chosen == "all" else chosen))


@functools.cache
def sentences() -> tuple[Sentence, ...]:
    """Every sentence of the grammar; the number in its id is its place here, whatever the seed."""
    found: list[Sentence] = []
    for template in templates():
        for fillers in itertools.product(*template.slots.values()):
            if len(set(fillers)) == len(fillers):  # no hotel behind the hotel
                found.append(Sentence(f"pb-{len(found):05d}", template, fillers))
    return tuple(found)


def template_of(sentence_id: str) -> str:
    """Get the name of the template of a sentence such as `pb-00042`."""
    return sentences()[int(sentence_id.removeprefix("pb-"))].template.name


@functools.lru_cache(maxsize=4)
def draw(count: int, seed: int) -> tuple[Sentence, ...]:
    """Draw `count` different sentences, all templates in turn and every word of a slot about equally often.

    A longer draw with the same seed begins with the shorter one.
    """
    random = Random(f"phrasebook {seed}")
    piles: dict[str, list[Sentence]] = {template.name: [] for template in templates()}
    for sentence in sentences():
        piles[sentence.template.name].append(sentence)
    turns = [_deal(pile, Random(random.random())) for pile in piles.values()]
    drawn: list[Sentence] = []
    while turns and len(drawn) < count:
        random.shuffle(turns)
        turns = [turn for turn in turns if _take(turn, drawn)]
    return tuple(drawn[:count])


def _take(turn: Iterator[Sentence], drawn: list[Sentence]) -> bool:
    sentence = next(turn, None)
    if sentence is not None:
        drawn.append(sentence)
    return sentence is not None


def _deal(pile: list[Sentence], random: Random) -> Iterator[Sentence]:
    """Give the sentences of one template in an order that uses all its words evenly from the start."""
    random.shuffle(pile)
    used: dict[tuple[int, tuple[str, str]], int] = dict.fromkeys(
        ((slot, word) for sentence in pile for slot, word in enumerate(sentence.fillers)), 0
    )
    while pile:
        # the least used words of a sample: exact enough, and linear in the size of the pile
        uses = [sum(used[key] for key in enumerate(sentence.fillers)) for sentence in pile[:64]]
        best = uses.index(min(uses))
        pile[best], pile[-1] = pile[-1], pile[best]
        sentence = pile.pop()
        for key in enumerate(sentence.fillers):
            used[key] += 1
        yield sentence


def render(pattern: str, slots: Mapping[str, tuple[str, str]], lang: str) -> str:
    """Fill a pattern with words, in the notation that phrasebook.yaml explains."""

    def fill(match: re.Match[str]) -> str:
        slot, mark, detail = match.groups()
        word = forms(*slots[slot], lang)
        if mark is None:
            return next(iter(word.values()))
        if mark == ".":
            return word[detail]
        if mark == "@":
            return word[forms(*slots[detail], lang)["kind"]]
        return detail.split("|")[_book()["kinds"][lang].index(word["kind"])]

    text = FIELD.sub(fill, pattern)
    text = re.sub(r"\ba\(n\) (?=(\w))", lambda match: "an " if match[1].lower() in "aeiou" else "a ", text)
    return KOREAN_PARTICLE.sub(lambda match: match[1] + korean_particle(match[1], match[2]), text)


def korean_particle(before: str, pair: str) -> str:
    """Pick a particle of a pair such as 을(를) or (으)로 by the syllable before it."""
    final = (ord(before) - 0xAC00) % 28  # Hangul syllables are ordered by final consonant; 0 is none, 8 is ㄹ
    if pair == "(으)로":
        return "로" if final in (0, 8) else "으로"
    return pair[0] if final else pair[2]


@functools.cache
def stop_words(lang: str) -> frozenset[str]:
    """Get the words of a language that say little by themselves; none for a language without a list."""
    return frozenset(_book()["stop_words"].get(lang, "").split())


def content_words(text: str, lang: str) -> list[str]:
    """List the words of any text that carry its meaning: lower case, no punctuation, no stop words.

    English loses its 's and French what it elides (l'ami); Korean nouns of the phrasebook lose their particles.
    """
    words = PUNCTUATION.sub("", unicodedata.normalize("NFC", text)).lower().split()
    if lang == "en":
        words = [word.removesuffix("'s") for word in words]
    if lang == "fr":
        words = [part for word in words for part in word.split("'")]
    if lang == "ko":
        words = [_korean_stem(word) for word in words]
    return [word for word in words if word not in stop_words(lang)]


def _korean_stem(word: str) -> str:
    if word in stop_words("ko"):
        return word
    stems = (word.removesuffix(ending) for ending in KOREAN_ENDINGS if word.endswith(ending))
    return next((stem for stem in stems if stem in _korean_words()), word)


@functools.cache
def _korean_words() -> frozenset[str]:
    """List the words that a particle may follow."""
    words = ((kind, word) for kind, entries in _book()["words"].items() for word in entries)
    phrases = (forms(kind, word, "ko")["one"] for kind, word in words if _is_noun(kind, word))
    return stop_words("ko") | frozenset(itertools.chain.from_iterable(phrase.split() for phrase in phrases))


def _is_noun(kind: str, word: str) -> bool:
    return word != "forms" and _book()["words"][kind]["forms"]["ko"][0] == "one"
