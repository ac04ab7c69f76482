"""Write fairseq's auxiliary tasks beside the pairs of a speech_to_speech folder: see s2st.fairseq.multitask.

The tasks are those of Fisher: letters of the source and of the target, from the texts of the manifest. A side without
any text has no tasks.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.fairseq_export import Export, rows_of
from s2st.config import UserError
from s2st.fairseq.multitask import FISHER, WORD_END, AuxiliaryTask, ctc_steps, letters, write_multitask
from s2st.schemas import MANIFEST
from stages import datasets
from stages.console import tell

SIDE_OF = {"source_letter": "source", "target_letter": "target", "decoder_target_ctc": "target"}
CTC = "decoder_target_ctc"

Row = Mapping[str, Any]


class Tasks:
    """The auxiliary tasks of a kind of folder; there are none unless the section asks for them."""

    def __init__(self, given: Export, frames_per_step: int, decoder_steps: Callable[[Row, Row], int]) -> None:
        """`decoder_steps` counts those of a translator for a pair, and the row of its target's recording."""
        self.given, self.frames_per_step, self.decoder_steps = given, frames_per_step, decoder_steps
        self.recordings: dict[str, Row] = {}
        if not given.multitask:
            return
        manifest = given.step.input("manifest")
        rows = datasets.read_table(manifest, MANIFEST, ["utterance_id", "text", "num_samples"]).to_pylist()
        self.recordings = {row["utterance_id"]: {**row, "text": (row["text"] or "").strip()} for row in rows}
        if not any(row["text"] for row in self.recordings.values()):
            raise UserError(
                f"section '{given.step.name}' cannot write multitask: {manifest} has no text at all; remove the "
                "setting, or ingest a corpus with texts"
            )

    def possible(self, table: pa.Table) -> list[str]:
        """Name the tasks whose side has text in some pair."""
        sides = {
            side
            for side in set(SIDE_OF.values())
            if any(self._text(name) for name in table[f"{side}_utterance_id"].to_pylist())
        }
        return [name for name, side in SIDE_OF.items() if side in sides]

    def why_not(self, pair: Row, names: list[str]) -> str | None:
        """Say why the tasks cannot learn from a pair, if they cannot."""
        for side in dict.fromkeys(SIDE_OF[name] for name in names):
            text = self._text(pair[f"{side}_utterance_id"])
            if text == "":
                return f"the {side} has no text"
            if text is not None and WORD_END in text:
                return f"the text of the {side} holds '{WORD_END}', which marks the end of words"
        target = self.recordings.get(pair["target_utterance_id"])
        if target is None or CTC not in names or pair["split"] != "train":
            return None  # validation and test are kept whole: a figure must not depend on filters
        too_long = ctc_steps(letters(target["text"])) > self.decoder_steps(pair, target)
        return f"the target has more letters than {CTC} has steps" if too_long else None

    def write(self, folder: Path, splits: Mapping[str, pa.Table]) -> None:
        """Write the tasks of the pairs that are in the tables of a folder, all of them with text."""
        names = self.possible(pa.concat_tables(splits.values()))
        if not names:
            return
        spelled = {
            side: {
                split: {
                    row["pair_id"]: letters(self.recordings[row[f"{side}_utterance_id"]]["text"])
                    for row in rows_of(table)
                }
                for split, table in splits.items()
            }
            for side in {SIDE_OF[name] for name in names}
        }
        tasks = {name: AuxiliaryTask(FISHER[name], spelled[SIDE_OF[name]]) for name in names}
        unlearnable = write_multitask(folder, tasks, self.frames_per_step)
        if pairs := unlearnable.get(CTC):
            tell(
                f"{self.given.step.name}: {len(pairs)} pairs of validation and test in "
                f"{folder.relative_to(self.given.folder)} have more letters than {CTC} has steps; fairseq counts "
                "their loss as 0"
            )

    def _text(self, utterance_id: str) -> str | None:
        """Give the text of a recording, None for one that the manifest lacks: who reads its audio says so."""
        row = self.recordings.get(utterance_id)
        return None if row is None else row["text"]
