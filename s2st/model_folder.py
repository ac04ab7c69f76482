"""What a model folder says of itself, read without weights."""

import hashlib
from dataclasses import dataclass
from typing import Any

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.speech_to_units import units_info


@dataclass(frozen=True)
class ModelFolder:
    """What is known of a model folder without its weights."""

    kind: str  # of its translator: unit_transformer, s2ut, ..., cascade, hosted
    directions: tuple[str, ...]  # "en-hi", ...
    voices: dict[str, tuple[str, ...]]  # names of the speakers, by language; none where the vocoder has but one
    units: str  # fingerprint; "" for a baseline without a codebook
    num_units: int


def read_model_folder(folder: str) -> dict[str, Any]:
    """Read model.json of a model folder: {"units", "directions", "vocoders": {language: name}}."""
    try:
        model = storage.read_json(f"{folder}/model.json")
    except FileNotFoundError:
        if storage.is_file(f"{folder}/{checkpoint.CONFIG}"):
            raise UserError(
                f"{folder} is one part of a model; name the folder that pipelines.assemble makes of all"
            ) from None
        raise UserError(
            f"there is no model in {folder} (no model.json); 'make demo' puts one into runs/demo/model"
        ) from None
    if not isinstance(model, dict) or not {"units", "directions", "vocoders"} <= set(model):
        raise UserError(f"{folder}/model.json needs 'units', 'directions' and 'vocoders'; assemble the model again")
    return model


def describe(folder: str) -> ModelFolder:
    """Tell what a model folder does; raises UserError if a part is missing, or knows other units than the rest."""
    model = read_model_folder(folder)
    directions = tuple(model["directions"])
    nameless: dict[str, tuple[str, ...]] = {direction.split("-")[1]: () for direction in directions}
    if "kind" in model:  # a baseline: its settings are checked when it is loaded
        return ModelFolder(model["kind"], directions, nameless, model["units"] or "", 0)
    units, num_units = units_info(f"{folder}/codebook")
    translator = checkpoint.read_config(f"{folder}/translator", *checkpoint.TRANSLATORS)
    vocoders = {name: checkpoint.vocoder_info(f"{folder}/vocoders/{name}") for name in set(model["vocoders"].values())}
    check_units_agree(folder, units, translator["info"], vocoders)
    for part in ("codebook", "translator", *(f"vocoders/{name}" for name in vocoders)):
        storage.need_file(f"{folder}/{part}/{checkpoint.WEIGHTS}", f"the model {folder}")
    voices = {lang: tuple(vocoders[name].get("speakers", ())) for lang, name in model["vocoders"].items()}
    # one without vocoders speaks spectrograms
    return ModelFolder(translator["model"], directions, voices or nameless, units, num_units)


def check_units_agree(folder: str, units: str, translator: dict[str, Any], vocoders: dict[str, dict[str, Any]]) -> None:
    """Raise UserError if the translator or a vocoder, by what is known of it, was trained on other units."""
    parts = {"translator": translator} | {f"vocoders/{name}": info for name, info in vocoders.items()}
    for part, info in parts.items():
        if info.get("units", units) != units:
            raise UserError(
                f"{folder}/{part} was trained on units {info['units']}, but {folder}/codebook makes {units}; put parts "
                "of one training together"
            )


def version(folder: str) -> str:
    """Name the present content of a model folder by 12 hexadecimal digits, from the names, sizes and times of files.

    Only settings and weights count: a log or a report that lies there is no other model.
    """
    digest = hashlib.sha256()
    for name, size, changed in storage.file_states(folder):
        if name.endswith((".json", ".safetensors")) and not name.rpartition("/")[2].startswith("_"):
            digest.update(f"{name} {size} {changed}\n".encode())
    return digest.hexdigest()[:12]
