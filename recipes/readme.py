"""Write the results of finished runs into the README and docs: python -m recipes.readme runs/demo [runs/OTHER ...].

The table goes between the two markers of its run's recipe, `<!-- results: demo -->` and `<!-- end -->`.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2st import storage
from s2st.config import UserError
from s2st.evaluation.approaches import Approach, markdown
from s2st.evaluation.language_models import perplexity_table, speech_table
from stages.run import stop_on_mistakes

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")))
HEADER = (
    "| direction | units | voices | content words [95%] | chance | ceiling | true recordings | unit error rate "
    "| word error rate (judge's own) |\n|---|---|---|---|---|---|---|---|---|\n"
)

QUALITY_HEADER = (
    "| units | language | PNMI | phone purity | cluster purity | one sentence, two voices | two sentences, one voice "
    "| used | perplexity |\n|---|---|---|---|---|---|---|---|---|\n"
)
TRANSCRIPTS_HEADER = (
    "| transcripts | language | voices | utterances | word error rate | with beam search | character error rate "
    "| with beam search |\n|---|---|---|---|---|---|---|---|\n"
)
VOCODER_HEADER = (
    "| vocoder | durations | recordings | MCD | MCD, dB | mel L1 | duration error (frames) | F0 correlation "
    "| word error rate [95%] | of the recordings | ratio [95%] |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
)
VOICES = {"seen": "heard in training", "unseen": "never heard"}


def results(summary: Mapping[str, Any]) -> str:
    """Lay out a summary.json as Markdown, with date, commit, machine and time.

    Shown are approaches that were compared, or the scores of translations, or, of a recipe that translates nothing,
    transcripts and the quality of units, vocoders and language models.
    """
    minutes = sum(stage["seconds"] for stage in summary["stages"]) / 60
    origin = (
        f"`python -m recipes {summary['recipe']}`, {summary['date'][:10]}, commit {summary['commit']}, "
        f"{summary['machine']}, {summary['minutes']:.1f} minutes "
        f"({minutes:.1f} minutes of steps, some at the same time)."
    )
    if rows := summary.get("approaches"):
        return f"{markdown([Approach(**row) for row in rows])}\n{origin}\n"
    if not summary["scores"]:
        heard, measured = _transcript_rows(summary["transcripts"]), _quality_rows(summary["unit_quality"])
        spoken = _vocoder_rows(summary["voices"])
        models = summary.get("language_models", {})  # older summaries have none
        tables = [(TRANSCRIPTS_HEADER, heard), (QUALITY_HEADER, measured), (VOCODER_HEADER, spoken)]
        tables += [_markdown(perplexity_table(models)), _markdown(speech_table(models))]
        return "".join(header + "\n".join(rows) + "\n\n" for header, rows in tables if rows) + f"{origin}\n"
    rows = []
    for direction, score in summary["scores"].items():
        if "content_words" in score:
            rows.append(_row(direction, score["units"], VOICES["seen"], score))
        if "unseen_voices" in score:
            rows.append(_row(direction, score["units"], VOICES["unseen"], score["unseen_voices"]))
        for units, by_voices in score.get("other_units", {}).items():
            if "seen" in by_voices:
                rows.append(_row(direction, units, VOICES["seen"], by_voices["seen"]))
            if "unseen" in by_voices:
                rows.append(_row(direction, units, VOICES["unseen"], by_voices["unseen"]))
    return HEADER + "\n".join(rows) + f"\n\n{origin}\n"


def _row(direction: str, units: str, voices: str, score: Mapping[str, Any]) -> str:
    low, high = score["content_words_interval"]
    return (
        f"| {direction} | {units} | {voices} | **{score['content_words']:.2f}** [{low:.2f}, {high:.2f}] "
        f"| {score['chance']:.2f} | {score['ceiling']:.2f} | {score['recordings']:.2f} "
        f"| {score['unit_error_rate']:.2f} | {score['word_error_rate']:.2f} ({score['judge_word_error_rate']:.2f}) |"
    )


def _transcript_rows(transcripts: Mapping[str, Any]) -> list[str]:
    rates = [
        (text, rate) for rate in ("word_error_rate", "character_error_rate") for text in ("heard_text", "beam_text")
    ]
    return [
        f"| {step} | {lang} | {VOICES[voices]} | {score['recordings']} | "
        + " | ".join(f"{score[text][rate]:.2f}" for text, rate in rates)
        + " |"
        for step, by_language in transcripts.items()
        for lang, by_voices in by_language.items()
        for voices, score in by_voices.items()
    ]


def _quality_rows(quality: Mapping[str, Any]) -> list[str]:
    shares = ("pnmi", "phone_purity", "cluster_purity", "same_sentence", "other_sentence")
    return [
        f"| {section} ({row['kind']}) | {lang} | "
        + " | ".join("–" if row.get(name) is None else f"{row[name]:.2f}" for name in shares)
        + f" | {row['num_units']} | {row['perplexity']:.0f} |"
        for by_section in quality.values()
        for section, by_language in by_section.items()
        for lang, row in by_language.items()
    ]


def _vocoder_rows(voices: Mapping[str, Any]) -> list[str]:
    rows = []
    for step, by_language in voices.items():
        for lang, score in by_language.items():
            cells = [f"{step}, {lang}", score["durations"], str(score["recordings"])]
            cells += [
                _figure(score.get(name)) for name in ("mcd", "mcd_db", "mel_l1", "duration_error", "f0_correlation")
            ]
            cells += [
                _figure(score.get("word_error_rate"), interval=True),
                _figure(score.get("recording_word_error_rate")),
                _figure(score.get("word_error_ratio"), interval=True),
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return rows


def _markdown(table: Sequence[Sequence[str]]) -> tuple[str, list[str]]:
    """Lay out the header of a table, and its rows."""
    columns, *rows = table
    header = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    return header, [f"| {' | '.join(cells)} |" for cells in rows]


def _figure(found: Mapping[str, float] | None, interval: bool = False) -> str:
    if found is None:
        return "–"
    return f"{found['value']:.2f}" + (f" [{found['low']:.2f}, {found['high']:.2f}]" if interval else "")


def insert(text: str, summary: Mapping[str, Any]) -> str:
    """Replace what stands between the markers of the summary's recipe; text without them stays as it is."""
    begin = f"<!-- results: {summary['recipe']} -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda found: found[1] + results(summary) + found[2], text)


def main() -> None:
    """Update the pages from the runs on the command line; raises UserError if none has a place for a run."""
    for run in sys.argv[1:]:
        try:
            summary = storage.read_json(f"{run}/summary.json")
        except FileNotFoundError:
            raise UserError(f"there is no {run}/summary.json; finish the run first") from None
        texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
        begin = f"<!-- results: {summary['recipe']} -->"
        if not any(begin in text for text in texts.values()):
            raise UserError(f"no page has a place for {summary['recipe']}; add the lines {begin} and <!-- end -->")
        for page, text in texts.items():
            page.write_text(insert(text, summary), encoding="utf-8")


if __name__ == "__main__":
    stop_on_mistakes(main)
