"""What every hosted service does: hear, translate, speak, one request each, and count what it was given to do."""

import numpy as np

from s2st import audio
from s2st.audio import SAMPLE_RATE
from s2st.baselines.baseline import SILENT, Spoken
from s2st.baselines.hosted_client import ServiceError
from s2st.baselines.hosted_cost import Usage

MAX_SPOKEN_SECONDS = 300.0  # of an answer


class Service:
    """Speech to text to text to speech; subclasses give `hear`, `translate` and `speak`, or all at once."""

    def __init__(self) -> None:
        self.usage = Usage()

    def hear(self, waveform: np.ndarray, lang: str) -> str:
        """Give the text of a waveform (N,); "" if nothing is heard."""
        raise NotImplementedError

    def translate(self, text: str, source: str, to: str) -> str:
        """Translate a text that is not empty."""
        raise NotImplementedError

    def speak(self, text: str, lang: str) -> bytes:
        """Speak a text that is not empty: a file that libsndfile reads."""
        raise NotImplementedError

    def translate_speech(self, waveform: np.ndarray, source: str, to: str) -> Spoken:
        """Translate a waveform (N,), float32 in [-1, 1], 16 kHz, and speak; raises ServiceError as a client does."""
        heard = self.hear(waveform, source).strip()
        self.usage.add(seconds_heard=len(waveform) / SAMPLE_RATE)
        if not heard:
            return SILENT
        text = self.translate(heard, source, to).strip()
        self.usage.add(characters_translated=len(heard))
        return self.spoken(heard, text, to)

    def spoken(self, heard: str, text: str, to: str) -> Spoken:
        """Speak a translation, if there is any."""
        if not text:
            return Spoken(heard, "", SILENT.waveform)
        waveform = read_speech(self.speak(text, to))
        self.usage.add(characters_spoken=len(text), seconds_spoken=len(waveform) / SAMPLE_RATE)
        return Spoken(heard, text, waveform)


def read_speech(data: bytes) -> np.ndarray:
    """Decode what a service spoke: (N,), float32 in [-1, 1], 16 kHz; raises ServiceError for what is no audio."""
    try:
        return audio.decode(data, MAX_SPOKEN_SECONDS)
    except audio.SilentError:  # as of a text like "..."
        return SILENT.waveform
    except audio.AudioError as error:
        raise ServiceError(f"a service answered with speech that cannot be used: {error}") from None
