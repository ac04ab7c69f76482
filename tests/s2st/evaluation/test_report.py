"""The report: one page that shows what it is given, and nothing else."""

import base64
import dataclasses
import re
from html.parser import HTMLParser

import pytest

from s2st.evaluation import page as module
from s2st.evaluation.charts import Series
from s2st.evaluation.report import render
from s2st.evaluation.report_content import (
    Failures,
    Listening,
    Rejects,
    Report,
    Resynthesis,
    ScoreRow,
    Sound,
    StageRow,
    Training,
    UnitPhones,
    UnitQuality,
    UnitUsage,
    VoiceScores,
)
from s2st.evaluation.scores import Share
from s2st.evaluation.voice_scores import Figure
from tests.s2st.evaluation.example_report import TIMES, empty_report, full_report, sentence, sound

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


def test_every_table_shows_its_rows() -> None:
    page = Page(render(full_report()))
    assert table(page, "Step", "Rows in") == [
        ["ingest", "–", "5,123", "7", "3.25", "12.3 s", "0.007", "0.000", "–"],
        ["vocoder", "4,411", "–", "0", "–", "2 h 05 min", "4.169", "2.085", "5.50 EUR"],
        ["All", "", "", "7", "", "2 h 05 min", "4.176", "2.085", "5.50 EUR"],
    ]
    assert table(page, "approach", "needs text") == [
        ["cascade", "yes", "1.50 M", "1.5", "0.0", "0.250", "0.50", "–", "61.2", "0.25", "0.75", "1.00"]
    ]
    assert table(page, "Direction", "Content words") == [
        [
            "hi → enmfcc, seen voices",
            "81.2 77.9 to 84.4",
            *("104", "18.1", "91.2", "97.3", "21.4", "13.6", "31.7", "61.855.0 to 66.7", "74.9"),
        ],
        ["hi → enmfcc, unseen voices", "50.0 25.0 to 75.0", "98", *["–"] * 8],
    ]
    assert table(page, "language model", "units") == [
        ["lm_scores, en", "200", "21", "31.2 [29.0, 33.5]", "31.2", "31.2", "31.2", "150"]
    ]
    assert table(page, "speech", "utterances") == [
        ["lm_scores, en: recordings", "9", "1.00", "100", "0.12", "0.50", "0.25", "7.2", "0.25"],
        ["lm_scores, en: samples without a beginning", "9", "1.00", "100", "0.12", "0.50", "0.25", "–", "–"],
    ]
    assert table(page, "Direction", "Translations") == [["hi → enmfcc", "202", "11", "5", "1", "2", "3"]]
    assert table(page, "Step", "Reason") == [["ingest", "the audio is silent", "7"]]
    assert table(page, "Language", "Split")[1] == ["hi", "test", "200", "100", "2", "0.12"]
    said = [rows for rows in page.tables if rows[0][1] == "Said"]
    assert [" ".join(rows[1][3].split()) for rows in said] == ["the best", "nothing cut, loops"]
    assert {"Scores", "Listen", "Training", "Use and length of the units", "Steps", "Failures"} <= set(page.headings)
    for fact in ("recipes/demo.yaml", "abc1234", "2001-02-03", "a computer with 2 cores", "3.25 h", "1 h 06 min"):
        assert fact in page.text
    assert "4.18 CPU-hours, 2.08 GPU-hours, 5.50 EUR" in page.text
    assert "BLEU: nrefs:1|tok:13a" in page.text
    assert "2 of 3 units occur" in page.text
    assert "perplexity 2.0" in " ".join(page.text.split())
    assert "lasts 27 ms on average" in page.text


def test_every_table_says_what_its_columns_mean() -> None:
    html = render(full_report())
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    captions = [re.search(r"<caption>(.*?)</caption>", found, re.DOTALL) for found in tables]
    assert len(tables) == 13
    assert all(caption and caption[1].count("<b>") > 1 for caption in captions)


def test_costs_are_of_each_currency_and_left_out_where_no_price_is_known() -> None:
    rows = (StageRow("a", 1, 1, 0, 0.0, 1.0, costs={"EUR": 1.25, "USD": 2}), StageRow("b", 1, 1, 0, 0.0, 1.0))
    page = Page(render(dataclasses.replace(empty_report(), stages=rows)))
    assert [row[-1] for row in table(page, "Step", "Rows in")] == ["1.25 EUR + 2.00 USD", "–", "1.25 EUR + 2.00 USD"]
    page = Page(render(dataclasses.replace(empty_report(), stages=rows[1:])))
    assert page.tables[0][0][-1] == "GPU-hours"


def test_a_continuation_is_heard_beside_its_recording_and_a_sample_alone() -> None:
    page = render(dataclasses.replace(empty_report(), continuations=full_report().continuations))
    assert page.count("<audio") == 3
    assert "prompt of 0.5 s" in page
    roles = re.findall('<div class="role">(.*?)</div>', page)
    assert roles == [
        "The recording&#39;s units, in the same voice",
        "Its prompt, continued",
        "A sample without a prompt",
    ]
    assert "go &lt;on&gt;" in page


