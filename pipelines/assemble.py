"""Put a translator together: speech-to-units, unit Transformer and vocoders in one folder that stands alone."""

from dataclasses import dataclass

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.speech_to_units import units_info
from stages.run import main
from stages.stage import Counts, Input, Stage, Step


@dataclass(frozen=True)
class AssembleConfig:
    pass


def run(config: AssembleConfig, step: Step) -> Counts:
    """Copy the parts, after a check that all were trained on the same units."""
    units, _ = units_info(step.input("codebook"))
    parts = {"codebook": step.input("codebook"), "translator": step.input("translator")}
    languages: dict[str, str] = {}
    for folder in step.input_list("vocoders"):
        info = checkpoint.read_config(folder, *checkpoint.VOCODERS)["info"]
        for lang in info["languages"]:
            if lang in languages:
                raise UserError(f"section '{step.name}': two of the vocoders speak '{lang}'; name one")
            languages[lang] = folder.rpartition("/")[2]
        parts[f"vocoders/{folder.rpartition('/')[2]}"] = folder
    for name, folder in parts.items():
        trained_on = units if name == "codebook" else checkpoint.read_config(folder)["info"]["units"]
        if trained_on != units:
            raise UserError(
                f"section '{step.name}': {folder} was trained on units {trained_on}, "
                f"but the codebook makes {units}; train it again on units of this codebook"
            )
        storage.copy_folder(folder, f"{step.output}/{name}")
    translator = checkpoint.read_config(step.input("translator"), "unit_transformer")
    storage.write_json(
        f"{step.output}/model.json",
        {"units": units, "directions": translator["info"]["directions"], "vocoders": languages},
    )
    return Counts(len(parts), len(parts))


STAGE = Stage(
    AssembleConfig,
    run,
    reads={"codebook": Input(), "translator": Input(), "vocoders": Input(many=True)},
)

if __name__ == "__main__":
    main("pipelines.assemble")
