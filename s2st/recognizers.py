"""What hears each language: the right recogniser for a folder."""

from collections.abc import Sequence
from typing import Any

from s2st import audio, checkpoint, storage
from s2st.config import UserError
from s2st.interop import moonshine
from s2st.speech_to_symbols import SpeechToSymbols

PACKAGE_FILE = "package.json"  # in the folder of a recogniser that is a Python package: {"package": name}


def languages_of(folder: str) -> list[str]:
    """Give the languages that a recogniser hears; raises UserError if it hears units, or does not say what."""
    if storage.is_file(f"{folder}/{PACKAGE_FILE}"):
        return [moonshine.LANGUAGE]
    config = checkpoint.read_config(folder, "recognizer", "hubert_ctc")
    if config["model"] == "recognizer":
        return [config["info"]["lang"]]
    if config["info"].get("labels") == "units":
        raise UserError(f"{folder} hears units and not letters; name one that was trained on transcripts")
    if not config["info"].get("languages"):
        raise UserError(f"{folder}/config.json does not say which languages it hears; write info.languages there")
    return config["info"]["languages"]


def load(folder: str) -> Any:
    """Read a recogniser of any kind: what has transcribe(waveforms) -> texts."""
    if storage.is_file(f"{folder}/{PACKAGE_FILE}"):
        return moonshine.Moonshine()
    if checkpoint.read_config(folder)["model"] == "hubert_ctc":
        return SpeechToSymbols.load(folder)
    return checkpoint.load(folder, "recognizer")[0]


class Recognizers:
    """One recogniser for each language."""

    def __init__(self, folders: Sequence[str]):
        self.by_language: dict[str, Any] = {}
        for folder in folders:
            self.by_language.update(dict.fromkeys(languages_of(folder), load(folder)))

    def transcribe(self, lang: str, sounds: Sequence[bytes]) -> list[str]:
        """Give what is heard in each sound; a sound that is no speech is heard as nothing."""
        texts = [""] * len(sounds)
        waveforms = {}
        for place, sound in enumerate(sounds):
            try:
                waveforms[place] = audio.decode(sound)
            except audio.AudioError:
                continue
        heard = self.by_language[lang].transcribe(list(waveforms.values())) if waveforms else []
        for place, text in zip(waveforms, heard, strict=True):
            texts[place] = text
        return texts
