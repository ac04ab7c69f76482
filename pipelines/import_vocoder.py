"""Make a unit vocoder of fairseq or speech-resynthesis one of ours.

vocoder_en:                       # unit HiFi-GAN, as of trainers.vocoder
  stage: pipelines.import_vocoder
  codebook: codebook              # of the units that it speaks
  fairseq: unit_hifigan/g_00500000
  languages: [en]
"""

from dataclasses import dataclass

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.fairseq.vocoders import config_beside, read_settings, read_vocoder
from s2st.speech_to_units import spoken_units_info
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


@dataclass(frozen=True)
class ImportVocoderConfig:
    fairseq: str  # weights of its generator, which may lie in a bucket
    languages: tuple[str, ...]  # that its units are of, such as [en]: no file tells
    config: str | None = None  # its settings; none means config.json beside the weights
    speaker: int | None = None  # number, from 0, of the one that is to speak, where it has several

    def __post_init__(self) -> None:
        if not self.languages or len(set(self.languages)) != len(self.languages):
            raise ValueError("languages must name each language that the vocoder speaks once, such as [en]")

    @property
    def config_address(self) -> str:
        return self.config or config_beside(self.fairseq)


def check(config: ImportVocoderConfig, step: Step) -> None:
    """Raise UserError if a file is not there, its settings are of no model here, or it is not said who speaks."""
    storage.need_file(config.fairseq, f"{step.name}.fairseq")
    storage.need_file(config.config_address, f"{step.name}.config")
    count = read_settings(config.config_address).num_speakers
    if not count and config.speaker is not None:
        raise UserError(f"section '{step.name}': the vocoder has one voice; remove speaker")
    if count and (config.speaker is None or not 0 <= config.speaker < count):
        raise UserError(f"section '{step.name}': the vocoder has {count} voices; give speaker a number below {count}")


def check_inputs(config: ImportVocoderConfig, step: Step) -> None:
    """Raise UserError unless the vocoder speaks as many units as the codebook makes."""
    _, num_units = spoken_units_info(step.input("codebook"), step.name)
    found = read_settings(config.config_address).num_units
    if found != num_units:
        raise UserError(
            f"section '{step.name}': {config.fairseq} speaks {found} units, but the codebook has {num_units}; name "
            "the codebook of its units"
        )


def run(config: ImportVocoderConfig, step: Step) -> Counts:
    """Read it, and write it as its trainer does."""
    units, _ = spoken_units_info(step.input("codebook"), step.name)
    vocoder, speakers = read_vocoder(config.fairseq, config.config_address)
    chosen = {} if config.speaker is None else dict.fromkeys(config.languages, speakers[config.speaker])
    info = {
        "source": config.fairseq,
        "units": units,
        "speakers": speakers,
        "languages": list(config.languages),
        "default_speakers": chosen,
    }
    checkpoint.save(step.output, vocoder, info)
    return Counts(0, 1, unit="vocoders")


STAGE = Stage(ImportVocoderConfig, run, reads={"codebook": Input()}, check=check, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.import_vocoder")
