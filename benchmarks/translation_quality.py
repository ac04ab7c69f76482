"""What each kind of translation model reaches on the phrasebook in minutes, with sources by 1, 4 and 16 voices.

python -m benchmarks.translation_quality [--run runs/translation_models]

Runs the recipe translation_models, or what is left of it, keeps a row a figure and writes the table of
docs/translators.md.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.results import Row, row
from s2st import storage
from stages.stage import MADE_BY

RECIPE = "translation_models"
FIGURES = {
    "content_words": "share of content words that the judge hears",
    "unit_error_rate": "unit errors / reference units",
    "unit_bleu": "BLEU of units",
}


def rows_of(run: str) -> Iterator[Row]:
    """Read the figures of a finished run: of each model and number of voices, on voices heard and never heard."""
    scores = storage.read_json(f"{run}/report/scores.json")
    for model, by_voices in all_models(scores):
        for voices, score in sorted(by_voices.items()):
            for name, unit in FIGURES.items():
                yield row(f"translation.quality.{model}.{voices}.{name}", score[name], None, unit)
        yield row(f"translation.quality.{model}.seconds", training_seconds(run, model), None, "s of training")


def all_models(scores: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the scores of each model of the only direction, by voices."""
    (found,) = scores.values()
    first = {"seen": {name: found[name] for name in FIGURES}, "unseen": found["unseen_voices"]}
    yield found["units"], first
    yield from found["other_units"].items()


def training_seconds(run: str, model: str) -> float:
    """Add up the seconds of the trainings that made a model, such as utut_voices_4."""
    kind, _, voices = model.partition("_voices_")
    sections = [f"{kind}_{voices}", *([f"denoised_{voices}"] if kind == "utut" else [])]
    return sum(storage.read_json(f"{run}/{section}/{MADE_BY}")["seconds"] for section in sections)


def main() -> None:
    """Run the recipe, keep its rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=f"runs/{RECIPE}", help="folder of the run")
    results.add_option(parser)
    arguments = parser.parse_args()
    subprocess.run([sys.executable, "-m", "recipes", RECIPE, f"run={arguments.run}"], check=True)
    print(results.table(results.kept(rows_of(arguments.run), Path(arguments.results))))
    if arguments.results == results.RESULTS:
        subprocess.run([sys.executable, "-m", "recipes.readme", arguments.run], check=True)


if __name__ == "__main__":
    main()
