"""Run every benchmark, keep the rows and print one table: python -m benchmarks."""

import sys

from benchmarks import kmeans, results, wav_to_units

BENCHMARKS = (wav_to_units.run, kmeans.run)


def main() -> None:
    """Run them one after the other."""
    print(results.table(results.kept(entry for benchmark in BENCHMARKS for entry in benchmark())))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