def test_units_stand_over_time_below_each_sound_that_has_them() -> None:
    html = render(dataclasses.replace(full_report(), resyntheses=(), continuations=()))
    strips = re.findall(r'<svg[^>]*class="strip".*?</svg>', html)
    assert len(strips) == 3
    assert "<title>unit 3, 0.10 to 0.30 s</title>" in strips[0]
    assert "Translation: 3 units in 0.40 s" in strips[2]
    heard = re.findall(r"Heard:</small> (.*?)</p>", html)
    assert [re.sub("<.*?>", "", text) for text in heard] == ["the red cup red", "nothing", "red cap"]


def test_quality_of_units_is_a_table_and_charts_of_what_was_measured() -> None:
    rows = (
        UnitQuality("units_1", "mfcc", "en", 100, 80.5, 0.25, 0.5, 0.125, 0.75, 0.875),
        UnitQuality("units_2", "hubert layer 2", "en", 99, 70.25, 0.5, 0.75, 0.25, 0.625, 0.875),
        UnitQuality("units_1", "mfcc", "hi", 98, 60.0, None, None, None, 0.5, 0.75),
        UnitQuality("units_1", "mfcc", "ko", 97, 50.0, None, None, None, None, None),
    )
    page = Page(render(dataclasses.replace(empty_report(), unit_quality=rows)))
    ((_, *cells),) = page.tables
    assert cells[0] == ["units_1, enmfcc", "100", "80.5", "25.0", "50.0", "12.5", "75.0", "87.5"]
    assert cells[2] == ["units_1, himfcc", "98", "60.0", "–", "–", "–", "50.0", "75.0"]
    assert page.headings[1:] == ["Quality of the units", "Phones, en", "Voices, en", "Voices, hi"]
    assert len([1 for tag, _ in page.attributes if tag == "circle"]) == 3 * 2 + 2 * 2 + 2


def test_every_number_comes_from_the_input() -> None:
    """An empty report has no number but the 95 of the interval and the range of BLEU."""
    empty = empty_report()
    assert re.findall(r"\d+", Page(render(empty)).text.replace("0.00 h", "")) == []
    scored = dataclasses.replace(empty, scores=(ScoreRow("a", "b", "seen", 7, Share(0.5, 0.5, 0.5, 9)),))
    numbers = set(re.findall(r"[\d.]*\d", Page(render(scored)).text.replace("0.00 h", "").replace("0 to 100", "")))
    assert sorted(numbers) == ["50.0", "7", "95"]


def test_empty_parts_have_no_heading() -> None:
    page = Page(render(empty_report()))
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
        unit_phones=(UnitPhones(evil, {0: {evil: 1}}),),
        unit_usages=(UnitUsage(evil, (1, 2), (1,), 20.0, 20.0),),
        listening=(Listening(said, *[Sound(sound(0), TIMES, evil)] * 4),),
        best=(said,),
        worst=(dataclasses.replace(said, fault=evil),),
        failures=(Failures(evil, evil, *[0] * 6),),
        rejects=(Rejects(evil, evil, 1),),
    )
    page = Page(render(report))
    assert "script" not in {tag for tag, _ in page.attributes}
    assert not any("onload" in attributes for _, attributes in page.attributes)
    assert page.headings[0] == evil


def test_nothing_is_fetched_from_elsewhere() -> None:
    page = Page(render(full_report()))
    assert not {"script", "link", "iframe", "img"} & {tag for tag, _ in page.attributes}
    sources = [a["src"] for _, a in page.attributes if "src" in a]
    assert len(sources) == 9
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
    size = sum(len(said.audio) for said in (row.source, row.target, row.resynthesised, row.translated))
    monkeypatch.setattr(module, "MAX_AUDIO_BYTES", 2 * size)
    page = Page(render(dataclasses.replace(full_report(), listening=(row,) * 5)))
    assert sum(tag == "audio" for tag, _ in page.attributes) == 8
    assert "6 more sentences are left out" in page.text


def test_missing_sound_is_said_and_strange_sound_refused() -> None:
    row = dataclasses.replace(full_report().listening[0], source=Sound(b""))
    assert "no sound" in Page(render(dataclasses.replace(full_report(), listening=(row,)))).text
    row = dataclasses.replace(row, source=Sound(b"\x00\x01\x02\x03"))
    with pytest.raises(ValueError, match="neither FLAC, Ogg nor WAV"):
        render(dataclasses.replace(full_report(), listening=(row,)))


def test_a_vocoder_has_a_table_and_its_speech_beside_the_recordings() -> None:
    figures = {"mcd": Figure(4.125, 4, 4.25), "word_error_rate": Figure(0.5, 0.25, 0.75)}
    spoken, recording = Sound(sound(0), heard=""), Sound(sound(1), heard="Thank you.")
    report = dataclasses.replace(
        empty_report(),
        voices=(VoiceScores("scores", "en", "predicted", 21, 400, figures),),
        resyntheses=(Resynthesis("scores", "en", "Thank <you>.", spoken, recording),),
    )
    page = Page(render(report))
    (row,) = table(page, "Vocoder", "Recordings")
    assert row == [
        "enscores, predicted durations",
        "21",
        "4.124.00 to 4.25",
        *["–"] * 5,
        "50.025.0 to 75.0",
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
    assert module.duration(seconds) == said
