"""A Google-style service: speech:recognize, translate, text:synthesize.

Shapes of requests and answers follow these pages below https://cloud.google.com; they were tested against recorded
shapes only, never against a service: speech-to-text/docs/reference/rest/v1/speech/recognize,
translate/docs/reference/rest/v2/translate, text-to-speech/docs/reference/rest/v1/text/synthesize.
"""

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from s2st import audio
from s2st.audio import SAMPLE_RATE
from s2st.baselines.hosted_client import Client, Limits, check_url
from s2st.baselines.hosted_service import Service


@dataclass(frozen=True)
class GoogleConfig:
    key_variable: str = "GOOGLE_API_KEY"  # of the environment
    locales: dict[str, str] = field(default_factory=dict)  # of a language where speech is meant, such as hi: hi-IN
    voices: dict[str, str] = field(default_factory=dict)  # by language, such as hi: hi-IN-Standard-A; none: its choice
    recognition_url: str = "https://speech.googleapis.com"
    translation_url: str = "https://translation.googleapis.com"
    speech_url: str = "https://texttospeech.googleapis.com"

    def __post_init__(self) -> None:
        for url in (self.recognition_url, self.translation_url, self.speech_url):
            check_url(url)


class Google(Service):
    """A service with the endpoints of Google Cloud's, by an API key."""

    def __init__(self, config: GoogleConfig, limits: Limits) -> None:
        super().__init__()
        self.config = config
        self.client = Client(limits, config.key_variable, "X-Goog-Api-Key")

    def hear(self, waveform: np.ndarray, lang: str) -> str:
        """Recognise speech, which comes back in parts, of silence in none; see Service."""
        body = {
            "config": {
                "encoding": "LINEAR16",
                "sampleRateHertz": SAMPLE_RATE,
                "languageCode": self._locale(lang),
                "enableAutomaticPunctuation": True,
            },
            "audio": {"content": base64.b64encode(audio.encode(waveform, "WAV")).decode()},
        }
        answer = self.client.post_for_json(f"{self.config.recognition_url}/v1/speech:recognize", json=body)
        results = answer.value.get("results", []) if isinstance(answer.value, dict) else []
        parts = [answer.text("results", place, "alternatives", 0, "transcript") for place in range(len(results))]
        return " ".join(part.strip() for part in parts)

    def translate(self, text: str, source: str, to: str) -> str:
        """Translate text; see Service."""
        body = {"q": [text], "source": source, "target": to, "format": "text"}
        answer = self.client.post_for_json(f"{self.config.translation_url}/language/translate/v2", json=body)
        return answer.text("data", "translations", 0, "translatedText")

    def speak(self, text: str, lang: str) -> bytes:
        """Speak text; see Service."""
        voice = {"languageCode": self._locale(lang)}
        if lang in self.config.voices:
            voice["name"] = self.config.voices[lang]
        sound: dict[str, Any] = {"audioEncoding": "LINEAR16", "sampleRateHertz": SAMPLE_RATE}
        body = {"input": {"text": text}, "voice": voice, "audioConfig": sound}
        answer = self.client.post_for_json(f"{self.config.speech_url}/v1/text:synthesize", json=body)
        return answer.data("audioContent")

    def _locale(self, lang: str) -> str:
        return self.config.locales.get(lang, lang)
