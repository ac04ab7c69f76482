"""The right translator for a model folder."""

from s2st import checkpoint
from s2st.model_folder import read_model_folder
from s2st.s2ut_translator import S2utTranslator
from s2st.spectrogram_translator import SpectrogramTranslator
from s2st.translator import SpeechTranslator, Translator


def load(folder: str, device: str = "cpu") -> SpeechTranslator:
    """Read the model folder of any kind of translator; raises UserError if it is none, or its parts do not fit."""
    read_model_folder(folder)
    kind = checkpoint.read_config(f"{folder}/translator")["model"]
    if kind == "s2ut":
        return S2utTranslator.load(folder, device)
    if kind in checkpoint.SPECTROGRAM_MODELS:
        return SpectrogramTranslator.load(folder, device)
    return Translator.load(folder, device)
