"""The results of benchmarks: one row a figure, printed as a table and kept in results.jsonl."""

import argparse
import datetime
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stages import stage

RESULTS = Path(__file__).with_name("results.jsonl")
VECTORS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")  # instructions, as Linux names them, the best first
COLUMNS = ("name", "ours", "peer", "ratio", "unit")


@dataclass(frozen=True)
class Row:
    """One figure of ours and the peer's."""

    name: str
    ours: float
    peer: float | None  # None where the peer has no such figure
    ratio: float | None  # ours / peer: times as fast for speeds, share of the peer's for sizes, memory and times
    unit: str
    machine: str
    commit: str
    date: str  # ISO 8601, UTC


def row(name: str, ours: float, peer: float | None, unit: str) -> Row:
    """Make the row of a figure that was measured here and now."""
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    ratio = _rounded(ours / peer) if peer and peer > 0 else None
    peer = _rounded(peer) if peer is not None else None
    return Row(name, _rounded(ours), peer, ratio, unit, machine(), stage.commit(), date)


def _rounded(value: float) -> float:
    """Keep six digits: no figure here is known better."""
    return float(f"{value:.6g}")


def machine() -> str:
    """Describe the machine in a few words, with its processor if the system tells, and its vector instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    vectors = [name.upper() for name in VECTORS if name in told.get("flags", "").split()]
    return ", ".join([*filter(None, [told.get("model name")]), *vectors[:1], stage.machine()])


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a command keep its rows elsewhere, for trials."""
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="where rows are added")


def kept(rows: Iterable[Row], path: Path) -> list[Row]:
    """Add each row, as soon as it is there, to a file of JSON lines; a run that breaks off leaves what it has."""
    done = []
    for entry in rows:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")
        done.append(entry)
    return done


def table(rows: Sequence[Row]) -> str:
    """Lay out rows as a Markdown table."""
    cells = [list(COLUMNS)] + [[_cell(getattr(entry, column)) for column in COLUMNS] for entry in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(COLUMNS))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: str | float | None) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return value or "-"
