"""Examples whose source is speech: recordings become batches of features on the data workers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from s2st import audio
from s2st.config import UserError
from s2st.features.filterbank import num_fbank_frames, source_features
from s2st.features.spec_augment import Masks, spec_augment
from s2st.pairing import pair_directions
from s2st.schemas import SPEECH_PAIRS
from stages import datasets
from stages.stage import Counts, Step
from trainers.batches import Collate, Examples, Packing, examples, pad

SOURCE = ("pair_id", "source_audio", "source_samples")  # columns that every example has


@dataclass(frozen=True)
class Limits:
    """The most that a model takes of a pair, and the least: by column, values or lengths of lists and texts."""

    most: Mapping[str, int]
    settings: Mapping[str, str]  # by column, the setting of the trainer that allows so much
    least: int = 1

    def __call__(self, pairs: pa.Table) -> pa.Table:
        """Keep the pairs that fit."""
        for column in self.most:
            pairs = pairs.filter(self._fits(pairs, column))
        return pairs

    def rejects(self, pairs: pa.Table) -> list[dict[str, Any]]:
        """Name the pairs that do not fit, with the reason: rows of REJECTS."""
        found = []
        for column, most in self.most.items():
            for row in pairs.filter(pc.invert(self._fits(pairs, column))).to_pylist():
                reason = f"pair '{row['pair_id']}': its {column} are not {self.least} to {most}"
                reason += f", as {self.settings[column]} allows" if column in self.settings else ""
                found.append({"utterance_id": row["source_utterance_id"], "lang": row["source_lang"], **row})
                found[-1]["reason"] = reason
            pairs = pairs.filter(self._fits(pairs, column))
        return found

    def _fits(self, pairs: pa.Table, column: str) -> pa.ChunkedArray:
        sizes = pairs[column]
        if pa.types.is_list(sizes.type):
            sizes = pc.list_value_length(sizes)
        elif pa.types.is_string(sizes.type):
            sizes = pc.fill_null(pc.utf8_length(sizes), 0)
        return pc.and_(pc.greater_equal(sizes, self.least), pc.less_equal(sizes, self.most[column]))


def fitting_pairs(columns: Sequence[str], limits: Limits, step: Step) -> tuple[pa.Table, Counts]:
    """Read the pairs of the training and validation splits that fit; others become rejects of the step.

    Raises UserError, with the usual reason, if there is no pair to train on.
    """
    pairs = datasets.read_table(step.input("speech_pairs"), SPEECH_PAIRS, columns)
    pairs = pairs.filter(pc.is_in(pairs["split"], pa.array(["train", "validation"])))
    rejects, kept = limits.rejects(pairs), limits(pairs)
    datasets.set_aside(rejects, step.output)
    if "train" not in kept["split"].to_pylist():
        lost = "train" in pairs["split"].to_pylist()
        reason = f"; the usual reason: {datasets.usual_reason(step.output)}" if lost else ""
        raise UserError(f"section '{step.name}': {step.input('speech_pairs')} has no pair to train on{reason}")
    hours = pc.sum(kept["source_samples"]).as_py() / audio.SAMPLE_RATE / 3600
    return kept, Counts(len(pairs), len(kept), len(rejects), round(hours, 4))


def directions_of(pairs: pa.Table) -> list[str]:
    """Name the directions of pairs: "en-hi"."""
    return sorted(pc.unique(pair_directions(pairs)).to_pylist())


def pair_examples(
    folder: str, split: str, targets: Sequence[str], max_frames: int, limits: Limits, collate: Collate
) -> Examples | None:
    """Open a split of SPEECH_PAIRS, with the columns `targets` beside SOURCE; None if it is empty.

    A batch has max_frames frames of the source's filterbank, padding included, as fairseq's --max-tokens counts them.
    """
    return examples(
        folder,
        SPEECH_PAIRS,
        [*SOURCE, *targets],
        {"split": split},
        Packing(max_frames),
        lambda row: num_fbank_frames(row["source_samples"]),
        collate,
        limits,
    )


def filterbanks(
    rows: Sequence[Mapping[str, Any]], deltas: bool, masks: Masks | None, random: np.random.Generator
) -> dict[str, Tensor]:
    """Hear the sources of some rows: {features (B, T, 80 or 240) float32, lengths (B,)}; `masks` hide some of it."""
    features = [source_features(audio.decode(row["source_audio"]), deltas).numpy() for row in rows]
    if masks is not None:
        features = [spec_augment(value, masks, random) for value in features]
    padded, lengths = pad(features)
    return {"features": padded, "lengths": lengths}


def waveforms(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Decode the sources of some rows, for encoders that hear waveforms: {features (B, N) int16, lengths (B,)}."""
    padded, lengths = pad([audio.to_int16(audio.decode(row["source_audio"])) for row in rows])
    return {"features": padded, "lengths": lengths}
