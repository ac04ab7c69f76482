"""Recognisers of transformers, from a folder or the hub: Whisper, and models that were fine-tuned by CTC."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2st.config import UserError
from s2st.interop.ctc import load_ctc
from s2st.interop.pretrained import read_pretrained
from s2st.interop.whisper import WhisperConfig, load_whisper


@dataclass(frozen=True)
class SpeechModelConfig:
    model: str  # a local folder, or a repository of the hub such as openai/whisper-large-v2
    languages: tuple[str, ...]  # that it is to hear
    revision: str | None = None  # of the repository
    batch_size: int = 8  # recordings, or parts of them, heard at once

    def __post_init__(self) -> None:
        if not self.languages:
            raise ValueError(f"languages must say what {self.model} is to hear, such as [en]")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")


def load_speech_model(config: SpeechModelConfig, device: str) -> dict[str, Any]:
    """Read a recogniser for each language, greedy; raises UserError for a model that cannot be read or hears others."""
    check_speech_model(config)
    if _is_whisper(config):
        whisper = WhisperConfig(config.model, config.revision, batch_size=config.batch_size)
        return dict(load_whisper(whisper, config.languages, device))
    return dict.fromkeys(config.languages, load_ctc(config.model, config.revision, config.batch_size, device))


def check_speech_model(config: SpeechModelConfig) -> None:
    """Raise UserError if there is no such model, or its description is not of a recogniser; weights are not read."""
    architectures = _described(config).architectures or ()
    if not _is_whisper(config) and not any(name.endswith("ForCTC") for name in architectures):
        raise UserError(f"{config.model} is neither a Whisper nor a model with CTC; name another")


def commit_of(config: SpeechModelConfig) -> str | None:
    """Give the commit of the hub's repository that is read; None for a local folder."""
    return None if Path(config.model).is_dir() else _described(config)._commit_hash


def version_of(config: SpeechModelConfig) -> str:
    """Name the model and its exact weights, as signatures do: NAME@COMMIT of the hub, FOLDER@HASH of a local one."""
    if commit := commit_of(config):
        return f"{config.model}@{commit}"
    files = sorted(Path(config.model).glob("*.safetensors"))
    if not files:
        raise UserError(f"{config.model} has no safetensors; save the model again, as save_pretrained does")
    return f"{Path(config.model).resolve().name}@{_hash(files)}"


def _is_whisper(config: SpeechModelConfig) -> bool:
    return _described(config).model_type == "whisper"


def _described(config: SpeechModelConfig) -> Any:
    return read_pretrained("AutoConfig", config.model, config.revision)


def _hash(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
