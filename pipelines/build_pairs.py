"""Build the parallel corpus: recordings of one sentence in two languages, as reduced units."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from s2st.config import UserError
from s2st.schemas import PAIRS, UNITS
from s2st.units import reduce
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


@dataclass(frozen=True)
class BuildPairsConfig:
    directions: tuple[str, ...] = ()  # such as hi-en; none means every ordered pair of the languages
    max_pairs_per_sentence: int = 16  # of a direction; a sentence read by many people would drown the others
    seed: int = 0  # of the choice when there are more, and of the order of rows


def run(config: BuildPairsConfig, step: Step) -> Counts:
    """Pair within each sentence and split; recordings that end in no pair are rejects."""
    rows = datasets.read_table(step.input("units"), UNITS).to_pylist()
    directions = parse_directions(config.directions, sorted({row["lang"] for row in rows}))
    pairs, paired = [], set()
    for pair in make_pairs(rows, directions, config):
        pairs.append(pair)
        paired |= {pair["source_utterance_id"], pair["target_utterance_id"]}
    if not pairs:
        raise UserError(f"section '{step.name}': no sentence is there in two languages; look at the sentence_id")
    lonely = [row for row in rows if row["utterance_id"] not in paired]
    datasets.set_aside([{**row, "reason": "no partner in another language"} for row in lonely], step.output)
    datasets.write_table(pa.Table.from_pylist(shuffled(pairs, config.seed), schema=PAIRS), step.output)
    return Counts(len(rows), len(pairs), len(datasets.rejects(step.output)))


def parse_directions(directions: tuple[str, ...], languages: list[str]) -> list[tuple[str, str]]:
    """Turn "hi-en" into ("hi", "en"); none given means all. Raises UserError for a language that is not there."""
    if not directions:
        return [(a, b) for a in languages for b in languages if a != b]
    parsed = []
    for direction in directions:
        source, _, target = direction.partition("-")
        for lang in (source, target):
            if lang not in languages:
                raise UserError(
                    f"direction '{direction}': the units have no language '{lang}' (found: {', '.join(languages)})"
                )
        parsed.append((source, target))
    return parsed


def make_pairs(
    rows: list[dict[str, Any]], directions: list[tuple[str, str]], config: BuildPairsConfig
) -> Iterator[dict[str, Any]]:
    """Yield rows of PAIRS, in a stable order.

    Of a sentence's recordings, those by voices of the training split are the targets if there are any: no vocoder
    can speak with a voice that it never heard.
    """
    voices = {row["speaker"] for row in rows if row["split"] == "train"}
    sentences: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row["utterance_id"]):
        sentences[row["split"], row["sentence_id"]][row["lang"]].append(row)
    random = np.random.default_rng(config.seed)
    for (split, sentence_id), recordings in sorted(sentences.items()):
        for source_lang, target_lang in directions:
            heard = [row for row in recordings[target_lang] if row["speaker"] in voices]
            targets = heard or recordings[target_lang]
            chosen = [(source, target) for source in recordings[source_lang] for target in targets]
            if len(chosen) > config.max_pairs_per_sentence:
                kept = random.choice(len(chosen), config.max_pairs_per_sentence, replace=False)
                chosen = [chosen[i] for i in sorted(kept)]
            for source, target in chosen:
                yield {
                    "pair_id": f"{source['utterance_id']}--{target['utterance_id']}",
                    "sentence_id": sentence_id,
                    "source_lang": source_lang,
                    "target_lang": target_lang,
                    "split": split,
                    "source_utterance_id": source["utterance_id"],
                    "target_utterance_id": target["utterance_id"],
                    "source_units": reduce(np.asarray(source["units"], dtype=np.int32))[0].tolist(),
                    "target_units": reduce(np.asarray(target["units"], dtype=np.int32))[0].tolist(),
                    "codebook": source["codebook"],
                }


def shuffled(pairs: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Mix pairs: sentences of one kind stand together, and a trainer shuffles and packs a window of rows at a time."""
    return [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))]


STAGE = Stage(BuildPairsConfig, run, reads={"units": Input(UNITS)})

if __name__ == "__main__":
    main("pipelines.build_pairs")
