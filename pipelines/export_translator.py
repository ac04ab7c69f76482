"""Write a translation model in the format of fairseq, so that fairseq-generate runs it.

to_fairseq:                       # -> <run>/to_fairseq/model.pt, and what fairseq reads beside it: dict.txt, ...
  stage: pipelines.export_translator
  translator: translator          # a section of pipelines.import_translator, trainers.translation, speech_to_units, ...
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from s2st import checkpoint
from s2st.config import UserError, build
from s2st.fairseq.s2spect_checkpoints import write_s2spect
from s2st.fairseq.s2ut_checkpoints import check_s2ut, write_s2ut
from s2st.fairseq.speech_config import CONFIG, s2spect_config, s2ut_config, write_config
from s2st.fairseq.translator_writer import check_translator, write_translator
from s2st.models.s2spect import S2Spect
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

MODEL = "model.pt"
AUDIO_ROOT = "."  # of config.yaml: where its tables look for recordings


@dataclass(frozen=True)
class ExportTranslatorConfig:
    pass


def check_inputs(config: ExportTranslatorConfig, step: Step) -> None:
    """Raise UserError unless the input is a model that fairseq has a form of."""
    folder = step.input("translator")
    found = checkpoint.read_config(folder, "unit_transformer", "s2ut", "s2spect")
    if found["model"] == "unit_transformer":
        check_translator(build(UnitTransformerConfig, found["config"], folder), folder)
    elif "://" in step.output:
        raise UserError(f"section '{step.name}': fairseq reads files beside a {found['model']}; use a local run folder")
    elif found["model"] == "s2ut":
        check_s2ut(build(S2utConfig, found["config"], folder), folder)


def run(_: ExportTranslatorConfig, step: Step) -> Counts:
    """Read the model and write it."""
    model, _ = checkpoint.load(step.input("translator"))
    if isinstance(model, S2ut):
        config = dataclasses.replace(s2ut_config(AUDIO_ROOT), language_first=bool(model.config.languages))
        write_config(Path(step.output) / CONFIG, config)
        write_s2ut(f"{step.output}/{MODEL}", model, Path(step.output))
    elif isinstance(model, S2Spect):
        write_config(Path(step.output) / CONFIG, s2spect_config(AUDIO_ROOT))
        write_s2spect(f"{step.output}/{MODEL}", model)
    else:
        assert isinstance(model, UnitTransformer)
        write_translator(step.output, model)
    return Counts(0, 1, unit="translators")


STAGE = Stage(ExportTranslatorConfig, run, reads={"translator": Input()}, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.export_translator")
