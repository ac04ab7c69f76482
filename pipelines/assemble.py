"""Put a translator together: speech-to-units, a translator and its vocoders in one folder that stands alone.

Translators that speak spectrograms have no vocoder; the codebook then tells the units of what they said.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.speech_to_units import units_info
from s2st.voice import check_speaks_reduced
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


@dataclass(frozen=True)
class AssembleConfig:
    pass


def check_inputs(config: AssembleConfig, step: Step) -> None:
    """Raise UserError unless all parts were trained on units of the codebook, and one vocoder speaks each language."""
    units, _ = units_info(step.input("codebook"))
    vocoders = vocoder_infos(step)
    translator = checkpoint.read_config(step.input("translator"), *checkpoint.TRANSLATORS)
    speaks = translator["model"] in checkpoint.SPECTROGRAM_MODELS
    if speaks == bool(vocoders):
        reason = "speaks itself; remove the vocoders" if speaks else "gives units; name vocoders that speak them"
        raise UserError(f"section '{step.name}': its translator is a {translator['model']}, which {reason}")
    for folder, info in {step.input("translator"): translator["info"], **vocoders}.items():
        if info.get("units", units) != units:
            raise UserError(
                f"section '{step.name}': {folder} was trained on units {info['units']}, "
                f"but the codebook makes {units}; train it again on units of this codebook"
            )
    for folder in vocoders:
        check_speaks_reduced(folder)
    spoken = Counter(lang for folder in step.input_list("vocoders") for lang in vocoders[folder]["languages"])
    for lang, count in spoken.items():
        if count > 1:
            raise UserError(f"section '{step.name}': two of the vocoders speak '{lang}'; name one")


def run(config: AssembleConfig, step: Step) -> Counts:
    """Copy the parts, and write which of them does what."""
    units, _ = units_info(step.input("codebook"))
    vocoders = vocoder_infos(step)
    parts = {"codebook": step.input("codebook"), "translator": step.input("translator")}
    parts |= {f"vocoders/{name_of(folder)}": folder for folder in vocoders}
    for name, folder in parts.items():
        storage.copy_folder(folder, f"{step.output}/{name}")
    translator = checkpoint.read_config(step.input("translator"))["info"]
    speakers = {lang: name_of(folder) for folder, info in vocoders.items() for lang in info["languages"]}
    model = {"units": units, "directions": translator["directions"], "vocoders": speakers}
    storage.write_json(f"{step.output}/model.json", model)
    return Counts(len(parts), len(parts))


def vocoder_infos(step: Step) -> dict[str, dict[str, Any]]:
    """Read what is known of each vocoder, by its folder."""
    return {folder: checkpoint.vocoder_info(folder) for folder in step.input_list("vocoders")}


def name_of(folder: str) -> str:
    """Name of the section that made a folder."""
    return folder.rpartition("/")[2]


STAGE = Stage(
    AssembleConfig,
    run,
    reads={"codebook": Input(), "translator": Input(), "vocoders": Input(many=True, optional=True)},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.assemble")
