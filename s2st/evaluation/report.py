"""The report of an experiment: one HTML file that opens offline, with scores, curves and speech."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from s2st.evaluation import charts
from s2st.evaluation.scores import Share, found_words
from s2st.evaluation.unit_quality import entropy_bits
from s2st.models.recognizer import normalize_text

MAX_AUDIO_BYTES = 5_500_000  # of all players; 7.3 MB in base64, so that the file stays under 8 MB
AUDIO_TYPES = {b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"RIFF": "audio/wav"}  # by the first four bytes


@dataclass(frozen=True)
class StageRow:
    """What one stage did."""

    stage: str
    rows_in: int | None  # None: it reads no dataset
    rows_out: int | None  # None: it writes a model
    rejects: int
    audio_hours: float | None
    seconds: float


@dataclass(frozen=True)
class ScoreRow:
    """Scores of one direction, kind of units and group of voices; None is shown as a dash."""

    direction: str  # such as "hi → en"
    unit_kind: str  # such as "mfcc"
    voices: str  # "seen" or "unseen": whether training heard the source's speakers
    num_sentences: int
    content_words: Share  # heard in the translation
    chance: float | None = None  # content words found in another sentence of the same template
    ceiling: float | None = None  # ... in the true units through the vocoder
    recordings: float | None = None  # ... in the true target recordings: what the judge itself misses
    word_error_rate: float | None = None
    character_error_rate: float | None = None
    unit_error_rate: float | None = None
    bleu: float | None = None
    chrf: float | None = None


@dataclass(frozen=True)
class Transcripts:
    """How well one recogniser hears one language and group of voices, by the likeliest path and by beam search."""

    section: str
    lang: str
    voices: str  # as in ScoreRow
    num_utterances: int
    word_error_rate: float
    beam_word_error_rate: float
    character_error_rate: float
    beam_character_error_rate: float


@dataclass(frozen=True)
class Training:
    """The losses of one training, drawn in one chart."""

    name: str
    curves: tuple[charts.Series, ...]


@dataclass(frozen=True)
class UnitUsage:
    """How often each unit of a codebook occurs."""

    name: str  # such as "mfcc, hi"
    counts: tuple[int, ...]  # one a unit, zeros included


@dataclass(frozen=True)
class UnitQuality:
    """What units of one section tell of phones and voices in one language; None is shown as a dash."""

    units: str  # the section
    kind: str  # such as "hubert layer 9"
    lang: str
    num_units: int  # that occur
    perplexity: float
    pnmi: float | None
    phone_purity: float | None
    cluster_purity: float | None
    same_sentence: float | None  # unit distance of two voices that read it
    other_sentence: float | None  # ... of two sentences in one voice


# Each chart of the quality of units: its title, and the attributes of UnitQuality that it draws.
QUALITY_CHARTS = {
    "Phones": {"pnmi": "PNMI", "phone_purity": "phone purity", "cluster_purity": "cluster purity"},
    "Voices": {"same_sentence": "one sentence, two voices", "other_sentence": "two sentences, one voice"},
}


@dataclass(frozen=True)
class Sentence:
    """One translated sentence as text."""

    direction: str
    unit_kind: str
    voice: str  # the source's speaker
    source_text: str
    reference: str  # text of the true target recording
    heard: str  # what the judge hears in the translation
    content_words: tuple[str, ...]  # of the reference, in its order
    heard_words: tuple[str, ...]  # content words of what is heard, by the same rule


@dataclass(frozen=True)
class Listening:
    """One translated sentence with its sound: FLAC, Ogg or WAV, as short as the report should be small."""

    sentence: Sentence
    source_audio: bytes
    target_audio: bytes  # the true recording
    translated_audio: bytes


@dataclass(frozen=True)
class Report:
    """Everything the report shows; empty parts are left out."""

    title: str
    recipe: str  # its file
    commit: str
    date: str
    machine: str  # processor, cores, memory, accelerator
    corpus: str
    corpus_hours: float
    synthetic: bool  # the corpus is spoken by a machine
    stages: tuple[StageRow, ...] = ()
    scores: tuple[ScoreRow, ...] = ()
    notes: tuple[str, ...] = ()  # under the scores: the judge, signatures of BLEU and chrF
    transcripts: tuple[Transcripts, ...] = ()
    trainings: tuple[Training, ...] = ()
    unit_quality: tuple[UnitQuality, ...] = ()
    unit_usages: tuple[UnitUsage, ...] = ()
    listening: tuple[Listening, ...] = ()
    best: tuple[Sentence, ...] = ()
    worst: tuple[Sentence, ...] = ()


def render(report: Report) -> str:
    """Fill the template beside this file; listening rows that would make it too large are counted instead."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent,
        number=_number,
        duration=_duration,
        player=_player,
        marked=_marked,
        entropy=entropy_bits,
    )
    shown = _within_budget(report.listening)
    return environment.get_template("report.html.jinja").render(
        report=report,
        listening=shown,
        num_left_out=len(report.listening) - len(shown),
        training_charts=[(training.name, Markup(charts.line_chart(training.curves))) for training in report.trainings],
        quality_charts=[(title, Markup(chart)) for title, chart in _quality_charts(report.unit_quality)],
        usage_charts=[
            (row, Markup(charts.histogram(row.counts, "units, most frequent first", "frames")))
            for row in report.unit_usages
        ],
        score_bars=[Markup(_bar(row)) for row in report.scores],
    )


