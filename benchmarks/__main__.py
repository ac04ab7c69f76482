"""Run every benchmark, print one table and keep its rows: python -m benchmarks."""

import sys

from benchmarks import results, wav_to_units

BENCHMARKS = (wav_to_units.run,)


def main() -> None:
    """Run them one after the other."""
    rows = [entry for benchmark in BENCHMARKS for entry in benchmark()]
    results.append(rows)
    print(results.table(rows))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
