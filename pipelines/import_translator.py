"""Make a translation model of fairseq one of ours.

translator:                       # a `transformer`, or BART's kind, as UTUT is
  stage: pipelines.import_translator
  codebook: codebook              # of the units that it translates
  fairseq: checkpoint_best.pt
  dictionary: data-bin/dict.src.txt
  directions: [en-es]
s2ut:                             # an s2ut_transformer, or with kind s2spect an s2spect_transformer
  stage: pipelines.import_translator
  codebook: codebook
  kind: s2ut
  fairseq: checkpoint_best.pt
  data: DATA_ROOT                 # for its auxiliary tasks and language tags
  directions: [es-en]
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.lines import check_local
from s2st.fairseq.s2spect_checkpoints import read_s2spect
from s2st.fairseq.s2ut_checkpoints import read_s2ut
from s2st.fairseq.translators import read_translator
from s2st.models.s2ut import S2utConfig
from s2st.pairing import PairingConfig, parse_directions
from s2st.speech_to_units import units_info
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


@dataclass(frozen=True)
class ImportTranslatorConfig:
    fairseq: str  # checkpoint (.pt), which may lie in a bucket
    kind: Literal["unit_transformer", "s2ut", "s2spect"] = "unit_transformer"
    dictionary: str | None = None  # dict.txt or dict.src.txt of a unit_transformer, in any order: a local file
    data: str | None = None  # folder of fairseq's data for an s2ut, local: without it, auxiliary tasks are left out
    directions: tuple[str, ...] = ()  # such as hi-en; none means every ordered pair of a unit_transformer's languages

    def __post_init__(self) -> None:
        if (self.kind == "unit_transformer") != (self.dictionary is not None):
            raise ValueError("dictionary is for a unit_transformer, which needs it, and for no other kind")
        if self.data is not None and self.kind != "s2ut":
            raise ValueError(f"data is for an s2ut; remove it from a {self.kind}")
        for name in ("dictionary", "data"):
            if getattr(self, name) is not None:
                check_local(getattr(self, name), name)
        PairingConfig(directions=self.directions)  # which checks how they are written


def check(config: ImportTranslatorConfig, step: Step) -> None:
    """Raise UserError if a file is not there."""
    storage.need_file(config.fairseq, f"{step.name}.fairseq")
    if config.dictionary is not None:
        storage.need_file(config.dictionary, f"{step.name}.dictionary")


def run(config: ImportTranslatorConfig, step: Step) -> Counts:
    """Read it, and write it as its trainer does."""
    units, num_units = units_info(step.input("codebook"))
    info: dict[str, Any] = {"source": config.fairseq}
    if config.kind == "s2spect":
        model: Any = read_s2spect(config.fairseq)[0]
        info["directions"] = directions_of((), config.directions, step)
    elif config.kind == "s2ut":
        model, _ = read_s2ut(config.fairseq, None if config.data is None else Path(config.data))
        if model.config.num_units != num_units:
            raise UserError(
                f"section '{step.name}': {config.fairseq} gives {model.config.num_units} units, but the codebook has "
                f"{num_units}; name the codebook of its units"
            )
        directions = directions_of((), config.directions, step)
        check_targets(directions, model.config, step)
        info |= {"units": units, "directions": directions}
    else:
        assert config.dictionary is not None
        model = read_translator(config.fairseq, Dictionary.load(config.dictionary), num_units)
        info |= {"units": units, "directions": directions_of(model.config.languages, config.directions, step)}
    checkpoint.save(step.output, model, info)
    return Counts(0, 1, unit="translators")


def directions_of(languages: tuple[str, ...], given: tuple[str, ...], step: Step) -> list[str]:
    """Say what a model translates; raises UserError if it has no symbols of source languages and none are given."""
    if languages:
        return ["-".join(pair) for pair in parse_directions(given, list(languages))]
    if not given:
        raise UserError(f"section '{step.name}': the model says no languages; name its directions, such as [en-es]")
    return list(given)


def check_targets(directions: list[str], model: S2utConfig, step: Step) -> None:
    """Raise UserError if a model does not translate into the target of a direction."""
    for direction in directions:
        try:
            model.beginning(direction.partition("-")[2])
        except ValueError as error:
            raise UserError(f"section '{step.name}': direction '{direction}': {error}") from None


STAGE = Stage(ImportTranslatorConfig, run, reads={"codebook": Input()}, check=check)

if __name__ == "__main__":
    main("pipelines.import_translator")
