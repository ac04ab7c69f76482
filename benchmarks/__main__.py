"""Run every benchmark, keep the rows and print one table: python -m benchmarks."""

import sys

from benchmarks import results, units, units_on_ray

BENCHMARKS = (units.run, units_on_ray.run)


def main() -> None:
    """Run them one after the other."""
    print(results.table(results.kept(entry for benchmark in BENCHMARKS for entry in benchmark())))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