def _bar(row: ScoreRow) -> str:
    words = row.content_words
    return charts.interval_bar(words.value, words.low, words.high, row.chance, row.ceiling)


def _quality_charts(rows: Sequence[UnitQuality]) -> list[tuple[str, str]]:
    """Draw the rows of each language side by side; nothing where nothing was measured."""
    drawn = []
    for lang in dict.fromkeys(row.lang for row in rows):
        alike = [row for row in rows if row.lang == lang]
        for title, shown in QUALITY_CHARTS.items():
            series = []
            for attribute, name in shown.items():
                values = [(i, getattr(row, attribute)) for i, row in enumerate(alike)]
                known = [(i, value) for i, value in values if value is not None]
                if known:
                    series.append(charts.Series(name, *zip(*known, strict=True)))
            if series:
                chart = charts.comparison([row.units for row in alike], series, "units", "share")
                drawn.append((f"{title}, {lang}", chart))
    return drawn


def _within_budget(listening: Sequence[Listening]) -> list[Listening]:
    shown, spent = [], 0
    for row in listening:
        spent += len(row.source_audio) + len(row.target_audio) + len(row.translated_audio)
        if spent > MAX_AUDIO_BYTES:
            break
        shown.append(row)
    return shown


def _player(audio: bytes, label: str) -> Markup:
    """An <audio> element that carries its own sound, or a dash if there is none."""
    if not audio:
        return Markup('<span class="none">no sound</span>')
    if audio[:4] not in AUDIO_TYPES:
        raise ValueError(f"'{label}' is neither FLAC, Ogg nor WAV; encode it with s2st.audio.encode")
    data = base64.b64encode(audio).decode()
    element = Markup('<audio controls preload="metadata" aria-label="{}" src="data:{};base64,{}"></audio>')
    return element.format(label, AUDIO_TYPES[audio[:4]], data)


def _marked(sentence: Sentence) -> Markup:
    """The reference with its content words marked as found or missed; a word may be a stem."""
    found_in_order = found_words(sentence.content_words, sentence.heard_words)
    fates = list(zip(sentence.content_words, found_in_order, strict=True))
    out = []
    for token in sentence.reference.split():
        parts = normalize_text(token).split("'")
        if fates and any(part.startswith(fates[0][0]) for part in parts):
            fate = "found" if fates.pop(0)[1] else "missed"
            out.append(Markup('<mark class="{}">{}</mark>').format(fate, token))
        else:
            out.append(escape(token))
    return Markup(" ").join(out)


def _percent(share: float | None) -> str:
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f}"


def _number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:,.{digits}f}"


def _duration(seconds: float) -> str:
    """Seconds as a person says them: 42.0 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 59.95:  # what is rounded to 60.0 is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
