"""Translate one split of the pairs: source units -> target units -> speech, batched on the workers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from s2st import audio
from s2st.config import UserError
from s2st.schemas import PAIRS, TRANSLATIONS
from s2st.translator import Translator, read_model_folder
from stages import cluster, datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource


@dataclass(frozen=True)
class TranslateConfig:
    split: Literal["train", "validation", "test"] = "test"
    beam: int = 5  # width of the search
    batch_rows: int = resource(32)  # sentences decoded at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


class BatchTranslator:
    """Takes pairs and gives translations with their audio."""

    def __init__(self, model: str, beam: int):
        self.translator = Translator.load(model, "cuda" if torch.cuda.is_available() else "cpu")
        self.beam = beam

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of PAIRS into rows of TRANSLATIONS, one batch a target language."""
        rows = table.to_pylist()
        done: list[dict[str, Any]] = []
        for target in sorted({row["target_lang"] for row in rows}):
            done += self._translate([row for row in rows if row["target_lang"] == target], target)
        return pa.Table.from_pylist(done, schema=TRANSLATIONS)

    def _translate(self, rows: list[dict[str, Any]], target: str) -> list[dict[str, Any]]:
        sources = [np.asarray(row["source_units"], dtype=np.int32) for row in rows]
        references = [np.asarray(row["target_units"], dtype=np.int32) for row in rows]
        translations = self.translator.translate_units(sources, [row["source_lang"] for row in rows], target, self.beam)
        ceilings = self.translator.voices[target].speak(references, target)
        done = []
        for row, translation, (ceiling, _) in zip(rows, translations, ceilings, strict=True):
            done.append(
                {
                    **{name: row[name] for name in TRANSLATIONS.names if name in row},
                    "units": translation.units.tolist(),
                    "reference_units": row["target_units"],
                    "audio": audio.encode(translation.waveform),
                    "ceiling_audio": audio.encode(ceiling),
                    "seconds": len(translation.waveform) / audio.SAMPLE_RATE,
                }
            )
        return done


def run(config: TranslateConfig, step: Step) -> Counts:
    """Translate every pair of the split whose target language the model speaks."""
    model = read_model_folder(step.input("model"))
    pairs = datasets.read_table(step.input("pairs"), PAIRS, ["split", "source_lang", "target_lang", "codebook"])
    if units := set(pairs["codebook"].to_pylist()) - {model["units"]}:
        raise UserError(
            f"section '{step.name}': the pairs are of units {units.pop()}, the model knows {model['units']}"
        )
    spoken = chosen_rows(config.split, set(model["directions"]), set(model["vocoders"]))
    num_chosen = sum(map(spoken, pairs.to_pylist()))
    if not num_chosen:
        raise UserError(f"section '{step.name}': no pair of the split '{config.split}' is in a direction of the model")
    translations = (
        datasets.read(step.input("pairs"), PAIRS)
        .map_batches(lambda table: _filter(table, spoken), batch_format="pyarrow")
        .map_batches(
            BatchTranslator,
            fn_constructor_args=(step.input("model"), config.beam),
            batch_format="pyarrow",
            batch_size=config.batch_rows,
            **cluster.pool(config.max_workers, config.num_gpus),
        )
    )
    datasets.write(translations, step.output, ["source_lang", "target_lang"])
    table = datasets.read_table(step.output, TRANSLATIONS, ["seconds"])
    datasets.check_nothing_lost(step.output, num_chosen, len(table), 0)
    return Counts(num_chosen, len(table), 0, round(sum(table["seconds"].to_pylist()) / 3600, 4))


def chosen_rows(split: str, directions: set[str], languages: set[str]) -> Callable[[dict[str, Any]], bool]:
    """Make the test of whether a pair is of this split and in a direction that the model translates and speaks."""

    def chosen(row: dict[str, Any]) -> bool:
        direction = f"{row['source_lang']}-{row['target_lang']}"
        return row["split"] == split and direction in directions and row["target_lang"] in languages

    return chosen


def _filter(table: pa.Table, keep: Callable[[dict[str, Any]], bool]) -> pa.Table:
    rows = table.select(["split", "source_lang", "target_lang"]).to_pylist()
    return table.filter(pa.array([keep(row) for row in rows], pa.bool_()))


STAGE = Stage(TranslateConfig, run, reads={"pairs": Input(PAIRS), "model": Input()})

if __name__ == "__main__":
    main("pipelines.translate")
