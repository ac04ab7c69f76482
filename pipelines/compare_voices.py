"""Measure how far units depend on who speaks: the unit error rate between recordings of one sentence."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import permutations
from random import Random
from typing import Any, Literal

from s2st import storage
from s2st.config import UserError
from s2st.evaluation.scores import unit_error_rate
from s2st.schemas import UNITS
from stages import datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

COLUMNS = ("utterance_id", "sentence_id", "lang", "split", "speaker", "units")


@dataclass(frozen=True)
class CompareVoicesConfig:
    split: Literal["train", "validation", "test"] = "test"
    seed: int = 0  # of the other sentences drawn for chance


def run(config: CompareVoicesConfig, step: Step) -> Counts:
    """Compare all pairs of voices in each dataset of units; writes _scores.json."""
    scores, count = {}, 0
    for name, folder in zip(step.inputs["units"], step.input_list("units"), strict=True):
        rows = datasets.read_table(folder, UNITS, COLUMNS).to_pylist()
        rows = sorted((row for row in rows if row["split"] == config.split), key=lambda row: row["utterance_id"])
        scores[name] = compare(rows, config.seed)
        if not scores[name]:
            raise UserError(f"section '{step.name}': no sentence of {name} is said by two voices in {config.split}")
        count += len(rows)
        for lang, found in scores[name].items():
            tell(f"{step.name}: {name}, {lang}: {found['same_sentence']:.3f}, chance {found['other_sentence']:.3f}")
    storage.write_json(f"{step.output}/_scores.json", scores)
    return Counts(count, count)


def compare(rows: list[dict[str, Any]], seed: int) -> dict[str, dict[str, float]]:
    """Unit error rate, by language, between voices that say the same sentence, and another one (chance)."""
    said: dict[str, dict[str, dict[str, list[int]]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        said[row["lang"]][row["sentence_id"]].setdefault(row["speaker"], row["units"])
    draw, scores = Random(seed), {}
    for lang, sentences in sorted(said.items()):
        pairs = [pair for voices in sentences.values() for pair in permutations(voices.values(), 2)]
        if not pairs:
            continue
        spoken = [(name, units) for name, voices in sentences.items() for units in voices.values()]
        others = [(units, _another(spoken, name, draw)) for name, units in spoken]
        scores[lang] = {
            "pairs": len(pairs),
            "same_sentence": unit_error_rate(*zip(*pairs, strict=True)),
            "other_sentence": unit_error_rate(*zip(*others, strict=True)),
        }
    return scores


def _another(spoken: list[tuple[str, list[int]]], name: str, draw: Random) -> list[int]:
    """Units of a sentence other than `name`, if there is one."""
    return draw.choice([units for other, units in spoken if other != name] or [units for _, units in spoken])


STAGE = Stage(CompareVoicesConfig, run, reads={"units": Input(UNITS, many=True)})

if __name__ == "__main__":
    main("pipelines.compare_voices")
