"""The right translator for a model folder."""

from typing import Any

from s2st import checkpoint
from s2st.baselines.cascade import CascadeTranslator
from s2st.baselines.hosted import HostedTranslator
from s2st.config import UserError, unknown
from s2st.model_folder import read_model_folder
from s2st.s2ut_translator import S2utTranslator
from s2st.spectrogram_translator import SpectrogramTranslator
from s2st.translator import SpeechTranslator, Translator

BASELINES: dict[str, type[CascadeTranslator] | type[HostedTranslator]] = {
    "cascade": CascadeTranslator,
    "hosted": HostedTranslator,
}


def load(folder: str, device: str = "cpu") -> SpeechTranslator:
    """Read the model folder of any kind of translator; raises UserError if it is none, or its parts do not fit."""
    kind = describe(folder)["model"]
    if kind in BASELINES:
        return BASELINES[kind].load(folder, device)
    if kind == "s2ut":
        return S2utTranslator.load(folder, device)
    if kind in checkpoint.SPECTROGRAM_MODELS:
        return SpectrogramTranslator.load(folder, device)
    return Translator.load(folder, device)


def describe(folder: str) -> dict[str, Any]:
    """Tell what translates in a model folder, without its weights: {"model": kind}, and of a model that was trained
    all that its checkpoint tells. Raises UserError if the folder is none.
    """
    kind = read_model_folder(folder).get("kind")
    if kind is None:
        return checkpoint.read_config(f"{folder}/translator", *checkpoint.TRANSLATORS)
    if kind not in BASELINES:
        raise UserError(f"{folder}/model.json: {unknown('kind', kind, BASELINES)}")
    return {"model": kind}
