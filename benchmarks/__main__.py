"""Run every benchmark, keep the rows, print one table and put it into docs/benchmarks.md.

python -m benchmarks [--text en=FILE hi=FILE ...]
"""

import argparse
import sys
from itertools import chain

from benchmarks import (
    distortion,
    hostile_requests,
    hubert,
    kills,
    readme,
    results,
    serving,
    streaming,
    translation,
    units,
    units_on_ray,
    vocoder,
)


def main() -> None:
    """Run them one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", nargs="+", default=[], help=units.TEXT_HELP)
    results.add_option(parser)
    arguments = parser.parse_args()
    speech = units.run(text=arguments.text), units_on_ray.run(text=arguments.text)
    rows = chain(*speech, hubert.run(), translation.run(), vocoder.run(), distortion.run(), kills.run())
    rows = chain(rows, serving.run(), streaming.run(), hostile_requests.run())
    print(results.table(results.kept(rows, arguments.results)))
    if arguments.results == results.RESULTS:
        readme.main()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main()
