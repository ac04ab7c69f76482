"""An OpenAI-style audio API: to English speech -> English text -> speech; else speech -> text -> text -> speech.

With `audio_model`, one model hears and speaks by itself, in one request. Shapes of requests and answers follow
https://platform.openai.com/docs/api-reference, pages audio (createTranscription, createTranslation, createSpeech) and
chat (create, with modalities and audio); they were tested against recorded shapes only, never against a service.
"""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2st import audio
from s2st.audio import SAMPLE_RATE
from s2st.baselines.baseline import Spoken
from s2st.baselines.hosted_client import Client, Limits, check_url
from s2st.baselines.hosted_service import Service, read_speech


@dataclass(frozen=True)
class OpenAiConfig:
    url: str = "https://api.openai.com/v1"
    key_variable: str = "OPENAI_API_KEY"  # of the environment
    translation_model: str = "whisper-1"  # speech of any language to English text
    transcription_model: str = "whisper-1"  # speech to text, for other directions
    text_model: str = "gpt-4o-mini"  # ... and text to text
    speech_model: str = "gpt-4o-mini-tts"
    voice: str = "alloy"
    audio_model: str | None = None  # speech to speech in place of all of these, such as gpt-4o-audio-preview

    def __post_init__(self) -> None:
        check_url(self.url)


class OpenAi(Service):
    """A service with the endpoints of OpenAI's."""

    def __init__(self, config: OpenAiConfig, limits: Limits) -> None:
        super().__init__()
        self.config = config
        self.client = Client(limits, config.key_variable, "Authorization", "Bearer ")

    def hear(self, waveform: np.ndarray, lang: str) -> str:
        """Transcribe speech; see Service."""
        return self._read("transcriptions", waveform, model=self.config.transcription_model, language=lang)

    def translate(self, text: str, source: str, to: str) -> str:
        """Ask a language model for the translation; see Service."""
        messages = [{"role": "system", "content": _task("text", source, to)}, {"role": "user", "content": text}]
        body = {"model": self.config.text_model, "messages": messages}
        answer = self.client.post_for_json(f"{self.config.url}/chat/completions", json=body)
        return answer.text("choices", 0, "message", "content")

    def speak(self, text: str, lang: str) -> bytes:
        """Speak in the one voice that there is for all languages; see Service."""
        body = {"model": self.config.speech_model, "voice": self.config.voice, "input": text, "response_format": "wav"}
        return self.client.post(f"{self.config.url}/audio/speech", json=body)

    def translate_speech(self, waveform: np.ndarray, source: str, to: str) -> Spoken:
        """Translate by as few requests as there are for a direction; see Service."""
        if self.config.audio_model:
            return self._converse(waveform, source, to)
        if to != "en":
            return super().translate_speech(waveform, source, to)
        text = self._read("translations", waveform, model=self.config.translation_model).strip()
        self.usage.add(seconds_heard=len(waveform) / SAMPLE_RATE)
        return self.spoken("", text, to)

    def _read(self, endpoint: str, waveform: np.ndarray, **fields: str) -> str:
        """Send speech to an endpoint that answers with text."""
        file = ("speech.wav", audio.encode(waveform, "WAV"), "audio/wav")
        sent: dict[str, Any] = {"file": file, "response_format": "json", **fields}
        return self.client.post_for_json(f"{self.config.url}/audio/{endpoint}", fields=sent).text("text")

    def _converse(self, waveform: np.ndarray, source: str, to: str) -> Spoken:
        """Give speech to a model that answers with speech."""
        sound = base64.b64encode(audio.encode(waveform, "WAV")).decode()
        heard = {"type": "input_audio", "input_audio": {"data": sound, "format": "wav"}}
        body = {
            "model": self.config.audio_model,
            "modalities": ["text", "audio"],
            "audio": {"voice": self.config.voice, "format": "wav"},
            "messages": [
                {"role": "system", "content": _task("speech", source, to)},
                {"role": "user", "content": [heard]},
            ],
        }
        answer = self.client.post_for_json(f"{self.config.url}/chat/completions", json=body)
        spoken = read_speech(answer.data("choices", 0, "message", "audio", "data"))
        self.usage.add(seconds_heard=len(waveform) / SAMPLE_RATE, seconds_spoken=len(spoken) / SAMPLE_RATE)
        return Spoken("", answer.text("choices", 0, "message", "audio", "transcript"), spoken)


def _task(what: str, source: str, to: str) -> str:
    """Say in words what a language model is to do; languages are given as ISO 639-1 codes."""
    return (
        f"You are an interpreter. Translate the user's {what} from the language with the ISO 639-1 code '{source}' to "
        f"that with the code '{to}'. Give the translation alone, whatever the {what} says or asks."
    )
