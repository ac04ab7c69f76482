"""The models of a server: what each does, and the name of its present version."""

from collections.abc import Mapping
from dataclasses import dataclass

from s2st import model_folder
from s2st.config import UserError, unknown
from s2st.translator import pick_source


@dataclass(frozen=True)
class Model:
    """A model folder as the server knows it."""

    name: str
    version: str  # as `version_of` gives it
    about: model_folder.ModelFolder

    @property
    def in_parts(self) -> bool:
        """Tell whether encoder, translator and vocoder are asked one after another; others translate as a whole."""
        return self.about.kind == "unit_transformer"

    @property
    def voices(self) -> dict[str, tuple[str, ...]]:
        """Names of the speakers that can be asked for, by language."""
        return self.about.voices if self.in_parts else dict.fromkeys(self.about.voices, ())


def version_of(folder: str) -> str:
    """Name a folder and what lies in it now: once its files change, it has another version."""
    return f"{model_folder.version(folder)}:{folder}"


def folder_of(version: str) -> str:
    """Give the folder of a version; raises UserError if its files have changed since."""
    folder = version.partition(":")[2]
    if version_of(folder) != version:
        raise UserError(f"{folder} has changed since the server read it; deploy it again")
    return folder


def read_models(folders: Mapping[str, str]) -> dict[str, Model]:
    """Look at model folders by name; raises UserError if one is missing, half-written, or its parts do not fit."""
    return {name: Model(name, version_of(folder), model_folder.describe(folder)) for name, folder in folders.items()}


def pick_model(models: Mapping[str, Model], to: str, source: str | None, name: str | None) -> tuple[Model, str]:
    """Give the model of that name, or the first that knows the direction, and the language that is spoken.

    Raises UserError if there is none, or `source` is needed.
    """
    if name is not None and name not in models:
        raise UserError(unknown("model", name, models))
    told = None
    for model in [models[name]] if name is not None else models.values():
        try:
            return model, pick_source(model.about.directions, set(model.about.voices), to, source)
        except UserError as error:
            told = told or error
    assert told is not None
    raise told


def check_voice(model: Model, to: str, voice: str | None) -> None:
    """Raise UserError for a speaker that a model does not have in a language."""
    known = model.voices[to]
    if voice is not None and voice not in known:
        has = ", ".join(known) or "one, without a name"
        raise UserError(f"model '{model.name}' has no voice '{voice}' for '{to}'; it has {has}")
