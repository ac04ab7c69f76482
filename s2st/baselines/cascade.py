"""The cascade: speech -> text (a recogniser) -> text of the other language -> speech (a voice); each part replaceable.

Parts that run offline: the project's own recognisers or Moonshine, the phrases of the phrasebook, espeak-ng.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from s2st import audio
from s2st.baselines import baseline
from s2st.baselines.baseline import SILENT, Baseline, Spoken
from s2st.baselines.phrases import PhraseDictionary
from s2st.config import UserError
from s2st.corpora import espeak
from s2st.model_folder import read_model_folder
from s2st.pairing import source_languages, target_languages
from s2st.recognizers import Recognizers
from s2st.speech_to_units import SpeechToUnits

KIND = "cascade"


class Recognizer(Protocol):
    """Hears one language."""

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Give the text of each waveform (N,), float32 in [-1, 1], 16 kHz; "" where nothing is heard."""


class TextTranslator(Protocol):
    """Translates text."""

    def translate(self, texts: Sequence[str], source: str, to: str) -> list[str]:
        """Translate texts, none of them empty, from one language to another."""


class Speaker(Protocol):
    """Speaks text."""

    def speak(self, texts: Sequence[str], lang: str) -> list[np.ndarray]:
        """Give the waveform (N,), float32 in [-1, 1], 16 kHz, of each text."""


@dataclass(frozen=True)
class CascadeConfig:
    directions: tuple[str, ...]  # such as en-hi
    voices: dict[str, str] = field(default_factory=dict)  # of espeak-ng, such as hi: hi+f2; else its own of a language
    max_seconds: float = 50.0  # of a recording

    def __post_init__(self) -> None:
        baseline.check_settings(self.directions, self.max_seconds)
        if unspoken := sorted(set(self.voices) - set(target_languages(self.directions))):
            raise ValueError(f"voices names '{unspoken[0]}', which no direction ends in; remove it")


class CascadeTranslator(Baseline):
    """Recognisers, a translator of text and a voice, one after the other."""

    def __init__(
        self,
        config: CascadeConfig,
        recognizers: Mapping[str, Recognizer],
        texts: TextTranslator,
        speaker: Speaker,
        speech_to_units: SpeechToUnits | None = None,
    ) -> None:
        """Take a recogniser by each language that is spoken; see Baseline for `speech_to_units`."""
        super().__init__(config.directions, config.max_seconds, speech_to_units)
        self.recognizers, self.texts, self.speaker = recognizers, texts, speaker

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "CascadeTranslator":
        """Read a model folder that `pipelines.assemble_cascade` wrote; raises UserError if it is none."""
        config = baseline.read_settings(folder, KIND, CascadeConfig)
        names = read_model_folder(folder)["recognizers"]
        recognizers = Recognizers([f"{folder}/recognizers/{name}" for name in names]).by_language
        check_heard(config, recognizers, folder)
        texts = PhraseDictionary.of_phrasebook(
            [*source_languages(config.directions), *target_languages(config.directions)]
        )
        return cls(config, recognizers, texts, EspeakSpeaker(config.voices), baseline.load_codebook(folder, device))

    def say(self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str) -> list[Spoken]:
        """Hear, translate and speak waveforms (N,), those of one language at once; of silence comes silence."""
        spoken = [SILENT] * len(waveforms)
        for source in sorted(set(sources)):
            places = [place for place, lang in enumerate(sources) if lang == source]
            heard = self.recognizers[source].transcribe([waveforms[place] for place in places])
            found = {place: text for place, text in zip(places, heard, strict=True) if text.strip()}
            texts = self.texts.translate(list(found.values()), source, to)
            said = self.speaker.speak(texts, to)
            for place, text, waveform in zip(found, texts, said, strict=True):
                spoken[place] = Spoken(found[place], text, waveform)
        return spoken


def check_heard(config: CascadeConfig, languages: Iterable[str], where: str) -> None:
    """Raise UserError unless the recognisers, of these languages, hear every source of the directions."""
    if missing := sorted(set(source_languages(config.directions)) - set(languages)):
        raise UserError(f"{where}: no recognizer hears '{missing[0]}'; name one in recognizers")


class EspeakSpeaker:
    """Speaks with espeak-ng."""

    def __init__(self, voices: Mapping[str, str]) -> None:
        """Take the voices of languages, such as hi: hi+f2; other languages have espeak's own."""
        self.voices = voices

    def speak(self, texts: Sequence[str], lang: str) -> list[np.ndarray]:
        """Speak texts; see Speaker. Raises UserError for a voice or a language that espeak-ng lacks."""
        voice = self.voices.get(lang) or espeak.voice_of(lang)
        # one call a text: within a call, what was said before is heard in the phase of the pitch
        spoken = [espeak.speak(voice, [espeak.Line(text)])[0] for text in texts]
        return [audio.resample(samples.astype(np.float32) / 32768, espeak.SAMPLE_RATE) for samples in spoken]
