"""What imports of units and of pairs share: what the units are, and how rows are written; see pipelines.exchange."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from s2st.config import UserError
from s2st.fairseq.unit_files import UnitsError, parse_units
from s2st.speech_to_units import SpeechToUnits
from stages import datasets
from stages.stage import Counts, Step

PART_ROWS = 1 << 16  # of one file


@dataclass(frozen=True)
class Units:
    """What units are read: where they come from (columns of UNITS), how many there are, and what makes them."""

    columns: dict[str, Any]
    num_units: int
    speech_to_units: SpeechToUnits | None  # where a codebook is given

    def of(self, value: str | np.ndarray) -> np.ndarray:
        """Make units (T,) of text or of features (T, D); raises UnitsError."""
        if isinstance(value, str):
            return parse_units(value, self.num_units)
        if not len(value):
            raise UnitsError("there are no frames")
        assert self.speech_to_units is not None
        return self.speech_to_units.quantize(value)


def origin(step: Step, num_units: int, units_name: str) -> Units:
    """Say what the units are: those of the codebook, or what the settings say."""
    if step.input_list("codebook"):
        speech_to_units = SpeechToUnits.load(step.input("codebook"))
        return Units(speech_to_units.origin, speech_to_units.codebook.config.num_units, speech_to_units)
    return Units({"encoder": "", "layer": 0, "codebook": f"{units_name}-0-{num_units}"}, num_units, None)


class Parts:
    """Writes rows to a dataset, PART_ROWS to a file, and those with a reason to its rejects."""

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        self.folder, self.schema = folder, schema
        self.rows: list[dict[str, Any]] = []
        self.rejects: list[dict[str, Any]] = []
        self.num_parts = self.num_rows = 0

    def add(self, row: dict[str, Any]) -> None:
        """Take a row of the schema, or one of REJECTS, which has a `reason`."""
        (self.rejects if "reason" in row else self.rows).append(row)
        if len(self.rows) == PART_ROWS:
            self._write()

    def close(self, hours: float = 0.0) -> Counts:
        """Write what is left, and give the counts."""
        self._write()
        datasets.set_aside(self.rejects, self.folder)
        return Counts(self.num_rows + len(self.rejects), self.num_rows, len(self.rejects), round(hours, 4))

    def _write(self) -> None:
        if self.rows:
            datasets.write_table(pa.Table.from_pylist(self.rows, schema=self.schema), self.folder, self.num_parts)
        self.num_parts, self.num_rows, self.rows = self.num_parts + 1, self.num_rows + len(self.rows), []


def check_new(identifier: str, seen: set[str], path: str) -> None:
    """Add an identifier to those seen; raises UserError if it was there."""
    if identifier in seen:
        raise UserError(f"{path}: '{identifier}' was read before; ids must be unique, so give each file once")
    seen.add(identifier)
