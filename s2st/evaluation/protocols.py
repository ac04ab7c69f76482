"""The protocols of ASR-BLEU, by name: how texts of a language are normalised, cut into tokens, and heard.

plain     case and punctuation never count, numbers are said (s2st.evaluation.spoken_text); any recogniser.
fairseq   examples/speech_to_speech/asr_bleu: wav2vec 2.0 with CTC, the likeliest path, lower case; references are
          cleaned first (English as by Tacotron's cleaner, others of case and punctuation); tokenizer 13a everywhere.
seamless  seamless_communication's cli/eval_utils/compute_metrics.py: Whisper, greedy, at temperature 0 without
          fallback; Whisper's normaliser on both sides; lower case; characters where words have no spaces between.
          Whisper's normaliser takes the vowel signs out of Hindi and its kin: compare such scores among themselves.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

from s2st.config import UserError
from s2st.evaluation.english_cleaner import clean_english
from s2st.evaluation.spoken_text import spoken_text
from s2st.models.recognizer import normalize_text

ProtocolName = Literal["plain", "fairseq", "seamless"]
WITHOUT_SPACES = ("zh", "ja", "th", "lo", "my")  # seamless' cmn, jpn, tha, lao, mya
WHISPER = "openai/whisper-large-v2"  # which was "large" when seamless was published
# asr_model_cfgs.json, oct22, without Hokkien. English is the hub's copy of wav2vec_vox_960h_pl.pt.
WAV2VEC = {
    "ar": "jonatasgrosman/wav2vec2-large-xlsr-53-arabic",
    "cs": "comodoro/wav2vec2-xls-r-300m-cs-250",
    "de": "jonatasgrosman/wav2vec2-xls-r-1b-german",
    "en": "facebook/wav2vec2-large-960h-lv60-self",
    "es": "jonatasgrosman/wav2vec2-large-xlsr-53-spanish",
    "et": "RASMUS/wav2vec2-xlsr-1b-et",
    "fi": "jonatasgrosman/wav2vec2-large-xlsr-53-finnish",
    "fr": "jonatasgrosman/wav2vec2-large-fr-voxpopuli-french",
    "hr": "classla/wav2vec2-xls-r-parlaspeech-hr",
    "hu": "jonatasgrosman/wav2vec2-large-xlsr-53-hungarian",
    "it": "jonatasgrosman/wav2vec2-large-xlsr-53-italian",
    "lt": "sammy786/wav2vec2-xlsr-lithuanian",
    "lv": "reach-vb/wav2vec2-large-xls-r-1B-common_voice7-lv-ft",
    "nl": "jonatasgrosman/wav2vec2-xls-r-1b-dutch",
    "pl": "jonatasgrosman/wav2vec2-xls-r-1b-polish",
    "pt": "jonatasgrosman/wav2vec2-xls-r-1b-portuguese",
    "ro": "gigant/romanian-wav2vec2",
    "sk": "anuragshas/wav2vec2-xls-r-300m-sk-cv8-with-lm",
    "sl": "anuragshas/wav2vec2-xls-r-300m-sl-cv8-with-lm",
    "sv": "marinone94/xls-r-300m-sv-robust",
    "tr": "cahya/wav2vec2-large-xlsr-turkish-artificial-cv",
    "vi": "not-tanh/wav2vec2-large-xlsr-53-vietnamese",
    "zh": "ydshieh/wav2vec2-large-xlsr-53-chinese-zh-cn-gpt",
}


@dataclass(frozen=True)
class Protocol:
    """What a protocol does to the texts of one language."""

    name: ProtocolName
    normalizer: str  # as signatures call it
    reference: Callable[[str], str]  # normalises what should be said
    heard: Callable[[str], str]  # ... what a recogniser wrote
    tokenizer: str  # of sacrebleu
    lowercase: bool = False


def protocol(name: ProtocolName, lang: str) -> Protocol:
    """Give a protocol for a language, such as "en"."""
    characters = "char" if lang in WITHOUT_SPACES else "13a"
    if name == "plain":
        spoken = functools.partial(spoken_text, lang=lang)
        return Protocol(name, "spoken_text", spoken, spoken, characters)
    if name == "fairseq":
        cleaner, reference = ("tacotron", clean_english) if lang == "en" else ("no_punctuation", normalize_text)
        return Protocol(name, cleaner, reference, str.lower, "13a")
    normalizer = _whisper_normalizer(lang == "en")
    return Protocol(name, f"whisper_{'english' if lang == 'en' else 'basic'}", normalizer, normalizer, characters, True)


def recognizer_of(name: ProtocolName, lang: str) -> str:
    """Name the hub's model that a protocol hears a language with; raises UserError if it says none."""
    if name == "plain" or (name == "fairseq" and lang not in WAV2VEC):
        raise UserError(f"the protocol '{name}' does not say what hears '{lang}'; name a recognizer")
    return WHISPER if name == "seamless" else WAV2VEC[lang]


@functools.cache
def _whisper_normalizer(english: bool) -> Callable[[str], str]:
    return EnglishTextNormalizer() if english else BasicTextNormalizer()
