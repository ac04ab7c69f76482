"""Measure units: what they tell of the phones, and how little of the voice (terms: s2st.evaluation.unit_quality)."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st import storage
from s2st.config import UserError
from s2st.corpora.corpus import SPLITS
from s2st.evaluation.unit_quality import (
    Reading,
    entropy_bits,
    phone_scores,
    phones_at,
    phones_of_units,
    voice_scores,
)
from s2st.schemas import PHONES, UNIT_QUALITY, UNITS
from s2st.speech_to_units import describe_units, frame_centres
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

COLUMNS = ("utterance_id", "sentence_id", "lang", "split", "speaker", "units", "codebook")
KEYS = ("units", "lang")  # of the file of scores
PHONES_FILE = "_phones_of_units.json"  # frames, by section, language, unit and phone; of speech whose phones are known
NO_PHONES: tuple[list[str], list[int]] = ([], [])


@dataclass(frozen=True)
class UnitQualityConfig:
    split: str = "test"  # that is measured: speech which neither encoder nor centroids have learned from
    seed: int = 0  # of the sentences drawn for chance

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split={self.split} is not one of {', '.join(SPLITS)}")


def check_inputs(config: UnitQualityConfig, step: Step) -> None:
    """Raise UserError if there is nothing to measure."""
    for name, schema in (("units", UNITS), ("phones", PHONES)):
        for folder in step.input_list(name):
            if config.split not in datasets.read_table(folder, schema, ["split"])["split"].to_pylist():
                raise UserError(
                    f"section '{step.name}': {folder} has no rows of the split '{config.split}'; set split to another"
                )


def run(config: UnitQualityConfig, step: Step) -> Counts:
    """Measure each section of units in each language; writes rows, _scores.json and PHONES_FILE."""
    phones = phones_of(step.input_list("phones"))
    rows, rows_in = [], 0
    mapped: dict[str, dict[str, Any]] = defaultdict(dict)
    for section in step.inputs["units"]:
        table = datasets.read_table(f"{step.run_folder}/{section}", UNITS, COLUMNS)
        utterances = table.filter(pc.equal(table["split"], config.split)).to_pylist()
        by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for utterance in sorted(utterances, key=lambda utterance: utterance["utterance_id"]):
            by_language[utterance["lang"]].append(utterance)
        for lang, spoken in sorted(by_language.items()):
            rows.append({"units": section, "lang": lang, "split": config.split})
            said, units = align(spoken, phones)
            rows[-1].update(measure(spoken, said, units, config.seed))
            if counts := phones_of_units(said, units):
                mapped[section][lang] = counts
        rows_in += len(utterances)
    datasets.write_table(pa.Table.from_pylist(rows, schema=UNIT_QUALITY), step.output)
    scores: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        scores[row["units"]][row["lang"]] = {name: value for name, value in row.items() if name not in KEYS}
    storage.write_json(f"{step.output}/_scores.json", scores)
    storage.write_json(f"{step.output}/{PHONES_FILE}", mapped)
    return Counts(rows_in, len(rows), unit="measurements")


def phones_of(folders: list[str]) -> dict[str, tuple[list[str], list[int]]]:
    """Read the phones of utterances and the samples where they start."""
    tables = [datasets.read_table(folder, PHONES, ["utterance_id", "phones", "starts"]) for folder in folders]
    return {row["utterance_id"]: (row["phones"], row["starts"]) for table in tables for row in table.to_pylist()}


def align(
    utterances: list[dict[str, Any]], phones: dict[str, tuple[list[str], list[int]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Give the phones (N,) and units (N,) of all frames of rows of UNITS whose phones are known."""
    said, units = [np.array([], np.str_)], [np.array([], np.int64)]
    for utterance in utterances:
        of_phones, starts = phones.get(utterance["utterance_id"], NO_PHONES)
        if of_phones:
            centres = frame_centres(utterance["codebook"], len(utterance["units"]))
            said.append(phones_at(centres, of_phones, starts))
            units.append(np.asarray(utterance["units"], np.int64))
    return np.concatenate(said), np.concatenate(units)


def measure(utterances: list[dict[str, Any]], said: np.ndarray, said_as: np.ndarray, seed: int) -> dict[str, Any]:
    """Make the rest of a row of UNIT_QUALITY of rows of UNITS of one codebook and language.

    `said` (N,) and `said_as` (N,) are the phones and units of `align`.
    """
    codebook = utterances[0]["codebook"]
    units = [np.asarray(utterance["units"], np.int64) for utterance in utterances]
    counts = np.bincount(np.concatenate(units))
    row: dict[str, Any] = {
        "kind": describe_units(codebook),
        "num_utterances": len(utterances),
        "num_frames": int(counts.sum()),
        "num_units": int((counts > 0).sum()),
        "perplexity": 2 ** entropy_bits(counts),
    }
    if (num_phones := len(np.unique(said))) > 1:  # of one phone alone there is nothing to know
        agreement = phone_scores(said, said_as)
        row.update(
            num_phones=num_phones,
            pnmi=agreement.pnmi,
            phone_purity=agreement.phone_purity,
            cluster_purity=agreement.cluster_purity,
        )
    readings = [
        Reading(utterance["sentence_id"], utterance["speaker"], of_frames)
        for utterance, of_frames in zip(utterances, units, strict=True)
    ]
    if voices := voice_scores(readings, seed):
        row.update(
            voice_pairs=voices.num_pairs,
            same_sentence=voices.same_sentence,
            other_sentence=voices.other_sentence,
        )
    return row


STAGE = Stage(
    UnitQualityConfig,
    run,
    reads={"units": Input(UNITS, many=True), "phones": Input(PHONES, many=True, optional=True)},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.unit_quality")
