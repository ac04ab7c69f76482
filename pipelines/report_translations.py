"""What a report says of translations: their scores, best and worst sentences, and what went wrong."""

import io
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile

from pipelines.report_rows import SCORES_FILE, kind_of
from s2st import audio, storage
from s2st.corpora.phrasebook_grammar import content_words
from s2st.evaluation import report_content as content
from s2st.evaluation.scores import Share, found_words
from s2st.evaluation.spoken_text import spoken_text
from s2st.schemas import SCORES, TRANSLATIONS
from stages import datasets
from stages.stage import Step

MAIN = "units"  # key of the unit kind in scores.json
SHARES = ("chance", "ceiling", "recordings", "word_error_rate", "character_error_rate", "unit_error_rate")


@dataclass(frozen=True)
class Evaluated:
    """One evaluation, and the folders of what it judged."""

    kind: str  # of its units, such as "mfcc", or its section where several evaluations have the same
    scores: dict[str, Any]  # by direction and voices
    rows: list[dict[str, Any]]  # of SCORES
    translations: str
    units: str


def evaluations_of(step: Step) -> list[Evaluated]:
    """Read the evaluations of a report's step."""
    units = step.input_list("units")
    one_each = len(set(units)) == len(units)
    return [
        Evaluated(
            kind_of(units_folder) if one_each else section,
            storage.read_json(f"{folder}/{SCORES_FILE}"),
            datasets.read_table(folder, SCORES).to_pylist(),
            translations,
            units_folder,
        )
        for section, folder, translations, units_folder in zip(
            step.inputs.get("evaluations", []),
            step.input_list("evaluations"),
            step.input_list("translations"),
            units if step.inputs.get("evaluations") else [],
            strict=True,
        )
    ]


def score_rows(evaluated: Evaluated) -> list[content.ScoreRow]:
    """Make the rows of one evaluation."""
    rows = []
    for direction, by_voices in evaluated.scores.items():
        for voices, score in by_voices.items():
            words = Share(
                score["content_words"], *score["content_words_interval"], num_words=score["num_content_words"]
            )
            known: dict[str, Any] = {name: score[name] for name in (*SHARES, "bleu", "chrf")}
            for interval in ("bleu_interval", "chrf_interval"):
                known[interval] = tuple(score[interval]) if interval in score else None
            direction_name = direction.replace("-", " → ")
            rows.append(content.ScoreRow(direction_name, evaluated.kind, voices, score["sentences"], words, **known))
    return rows


def notes_of(evaluated: list[Evaluated]) -> list[str]:
    """Name the signatures of BLEU and chrF of all scores."""
    scores = [score for each in evaluated for by_voices in each.scores.values() for score in by_voices.values()]
    return sorted({f"{name}: {score[f'{name}_signature']}" for score in scores for name in ("bleu", "chrf")})


def sentence_of(row: dict[str, Any], kind: str) -> content.Sentence:
    """Make the text of one translated sentence from a row of SCORES."""
    lang = row["target_lang"]
    return content.Sentence(
        direction=f"{row['source_lang']} → {lang}",
        unit_kind=kind,
        voice=row["voices"],
        source_text=row["source_text"],
        reference=row["reference_text"],
        heard=row["heard_text"],
        content_words=tuple(content_words(spoken_text(row["reference_text"], lang), lang)),
        heard_words=tuple(content_words(spoken_text(row["heard_text"], lang), lang)),
        fault="cut, loops" if row["loops"] else "" if row["finished"] else "cut",
    )


def main_rows(evaluated: list[Evaluated]) -> list[dict[str, Any]]:
    """Give the rows of the first evaluation: of voices that training heard, or all of a direction without any."""
    rows = evaluated[0].rows if evaluated else []
    heard = {(row["source_lang"], row["target_lang"]) for row in rows if row["voices"] == "seen"}
    return [row for row in rows if row["voices"] == "seen" or (row["source_lang"], row["target_lang"]) not in heard]


def best_and_worst(
    evaluated: list[Evaluated], count: int
) -> tuple[tuple[content.Sentence, ...], tuple[content.Sentence, ...]]:
    """Choose `count` of the main sentences by the share of their content words that are heard: the best, the worst.

    None is among the best of which nothing is heard, among the worst of which all is, or in both.
    """
    shares = []
    for sentence in (sentence_of(row, evaluated[0].kind) for row in main_rows(evaluated)):
        if found := found_words(sentence.content_words, sentence.heard_words):
            shares.append((sum(found) / len(found), sentence))
    shares.sort(key=lambda item: -item[0])
    best = [sentence for share, sentence in shares if share > 0]
    worst = [sentence for share, sentence in reversed(shares[count:]) if share < 1]
    return tuple(best[:count]), tuple(worst[:count])


def failures_of(evaluated: Evaluated) -> list[content.Failures]:
    """Count by direction what went wrong."""
    faint = _without_sound(evaluated.translations)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in evaluated.rows:
        found = counts[f"{row['source_lang']} → {row['target_lang']}"]
        found["num_translations"] += 1
        found["cut"] += not row["finished"]
        found["loops"] += row["loops"]
        if fault := faint.get(row["pair_id"]):
            found[fault] += 1
        elif not row["heard_text"].strip():
            found["unheard"] += 1
    names = ("num_translations", "cut", "loops", "empty", "silent", "unheard")
    return [
        content.Failures(direction, evaluated.kind, **{name: found[name] for name in names})
        for direction, found in sorted(counts.items())
    ]


def _without_sound(translations: str) -> dict[str, str]:
    """Find the translations without sound, by pair: those that are "empty", and those that are "silent"."""
    found = {}
    for batch in datasets.read_batches(translations, TRANSLATIONS, ["pair_id", "audio", "seconds"]):
        for row in batch.to_pylist():
            if not row["seconds"]:
                found[row["pair_id"]] = "empty"
            elif np.abs(soundfile.read(io.BytesIO(row["audio"]), dtype="float32")[0]).max() < audio.SILENCE:
                found[row["pair_id"]] = "silent"
    return found


def summary(evaluated: list[Evaluated]) -> dict[str, Any]:
    """Scores of a run by direction: the first kind of units on voices that training heard, and below it all else.

    A corpus such as FLEURS has none of these in its test split: its scores are all below.
    """
    result: dict[str, Any] = {}
    for direction, by_voices in evaluated[0].scores.items() if evaluated else ():
        result[direction] = {MAIN: evaluated[0].kind, **by_voices.get("seen", {})}
        if "unseen" in by_voices:
            result[direction]["unseen_voices"] = by_voices["unseen"]
        others = {other.kind: other.scores[direction] for other in evaluated[1:] if direction in other.scores}
        if others:
            result[direction]["other_units"] = others
    return result
