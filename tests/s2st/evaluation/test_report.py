"""The report: one page that shows what it is given, and nothing else."""

import base64
import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from s2st.audio import SAMPLE_RATE, encode
from s2st.evaluation import report as module
from s2st.evaluation.charts import Series
from s2st.evaluation.report import render
from s2st.evaluation.report_content import (
    Listening,
    Report,
    Resynthesis,
    ScoreRow,
    Sentence,
    StageRow,
    Training,
    UnitQuality,
    UnitUsage,
    VoiceScores,
)
from s2st.evaluation.scores import Share
from s2st.evaluation.voice_scores import Figure

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects text, tables and attributes, and checks that elements nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.headings: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        if {"h1", "h2", "h3"} & set(self.open):
            self.headings[-1] += data


def table(page: Page, first_heading: str, second_heading: str) -> list[list[str]]:
    """Rows of the table that begins with these headings, white space joined."""
    clean = [[[" ".join(cell.split()) for cell in row] for row in rows] for rows in page.tables]
    return next(rows[1:] for rows in clean if rows[0][:2] == [first_heading, second_heading])


def sound(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return encode((0.1 * rng.standard_normal(SAMPLE_RATE // 4)).astype(np.float32))


def sentence(**changes) -> Sentence:
    plain = Sentence(
        "hi → en",
        "mfcc",
        "voice-1",
        "लाल कप",
        "The red cup, red!",
        "red cap",
        ("red", "cup", "red"),
        ("red", "cap"),
    )
    return dataclasses.replace(plain, **changes)


def full_report() -> Report:
    return Report(
        title="Hindi to <English> & back",
        recipe="recipes/demo.yaml",
        commit="abc1234",
        date="2001-02-03",
        machine="a computer with 2 cores",
        corpus="phrasebook",
        corpus_hours=3.25,
        synthetic=True,
        stages=(
            StageRow("ingest", None, 5123, 7, 3.25, 12.34),
            StageRow("vocoder", 4411, None, 0, None, 7505.0),
        ),
        scores=(
            ScoreRow(
                "hi → en",
                "mfcc",
                "seen",
                104,
                Share(0.8123, 0.7791, 0.8444, 412),
                chance=0.1811,
                ceiling=0.9122,
                recordings=0.9733,
                word_error_rate=0.2144,
                character_error_rate=0.1355,
                unit_error_rate=0.3166,
                bleu=61.77,
                chrf=74.88,
            ),
            ScoreRow("hi → en", "mfcc", "unseen", 98, Share(0.5, 0.25, 0.75, 300)),
        ),
        notes=("BLEU: nrefs:1|tok:13a",),
        trainings=(Training("translation", (Series("train", (0.0, 9.0), (5.0, 1.0)),)),),
        unit_usages=(UnitUsage("mfcc, hi", (30, 30, 0)),),
        listening=(Listening(sentence(), sound(0), sound(1), sound(3), sound(2)),),
        best=(sentence(heard="the best"),),
        worst=(sentence(heard="", heard_words=()),),
    )


def test_every_table_shows_its_rows() -> None:
    page = Page(render(full_report()))
    assert table(page, "Stage", "Rows in") == [
        ["ingest", "–", "5,123", "7", "3.25", "12.3 s"],
        ["vocoder", "4,411", "–", "0", "–", "2 h 05 min"],
    ]
    assert table(page, "Direction", "Content words") == [
        [
            "hi → enmfcc, seen voices",
            "81.2 77.9 to 84.4",
            *("104", "18.1", "91.2", "97.3", "21.4", "13.6", "31.7", "61.8", "74.9"),
        ],
        ["hi → enmfcc, unseen voices", "50.0 25.0 to 75.0", "98", *["–"] * 8],
    ]
    said = [rows for rows in page.tables if rows[0][1] == "Said"]
    assert [rows[1][3].strip() for rows in said] == ["the best", "nothing"]
    assert {"Scores", "Listen", "Training", "Unit usage", "Stages"} <= set(page.headings)
    for fact in ("recipes/demo.yaml", "abc1234", "2001-02-03", "a computer with 2 cores", "3.25 h"):
        assert fact in page.text
    assert "BLEU: nrefs:1|tok:13a" in page.text
    assert "2 of 3 units occur" in page.text
    assert "perplexity 2.0" in " ".join(page.text.split())


def test_quality_of_units_is_a_table_and_charts_of_what_was_measured() -> None:
    rows = (
        UnitQuality("units_1", "mfcc", "en", 100, 80.5, 0.25, 0.5, 0.125, 0.75, 0.875),
        UnitQuality("units_2", "hubert layer 2", "en", 99, 70.25, 0.5, 0.75, 0.25, 0.625, 0.875),
        UnitQuality("units_1", "mfcc", "hi", 98, 60.0, None, None, None, 0.5, 0.75),
        UnitQuality("units_1", "mfcc", "ko", 97, 50.0, None, None, None, None, None),
    )
    report = Report("Title", "recipe", "commit", "date", "machine", "corpus", 0.0, False, unit_quality=rows)
    page = Page(render(report))
    ((_, *cells),) = page.tables
    assert cells[0] == ["units_1, enmfcc", "100", "80.5", "25.0", "50.0", "12.5", "75.0", "87.5"]
    assert cells[2] == ["units_1, himfcc", "98", "60.0", "–", "–", "–", "50.0", "75.0"]
    assert page.headings[1:] == ["Quality of the units", "Phones, en", "Voices, en", "Voices, hi"]
    assert len([1 for tag, _ in page.attributes if tag == "circle"]) == 3 * 2 + 2 * 2 + 2


def test_every_number_comes_from_the_input() -> None:
    """An empty report has no number but the 95 of the interval."""
    empty = Report("Title", "recipe", "commit", "date", "machine", "corpus", 0.0, False)
    assert re.findall(r"\d+", Page(render(empty)).text.replace("0.00 h", "")) == []
    scored = dataclasses.replace(empty, scores=(ScoreRow("a", "b", "seen", 7, Share(0.5, 0.5, 0.5, 9)),))
    assert sorted(set(re.findall(r"[\d.]*\d", Page(render(scored)).text.replace("0.00 h", "")))) == [
        "50.0",
        "7",
        "95",
    ]


def test_empty_parts_have_no_heading() -> None:
    page = Page(render(Report("Title", "recipe", "commit", "date", "machine", "corpus", 0.0, False)))
    assert page.headings == ["Title"]
    assert page.tables == []


def test_synthetic_speech_is_labelled() -> None:
    assert "Synthetic speech" in Page(render(full_report())).text
    assert "Synthetic" not in Page(render(dataclasses.replace(full_report(), synthetic=False))).text


def test_text_is_escaped_everywhere() -> None:
    evil = "<script>alert('x')</script>\" onload=\"&"
    said = sentence(direction=evil, voice=evil, unit_kind=evil, source_text=evil, reference=evil, heard=evil)
    report = Report(
        *[evil] * 6,
        corpus_hours=1.0,
        synthetic=False,
        stages=(StageRow(evil, 1, 1, 0, 1.0, 1.0),),
        scores=(ScoreRow(evil, evil, evil, 1, Share(0.5, 0.4, 0.6, 9)),),
        notes=(evil,),
        trainings=(Training(evil, (Series(evil, (0, 1), (1, 2)), Series(evil, (0, 1), (1, 2)))),),
        unit_usages=(UnitUsage(evil, (1, 2)),),
        listening=(Listening(said, sound(0), sound(1), b"", b""),),
        best=(said,),
        worst=(said,),
    )
    page = Page(render(report))
    assert "script" not in {tag for tag, _ in page.attributes}
    assert not any("onload" in attributes for _, attributes in page.attributes)
    assert page.headings[0] == evil


def test_nothing_is_fetched_from_elsewhere() -> None:
    page = Page(render(full_report()))
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in page.attributes}
    sources = [a["src"] for _, a in page.attributes if "src" in a]
    assert len(sources) == 4
    assert all(source.startswith("data:audio/flac;base64,") for source in sources)
    assert base64.b64decode(sources[3].partition(",")[2]) == sound(2)
    assert not re.search(r"https?://|url\(|@import", render(full_report()))


def test_content_words_are_marked_in_the_reference() -> None:
    html = render(full_report())
    assert (
        'The <mark class="found">red</mark> <mark class="missed">cup,</mark> <mark class="missed">red!</mark>'
    ) in html


def test_a_stem_marks_the_word_it_begins() -> None:
    said = sentence(reference="가방은 상자 뒤에 있어요", content_words=("가방", "뒤"), heard_words=("뒤",))
    html = render(dataclasses.replace(full_report(), listening=(), best=(said,), worst=()))
    assert '<mark class="missed">가방은</mark> 상자 <mark class="found">뒤에</mark> 있어요' in html


def test_the_file_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    row = full_report().listening[0]
    size = sum(map(len, (row.source_audio, row.target_audio, row.resynthesised_audio, row.translated_audio)))
    monkeypatch.setattr(module, "MAX_AUDIO_BYTES", 2 * size)
    page = Page(render(dataclasses.replace(full_report(), listening=(row,) * 5)))
    assert sum(tag == "audio" for tag, _ in page.attributes) == 8
    assert "3 more sentences are left out" in page.text


def test_missing_sound_is_said_and_strange_sound_refused() -> None:
    row = dataclasses.replace(full_report().listening[0], source_audio=b"")
    assert "no sound" in Page(render(dataclasses.replace(full_report(), listening=(row,)))).text
    row = dataclasses.replace(row, source_audio=b"\x00\x01\x02\x03")
    with pytest.raises(ValueError, match="neither FLAC, Ogg nor WAV"):
        render(dataclasses.replace(full_report(), listening=(row,)))


def test_a_vocoder_has_a_table_and_its_speech_beside_the_recordings() -> None:
    figures = {"mcd": Figure(4.125, 4, 4.25), "word_error_rate": Figure(0.5, 0.25, 0.75)}
    report = Report(
        *("Title", "recipe", "commit", "date", "machine", "corpus", 0.0, False),
        voices=(VoiceScores("scores", "en", "predicted", 21, 400, figures),),
        resyntheses=(Resynthesis("scores", "en", "Thank <you>.", "", "Thank you.", sound(0), sound(1)),),
    )
    page = Page(render(report))
    (row,) = table(page, "Vocoder", "Recordings")
    assert row == [
        "enscores, predicted durations",
        "21",
        "4.12 4.00 to 4.25",
        *["–"] * 4,
        "50.0 25.0 to 75.0",
        "–",
        "–",
    ]
    assert page.headings[1:] == ["Vocoder", "Listen to the vocoder", "en scores"]
    sources = [attributes["src"] for tag, attributes in page.attributes if tag == "audio"]
    assert [base64.b64decode(source.partition(",")[2]) for source in sources] == [sound(1), sound(0)]
    assert "Thank <you>." in page.text
    assert page.text.count("nothing") == 1


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.97, "1 min 00 s"), (185, "3 min 05 s"), (3599.6, "1 h 00 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert module._duration(seconds) == said
