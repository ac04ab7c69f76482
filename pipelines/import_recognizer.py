"""Make a recogniser that a Python package carries a judge: Moonshine's, for English."""

from dataclasses import dataclass
from typing import Literal

from s2st import storage
from s2st.interop import moonshine
from s2st.recognizers import PACKAGE_FILE
from stages.run import main
from stages.stage import Counts, Stage, Step


@dataclass(frozen=True)
class ImportRecognizerConfig:
    # It hears English. Every machine that judges needs it: pip install moonshine-voice==0.0.65
    package: Literal["moonshine-voice"]


def check(config: ImportRecognizerConfig, step: Step) -> None:
    """Raise UserError unless the package is there."""
    moonshine.need_package()


def run(config: ImportRecognizerConfig, step: Step) -> Counts:
    """Write which package it is."""
    storage.write_json(f"{step.output}/{PACKAGE_FILE}", {"package": config.package})
    return Counts(0, 1, unit="recognizers")


STAGE = Stage(ImportRecognizerConfig, run, reads={}, check=check)

if __name__ == "__main__":
    main("pipelines.import_recognizer")
