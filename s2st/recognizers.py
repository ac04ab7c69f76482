"""What hears each language: the right recogniser for a folder."""

from collections.abc import Sequence
from typing import Any

import torch

from s2st import audio, checkpoint, storage
from s2st.config import UserError, build
from s2st.interop import moonshine, speech_models
from s2st.interop.speech_models import SpeechModelConfig, load_speech_model
from s2st.speech_to_symbols import SpeechToSymbols

PACKAGE_FILE = "package.json"  # in the folder of a recogniser that is a Python package: {"package": name}
SPEECH_MODEL_FILE = "speech_model.json"  # in that of one of transformers: {"model": SpeechModelConfig, "version": ...}


def languages_of(folder: str) -> list[str]:
    """Give the languages that a recogniser hears; raises UserError if it hears units, or does not say what."""
    if storage.is_file(f"{folder}/{PACKAGE_FILE}"):
        return [moonshine.LANGUAGE]
    if storage.is_file(f"{folder}/{SPEECH_MODEL_FILE}"):
        return list(_speech_model(folder).languages)
    config = checkpoint.read_config(folder, "recognizer", "hubert_ctc")
    if config["model"] == "recognizer":
        return [config["info"]["lang"]]
    if config["info"].get("labels") == "units":
        raise UserError(f"{folder} hears units and not letters; name one that was trained on transcripts")
    if not config["info"].get("languages"):
        raise UserError(f"{folder}/config.json does not say which languages it hears; write info.languages there")
    return config["info"]["languages"]


def version_of(folder: str) -> str:
    """Name a recogniser and its exact version or weights, as signatures of scores do."""
    if storage.is_file(f"{folder}/{PACKAGE_FILE}"):
        return moonshine.VERSION
    if storage.is_file(f"{folder}/{SPEECH_MODEL_FILE}"):
        return storage.read_json(f"{folder}/{SPEECH_MODEL_FILE}")["version"]
    model, _ = checkpoint.load(folder, "recognizer", "hubert_ctc")
    return f"{checkpoint.read_config(folder)['model']}@{checkpoint.fingerprint(model)}"


def load(folder: str, device: str = "cpu") -> dict[str, Any]:
    """Read a recogniser of any kind: what has transcribe(waveforms) -> texts, by each language that it hears."""
    if storage.is_file(f"{folder}/{PACKAGE_FILE}"):
        return {moonshine.LANGUAGE: moonshine.Moonshine()}
    if storage.is_file(f"{folder}/{SPEECH_MODEL_FILE}"):
        return load_speech_model(_speech_model(folder), device)
    if checkpoint.read_config(folder)["model"] == "hubert_ctc":
        return dict.fromkeys(languages_of(folder), SpeechToSymbols.load(folder, device))
    return dict.fromkeys(languages_of(folder), checkpoint.load(folder, "recognizer")[0].to(device))


def find(name: str, lang: str, device: str = "cpu") -> tuple[Any, str]:
    """Read what hears a language, and its version, by name.

    That is a folder as for `load`, "moonshine-voice", or else a model of transformers: a folder, or a repository of the
    hub. Raises UserError if it does not hear the language.
    """
    known = any(storage.is_file(f"{name}/{file}") for file in (PACKAGE_FILE, SPEECH_MODEL_FILE, checkpoint.WEIGHTS))
    if not known and name != moonshine.PACKAGE:
        model = SpeechModelConfig(name, (lang,))
        return load_speech_model(model, device)[lang], speech_models.version_of(model)
    by_language = load(name, device) if known else {moonshine.LANGUAGE: moonshine.Moonshine()}
    if lang not in by_language:
        raise UserError(f"{name} hears {', '.join(by_language)} and not '{lang}'; name another recognizer")
    return by_language[lang], version_of(name) if known else moonshine.VERSION


def _speech_model(folder: str) -> SpeechModelConfig:
    file = f"{folder}/{SPEECH_MODEL_FILE}"
    return build(SpeechModelConfig, storage.read_json(file)["model"], file)


class Recognizers:
    """One recogniser for each language, on the GPU where the process has one."""

    def __init__(self, folders: Sequence[str]):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.by_language: dict[str, Any] = {}
        for folder in folders:
            self.by_language.update(load(folder, device))

    def transcribe(self, lang: str, sounds: Sequence[bytes]) -> list[str]:
        """Give what is heard in each sound; one that is silent, or no speech, is heard as nothing."""
        waveforms = {}
        for place, sound in enumerate(sounds):
            try:
                waveforms[place] = audio.decode(sound)
            except audio.AudioError:
                continue
        heard = self.by_language[lang].transcribe(list(waveforms.values())) if waveforms else []
        texts = dict(zip(waveforms, heard, strict=True))
        return [texts.get(place, "") for place in range(len(sounds))]
