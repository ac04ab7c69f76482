"""Write the newest row of each benchmark into docs/benchmarks.md: python -m benchmarks.readme.

The table goes between the lines `<!-- results: benchmarks -->` and `<!-- end -->`.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import RESULTS, Row, table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
QUALITY = "translation.quality."
PLACE = re.compile(r"(<!-- results: benchmarks -->\n).*?(<!-- end -->)", re.DOTALL)


def newest(lines: Sequence[str]) -> list[Row]:
    """Keep the last row of each name, but those of models, which the table of their recipe has."""
    rows = (Row(**json.loads(line)) for line in lines)
    return list({row.name: row for row in rows if not row.name.startswith(QUALITY)}.values())


def text_of(rows: Sequence[Row]) -> str:
    """Lay out rows as Markdown, with the commits, dates and machines that they come from."""
    origins = sorted({f"commit {row.commit}, {row.date[:10]}, {row.machine}" for row in rows})
    return f"{table(rows)}\n\n`python -m benchmarks`: {'; '.join(origins)}.\n"


def insert(page: str, rows: Sequence[Row]) -> str:
    """Replace what stands between the markers."""
    return PLACE.sub(lambda found: found[1] + text_of(rows) + found[2], page)


def main() -> None:
    """Update the page."""
    rows = newest(RESULTS.read_text(encoding="utf-8").splitlines())
    PAGE.write_text(insert(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
