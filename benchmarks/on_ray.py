"""wav to units with the stages ingest, fit_codebook and dump_units on Ray, as a recipe runs them.

python -m benchmarks.on_ray WAVS OUTPUT mfcc|hubert NUM_UNITS [--encoder FOLDER --layer 6]
"""

import json
import shutil
from pathlib import Path

from benchmarks.one_process import argument_parser
from stages.run import run_steps
from stages.stage import MADE_BY, Step

WORKERS = 2


def main() -> None:
    """Run the three steps on a Ray of their own."""
    arguments = argument_parser(__doc__).parse_args()
    folder, features = arguments.output, {"kind": arguments.kind, "layer": arguments.layer}
    inputs = {"manifest": ["manifest"]}
    fit_inputs = dict(inputs)
    if arguments.encoder:
        fit_inputs["encoder"] = ["encoder"]
        shutil.copytree(arguments.encoder, f"{folder}/encoder")
        # without a record it would be no step's output, and steps read nothing else
        Path(folder, "encoder", MADE_BY).write_text(json.dumps({"fingerprint": "random weights", "date": ""}))
    settings = {"features": features, "num_units": arguments.num_units}
    steps = [
        Step("manifest", "pipelines.ingest", folder, {"folder": {"root": arguments.wavs}}, {}),
        Step("codebook", "pipelines.fit_codebook", folder, settings, fit_inputs),
        Step("units", "pipelines.dump_units", folder, {}, {**inputs, "codebook": ["codebook"]}),
    ]
    run_steps(steps, WORKERS)


if __name__ == "__main__":
    main()
