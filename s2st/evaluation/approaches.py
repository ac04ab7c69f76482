"""Ways to translate speech beside each other: what each needs, what it cost, what it reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "–"
COLUMNS = (
    "approach",
    "needs text",
    "parameters",
    "training, core-min",
    "of that shared",
    "CPU s per s of speech",
    "content words [95%]",
    "of a new voice",
    "ASR-BLEU [95%]",
    "chance",
    "ceiling",
    "true recordings",
)


@dataclass(frozen=True)
class Approach:
    """One way to translate, in one direction."""

    name: str
    direction: str  # such as hi-en
    needs_text: bool | None  # for any training or table on its way; None where nobody says
    parameters: dict[str, int]  # of each part on its way; none where one is not known
    trainings: dict[str, float]  # core-seconds of each training of this run that it stands on
    gpu_seconds: float  # of these trainings, together
    trained_elsewhere: bool  # ... and that there are others, whose cost is not known
    shared: tuple[str, ...]  # of these trainings, the ones that others stand on, too
    speed: float | None  # CPU-seconds for a second of speech
    scores: Mapping[str, Any]  # that pipelines.evaluate gave it, of voices that training heard if there are any
    new_voice: Mapping[str, Any] | None = None  # ... of voices that it did not hear


def markdown(approaches: Sequence[Approach]) -> str:
    """Lay out a table, a row an approach; below it what several share, and who was given other sentences."""
    several = len({approach.direction for approach in approaches}) > 1
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(cells_of(approach, several) for approach in approaches)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join([table, *notes_of(approaches)]) + "\n"


def notes_of(approaches: Sequence[Approach]) -> list[str]:
    """Say below a table what several approaches share, and who was given other sentences."""
    return [note for note in (shared_trainings(approaches), unequal_sentences(approaches)) if note]


def shared_trainings(approaches: Sequence[Approach]) -> str:
    """Name the trainings that several approaches share, in a sentence; nothing where there are none."""
    seconds = {name: approach.trainings[name] for approach in approaches for name in approach.shared}
    names = ", ".join(f"{name} ({_minutes(value)})" for name, value in seconds.items())
    return f"Trainings that several approaches share, with their core-minutes: {names}." if names else ""


def unequal_sentences(approaches: Sequence[Approach]) -> str:
    """Say how many sentences were judged where approaches of a direction have unequal numbers; else nothing.

    A model leaves out what it cannot take, such as a source that is too long.
    """
    told = []
    for direction in dict.fromkeys(approach.direction for approach in approaches):
        counts = {row.name: row.scores["sentences"] for row in approaches if row.direction == direction}
        if len(set(counts.values())) > 1:
            told += [f"{name} {count} ({direction})" for name, count in counts.items()]
    return f"Sentences that were judged: {', '.join(told)}." if told else ""


def cells_of(approach: Approach, several: bool) -> list[str]:
    """Lay out a row of COLUMNS; the direction stands in it where there are several."""
    scores = approach.scores
    return [
        f"{approach.name}, {approach.direction}" if several else approach.name,
        {True: "yes", False: "no", None: MISSING}[approach.needs_text],
        f"{sum(approach.parameters.values()) / 1e6:.2f} M" if approach.parameters else MISSING,
        _training(approach),
        _minutes(sum(approach.trainings[name] for name in approach.shared)),
        MISSING if approach.speed is None else f"{approach.speed:.3f}",
        f"{scores['content_words']:.2f} {_interval(scores, 'content_words', 2)}".rstrip(),
        f"{approach.new_voice['content_words']:.2f}" if approach.new_voice else MISSING,
        f"{scores['bleu']:.1f} {_interval(scores, 'bleu', 1)}".rstrip(),
        *(f"{scores[name]:.2f}" for name in ("chance", "ceiling", "recordings")),
    ]


def _training(approach: Approach) -> str:
    """Say what the trainings took, as far as it is known."""
    own = _minutes(sum(approach.trainings.values()))
    if approach.gpu_seconds:
        own += f" and {_minutes(approach.gpu_seconds)} GPU-min"
    if approach.trained_elsewhere:
        return f"{own} and others'" if approach.trainings else MISSING
    return own


def _interval(scores: Mapping[str, Any], name: str, digits: int) -> str:
    found = scores.get(f"{name}_interval")
    return "[{:.{digits}f}, {:.{digits}f}]".format(*found, digits=digits) if found else ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"
