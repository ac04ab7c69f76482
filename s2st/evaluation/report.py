"""The report of an experiment: one HTML file that opens offline, with scores, curves and speech."""

import base64
import math
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from s2st.evaluation import charts
from s2st.evaluation.report_content import Listening, Report, Resynthesis, ScoreRow, Sentence, UnitQuality
from s2st.evaluation.scores import found_words
from s2st.evaluation.spoken_text import spoken_text
from s2st.evaluation.unit_quality import entropy_bits

MAX_AUDIO_BYTES = 5_500_000  # of all players; 7.3 MB in base64, so that the file stays under 8 MB
AUDIO_TYPES = {b"fLaC": "audio/flac", b"OggS": "audio/ogg", b"RIFF": "audio/wav"}  # by the first four bytes


# Each chart of the quality of units: its title, and the attributes of UnitQuality that it draws.
QUALITY_CHARTS = {
    "Phones": {"pnmi": "PNMI", "phone_purity": "phone purity", "cluster_purity": "cluster purity"},
    "Voices": {"same_sentence": "one sentence, two voices", "other_sentence": "two sentences, one voice"},
}


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
    shown = _within_budget([*report.listening, *report.resyntheses])
    return environment.get_template("report.html.jinja").render(
        report=report,
        listening=[row for row in shown if isinstance(row, Listening)],
        resyntheses=[row for row in shown if isinstance(row, Resynthesis)],
        num_left_out=len(report.listening) + len(report.resyntheses) - len(shown),
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


def _within_budget(rows: Sequence[Listening | Resynthesis]) -> list[Listening | Resynthesis]:
    shown, spent = [], 0
    for row in rows:
        spent += sum(len(sound) for sound in vars(row).values() if isinstance(sound, bytes))
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
    out, lang = [], sentence.direction.rpartition(" ")[2]
    for token in sentence.reference.split():
        parts = spoken_text(token, lang).replace("'", " ").split()
        # a number may be two words
        found = [fates.pop(0)[1] for part in parts if fates and part.startswith(fates[0][0])]
        if found:
            fate = "found" if all(found) else "missed"
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
