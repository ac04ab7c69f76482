"""Make a translation model from elsewhere one of ours: fairseq's `transformer`, or BART's kind, as UTUT is.

translator:
  stage: pipelines.import_translator
  codebook: codebook              # of the units that it translates
  fairseq: checkpoint_best.pt
  dictionary: data-bin/dict.src.txt
  directions: [en-es]
"""

from dataclasses import dataclass

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.lines import check_local
from s2st.fairseq.translators import read_translator
from s2st.pairing import PairingConfig, parse_directions
from s2st.speech_to_units import units_info
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


@dataclass(frozen=True)
class ImportTranslatorConfig:
    fairseq: str  # checkpoint (.pt), which may lie in a bucket
    dictionary: str  # dict.txt or dict.src.txt that it was trained with, in any order of units: a local file
    directions: tuple[str, ...] = ()  # such as hi-en; none means every ordered pair of the model's languages

    def __post_init__(self) -> None:
        check_local(self.dictionary, "dictionary")
        PairingConfig(directions=self.directions)  # which checks how they are written


def check(config: ImportTranslatorConfig, step: Step) -> None:
    """Raise UserError if a file is not there."""
    storage.need_file(config.fairseq, f"{step.name}.fairseq")
    storage.need_file(config.dictionary, f"{step.name}.dictionary")


def run(config: ImportTranslatorConfig, step: Step) -> Counts:
    """Read it, and write it as trainers.translation does."""
    units, num_units = units_info(step.input("codebook"))
    model = read_translator(config.fairseq, Dictionary.load(config.dictionary), num_units)
    directions = directions_of(model.config.languages, config.directions, step)
    checkpoint.save(step.output, model, {"units": units, "directions": directions, "source": config.fairseq})
    return Counts(0, 1, unit="translators")


def directions_of(languages: tuple[str, ...], given: tuple[str, ...], step: Step) -> list[str]:
    """Say what a model translates; raises UserError if it has no symbols of languages and none are given."""
    if languages:
        return ["-".join(pair) for pair in parse_directions(given, list(languages))]
    if not given:
        raise UserError(f"section '{step.name}': the model says no languages; name its directions, such as [en-es]")
    return list(given)


STAGE = Stage(ImportTranslatorConfig, run, reads={"codebook": Input()}, check=check)

if __name__ == "__main__":
    main("pipelines.import_translator")
