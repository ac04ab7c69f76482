"""Write a unit HiFi-GAN in the format of fairseq, so that generate_waveform_from_code speaks with it.

to_fairseq:                       # -> <run>/to_fairseq/g_00000000 and config.json
  stage: pipelines.export_vocoder
  vocoder: vocoder_en             # a section of trainers.vocoder, with hifigan, or pipelines.import_vocoder
"""

from dataclasses import dataclass

from s2st import checkpoint
from s2st.config import build
from s2st.fairseq.vocoder_writer import check_vocoder, write_vocoder
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

KIND = "unit_hifigan"


@dataclass(frozen=True)
class ExportVocoderConfig:
    pass


def check_inputs(_: ExportVocoderConfig, step: Step) -> None:
    """Raise UserError unless the input is a vocoder that fairseq has a form of."""
    folder = step.input("vocoder")
    found = checkpoint.read_config(folder, KIND)
    check_vocoder(build(UnitHifiganConfig, found["config"], folder), folder)


def run(_: ExportVocoderConfig, step: Step) -> Counts:
    """Read the vocoder and write it."""
    vocoder, info = checkpoint.load(step.input("vocoder"), KIND)
    assert isinstance(vocoder, UnitHifigan)
    write_vocoder(step.output, vocoder, info["speakers"])
    return Counts(0, 1, unit="vocoders")


STAGE = Stage(ExportVocoderConfig, run, reads={"vocoder": Input()}, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.export_vocoder")
