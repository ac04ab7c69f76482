"""An Azure-style service: speech to text for short audio, Translator, text to speech.

Shapes of requests and answers follow these pages below https://learn.microsoft.com/azure/ai-services; they were tested
against recorded shapes only, never against a service: speech-service/rest-speech-to-text-short,
translator/reference/v3-0-translate, speech-service/rest-text-to-speech.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from s2st import audio
from s2st.audio import SAMPLE_RATE
from s2st.baselines.hosted_client import Client, Limits, ServiceError, check_url
from s2st.baselines.hosted_service import Service

HEARD = "Success"
NOT_HEARD = ("NoMatch", "InitialSilenceTimeout", "BabbleTimeout", "EndOfDictation")


@dataclass(frozen=True)
class AzureConfig:
    region: str  # of the resources, such as westeurope
    voices: dict[str, str]  # by language, such as hi: hi-IN-SwaraNeural
    locales: dict[str, str] = field(default_factory=dict)  # of a language where speech is meant, such as hi: hi-IN
    key_variable: str = "AZURE_SPEECH_KEY"  # of the environment
    translator_key_variable: str = "AZURE_TRANSLATOR_KEY"
    recognition_url: str = "https://{region}.stt.speech.microsoft.com"
    translation_url: str = "https://api.cognitive.microsofttranslator.com"
    speech_url: str = "https://{region}.tts.speech.microsoft.com"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+", self.region):
            raise ValueError(f"region='{self.region}' is no region; write it as westeurope")
        for url in (self.recognition_url, self.translation_url, self.speech_url):
            check_url(self.at(url))

    def at(self, url: str) -> str:
        """Put the region into an address."""
        return url.replace("{region}", self.region)


class Azure(Service):
    """A service with the endpoints of Azure's Speech and Translator."""

    def __init__(self, config: AzureConfig, limits: Limits) -> None:
        super().__init__()
        self.config = config
        self.speech = Client(limits, config.key_variable, "Ocp-Apim-Subscription-Key")
        self.translator = Client(limits, config.translator_key_variable, "Ocp-Apim-Subscription-Key")

    def hear(self, waveform: np.ndarray, lang: str) -> str:
        """Recognise speech of up to a minute; see Service."""
        path = "/speech/recognition/conversation/cognitiveservices/v1"
        url = f"{self.config.at(self.config.recognition_url)}{path}?language={quote(self._locale(lang))}&format=simple"
        kind = f"audio/wav; codecs=audio/pcm; samplerate={SAMPLE_RATE}"
        headers = {"Content-Type": kind, "Accept": "application/json"}
        answer = self.speech.post_for_json(url, body=audio.encode(waveform, "WAV"), headers=headers)
        status = answer.text("RecognitionStatus")
        if status in NOT_HEARD:
            return ""
        if status != HEARD:
            raise ServiceError(f"{answer.host} could not recognise speech ({status})")
        return answer.text("DisplayText")

    def translate(self, text: str, source: str, to: str) -> str:
        """Translate text; see Service."""
        languages = f"from={quote(source)}&to={quote(to)}"
        url = f"{self.config.at(self.config.translation_url)}/translate?api-version=3.0&{languages}"
        headers = {"Ocp-Apim-Subscription-Region": self.config.region}
        answer = self.translator.post_for_json(url, json=[{"Text": text}], headers=headers)
        return answer.text(0, "translations", 0, "text")

    def speak(self, text: str, lang: str) -> bytes:
        """Speak text; see Service."""
        locale, voice = quoteattr(self._locale(lang)), quoteattr(self.config.voices[lang])
        body = f"<speak version='1.0' xml:lang={locale}><voice name={voice}>{escape(text)}</voice></speak>"
        headers = {
            "Content-Type": "application/ssml+xml",
            "X-Microsoft-OutputFormat": "riff-16khz-16bit-mono-pcm",
        }
        url = f"{self.config.at(self.config.speech_url)}/cognitiveservices/v1"
        return self.speech.post(url, body=body.encode(), headers=headers)

    def _locale(self, lang: str) -> str:
        return self.config.locales.get(lang, lang)
