"""Several runs on one page: their scores one below the other, where they differ, their curves and speech."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from s2st.evaluation import charts
from s2st.evaluation.page import fill, within_budget
from s2st.evaluation.report import add_up, score_bar
from s2st.evaluation.report_content import Listening, Report, Sentence, Sound

FIRST_OF = ("validation_loss", "loss", "validation_mel", "mel")  # what is drawn of a training: the first that all have


@dataclass(frozen=True)
class Setting:
    """A setting that is not the same in all runs."""

    section: str
    name: str  # such as "loop.max_steps"
    values: tuple[str, ...]  # one a run; "–" where a run has none


@dataclass(frozen=True)
class Comparison:
    """Reports of runs; their `listening` is of the same sentences in the same order."""

    names: tuple[str, ...]
    reports: tuple[Report, ...]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Versions:
    """One sentence as several runs translate it."""

    sentence: Sentence
    source: Sound
    target: Sound
    translations: tuple[Listening, ...]  # one a run


def render(comparison: Comparison) -> str:
    """Fill the template of the page; sentences that would make it too large are counted instead."""
    joined = join(comparison)
    versions = [
        Versions(rows[0].sentence, rows[0].source, rows[0].target, rows)
        for rows in zip(*(report.listening for report in comparison.reports), strict=True)
    ]
    shown = within_budget(versions)
    return fill(
        "comparison.html.jinja",
        comparison=comparison,
        report=joined,
        totals=[add_up(report.stages) for report in comparison.reports],
        score_bars=list(map(score_bar, joined.scores)),
        training_charts=curves(comparison),
        versions=shown,
        num_left_out=len(versions) - len(shown),
    )


def join(comparison: Comparison) -> Report:
    """Put the rows of all runs into one report, those of a direction or language beside each other, named by run."""
    return dataclasses.replace(
        comparison.reports[0],
        scores=_named(comparison, "scores", "unit_kind", ("direction", "voices")),
        transcripts=_named(comparison, "transcripts", "section", ("lang", "voices")),
        voices=_named(comparison, "voices", "section", ("lang", "durations")),
        unit_quality=_named(comparison, "unit_quality", "units", ("lang",)),
        language_models={
            f"{name}: {section}": scores
            for name, report in zip(comparison.names, comparison.reports, strict=True)
            for section, scores in report.language_models.items()
        },
        failures=_named(comparison, "failures", "unit_kind", ("direction",)),
        notes=tuple(sorted({note for report in comparison.reports for note in report.notes})),
        rejects=(),
    )


def _named(comparison: Comparison, table: str, label: str, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """Rows of a table of all runs, with the run's name before `label`, in the order of `keys`, `label` and runs."""
    rows = [
        (name, row)
        for name, report in zip(comparison.names, comparison.reports, strict=True)
        for row in getattr(report, table)
    ]
    rows.sort(key=lambda item: [getattr(item[1], key) for key in (*keys, label)])
    return tuple(dataclasses.replace(row, **{label: f"{name}: {getattr(row, label)}"}) for name, row in rows)


def curves(comparison: Comparison) -> list[tuple[str, str]]:
    """Draw one chart for each training that several runs have: its title and the chart."""
    drawn = []
    trainings = [{row.name: row.curves for row in report.trainings} for report in comparison.reports]
    for training in dict.fromkeys(name for by_name in trainings for name in by_name):
        lines = [{line.name: line for line in by_name[training]} for by_name in trainings if training in by_name]
        runs = [name for name, by_name in zip(comparison.names, trainings, strict=True) if training in by_name]
        shared = [key for key in FIRST_OF if all(key in by_key for by_key in lines)]
        if len(runs) > 1 and shared:
            series = [
                dataclasses.replace(by_key[shared[0]], name=name) for name, by_key in zip(runs, lines, strict=True)
            ]
            drawn.append((training, charts.line_chart(series, y_label=shared[0].replace("_", " "))))
    return drawn
