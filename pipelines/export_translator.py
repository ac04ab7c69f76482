"""Write a translation model in the format of fairseq, so that fairseq-generate runs it.

to_fairseq:                       # -> <run>/to_fairseq/model.pt and dict.txt
  stage: pipelines.export_translator
  translator: translator          # a section of trainers.translation or pipelines.import_translator
"""

from dataclasses import dataclass

from s2st import checkpoint
from s2st.config import build
from s2st.fairseq.translator_writer import check_translator, write_translator
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

WRITERS = {"unit_transformer": (check_translator, write_translator)}


@dataclass(frozen=True)
class ExportTranslatorConfig:
    pass


def check_inputs(config: ExportTranslatorConfig, step: Step) -> None:
    """Raise UserError unless the input is a model that fairseq has a form of."""
    folder = step.input("translator")
    found = checkpoint.read_config(folder, *WRITERS)
    check, _ = WRITERS[found["model"]]
    check(build(checkpoint.MODELS[found["model"]][0], found["config"], folder), folder)


def run(config: ExportTranslatorConfig, step: Step) -> Counts:
    """Read the model and write it."""
    folder = step.input("translator")
    _, write = WRITERS[checkpoint.read_config(folder)["model"]]
    write(step.output, checkpoint.load(folder)[0])
    return Counts(0, 1, unit="translators")


STAGE = Stage(ExportTranslatorConfig, run, reads={"translator": Input()}, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.export_translator")
