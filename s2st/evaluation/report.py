"""The report of an experiment: one HTML file that opens offline, with scores, curves and speech."""

from collections import Counter
from collections.abc import Sequence

from s2st.evaluation import charts
from s2st.evaluation.approaches import COLUMNS, cells_of, notes_of
from s2st.evaluation.page import fill, within_budget
from s2st.evaluation.phone_map import phone_map
from s2st.evaluation.report_content import Continuation, Listening, Report, Resynthesis, ScoreRow, StageRow, UnitQuality
from s2st.evaluation.segment_lengths import length_chart

# Each chart of the quality of units: its title, and the attributes of UnitQuality that it draws.
QUALITY_CHARTS = {
    "Phones": {"pnmi": "PNMI", "phone_purity": "phone purity", "cluster_purity": "cluster purity"},
    "Voices": {"same_sentence": "one sentence, two voices", "other_sentence": "two sentences, one voice"},
}


def render(report: Report) -> str:
    """Fill the template of the report; listening rows that would make it too large are counted instead."""
    sounds = [*report.listening, *report.resyntheses, *report.continuations]
    shown = within_budget(sounds)
    several = len({approach.direction for approach in report.approaches}) > 1
    return fill(
        "report.html.jinja",
        report=report,
        total=add_up(report.stages),
        approach_columns=COLUMNS,
        approach_rows=[cells_of(approach, several) for approach in report.approaches],
        approach_notes=notes_of(report.approaches),
        listening=[row for row in shown if isinstance(row, Listening)],
        resyntheses=[row for row in shown if isinstance(row, Resynthesis)],
        continuations=[row for row in shown if isinstance(row, Continuation)],
        num_left_out=len(sounds) - len(shown),
        training_charts=[(training.name, charts.line_chart(training.curves)) for training in report.trainings],
        quality_charts=_quality_charts(report.unit_quality),
        phone_maps=[(units.name, phone_map(units.counts, units.name)) for units in report.unit_phones],
        usage_charts=[
            (
                usage,
                charts.histogram(usage.counts, "units, most frequent first", "frames"),
                length_chart(usage.lengths, usage.frame_ms),
            )
            for usage in report.unit_usages
        ],
        score_bars=list(map(score_bar, report.scores)),
    )


def add_up(stages: Sequence[StageRow]) -> StageRow:
    """Add up what steps took."""
    costs: Counter[str] = Counter()
    for row in stages:
        costs.update(row.costs)
    cpu_hours, gpu_hours = sum(row.cpu_hours for row in stages), sum(row.gpu_hours for row in stages)
    seconds, rejects = sum(row.seconds for row in stages), sum(row.rejects for row in stages)
    return StageRow("all", None, None, rejects, None, seconds, cpu_hours, gpu_hours, costs)


def score_bar(row: ScoreRow) -> str:
    """Draw the share of content words of a row."""
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
