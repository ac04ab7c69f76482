"""The cascade: speech -> text (a recogniser) -> text of the other language -> speech (a voice); each part replaceable.

Parts that run offline: the project's own recognisers or Moonshine, the phrases of the phrasebook, espeak-ng. Parts of
transformers: Whisper, models that translate text, VITS.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from s2st import storage
from s2st.baselines import baseline
from s2st.baselines.baseline import SILENT, Baseline, Spoken
from s2st.baselines.phrases import PhraseDictionary
from s2st.config import UserError
from s2st.corpora import espeak
from s2st.interop.text_models import TextModelConfig, TextModels
from s2st.interop.vits import VitsConfig, VitsSpeaker
from s2st.interop.whisper import WhisperConfig, load_whisper
from s2st.model_folder import read_model_folder
from s2st.pairing import source_languages, target_languages
from s2st.recognizers import Recognizers
from s2st.speech_to_units import SpeechToUnits

KIND = "cascade"
PHRASES = "phrases.json"  # in the folder: sentences to translate by, {language: texts}, all in one order


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
    whisper: WhisperConfig | None = None  # hears; none: the recognisers that the folder has
    text_models: dict[str, TextModelConfig] = field(default_factory=dict)  # by direction; none: a dictionary of phrases
    speech_models: dict[str, VitsConfig] = field(default_factory=dict)  # by language; none: espeak-ng
    voices: dict[str, str] = field(default_factory=dict)  # of espeak-ng, such as hi: hi+f2; else its own of a language
    max_seconds: float = 50.0  # of a recording

    def __post_init__(self) -> None:
        baseline.check_settings(self.directions, self.max_seconds)
        spoken = set(target_languages(self.directions))
        if self.voices and self.speech_models:
            raise ValueError("voices are espeak-ng's, which is not used beside speech_models; remove one")
        if unspoken := sorted(set(self.voices) - spoken):
            raise ValueError(f"voices names '{unspoken[0]}', which no direction ends in; remove it")
        for name, given, needed in (
            ("text_models", set(self.text_models), set(self.directions)),
            ("speech_models", set(self.speech_models), spoken),
        ):
            if given and given != needed:
                raise ValueError(f"{name} has {', '.join(sorted(given))}, but needs {', '.join(sorted(needed))}")

    @property
    def all_languages(self) -> list[str]:
        """All that are heard or spoken, sorted."""
        return sorted({*source_languages(self.directions), *target_languages(self.directions)})


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
        recognizers = load_recognizers(folder, config, device)
        texts, speaker = load_texts(folder, config, device), load_speaker(config, device)
        return cls(config, recognizers, texts, speaker, baseline.load_codebook(folder, device))

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


def load_recognizers(folder: str, config: CascadeConfig, device: str) -> Mapping[str, Recognizer]:
    """Read what hears each language that is spoken."""
    sources = sorted(set(source_languages(config.directions)))
    if config.whisper is not None:
        return load_whisper(config.whisper, sources, device)
    names = read_model_folder(folder)["recognizers"]
    recognizers = Recognizers([f"{folder}/recognizers/{name}" for name in names]).by_language
    check_heard(config, recognizers, folder)
    return recognizers


def load_texts(folder: str, config: CascadeConfig, device: str) -> TextTranslator:
    """Read what translates text."""
    if config.text_models:
        return TextModels.load(config.text_models, device)
    if storage.is_file(f"{folder}/{PHRASES}"):
        return PhraseDictionary(storage.read_json(f"{folder}/{PHRASES}"))
    return PhraseDictionary.of_phrasebook(config.all_languages)


def load_speaker(config: CascadeConfig, device: str) -> Speaker:
    """Read what speaks."""
    if config.speech_models:
        return VitsSpeaker.load(config.speech_models, device)
    return EspeakSpeaker(config.voices)


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
        return [espeak.to_waveform(samples) for samples in spoken]
