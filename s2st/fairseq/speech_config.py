"""`config.yaml` of fairseq's speech_to_speech task: where the audio lies, and what is done to its features."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.features import speech_mel
from s2st.features.spec_augment import POLICIES
from s2st.storage import write_bytes

CONFIG = "config.yaml"
DICTIONARY = "dict.txt"
SPECAUGMENT = "specaugment"
NORMALIZED = "utterance_cmvn"  # mean 0 and variance 1 in each band of a recording
WITH_DELTAS = "delta_deltas"  # three channels of each band, as the S2SPECT of the paper has them

MASKS: Mapping[str, float] = MappingProxyType(
    {
        "time_warp_W": 0,
        "freq_mask_N": POLICIES["lb"].frequency_masks,
        "freq_mask_F": POLICIES["lb"].frequency_width,
        "time_mask_N": POLICIES["lb"].time_masks,
        "time_mask_T": POLICIES["lb"].time_width,
        "time_mask_p": POLICIES["lb"].time_share,
    }
)

# How fairseq's Griffin-Lim turns our mel spectrograms back to speech.
MEL_FEATURES: Mapping[str, Any] = MappingProxyType(
    {
        "type": "spectrogram+melscale+log",
        "sample_rate": speech_mel.MEL_RATE,
        "eps": speech_mel.FLOOR,
        "n_mels": speech_mel.NUM_MELS,
        "n_fft": speech_mel.FFT_SIZE,
        "window_fn": "hann",
        "win_length": speech_mel.FFT_SIZE,
        "hop_length": speech_mel.MEL_HOP,
        "win_len_t": speech_mel.FFT_SIZE / speech_mel.MEL_RATE,
        "hop_len_t": speech_mel.MEL_HOP / speech_mel.MEL_RATE,
        "f_min": speech_mel.LOWEST_HZ,
        "f_max": speech_mel.HIGHEST_HZ,
        "n_stft": speech_mel.FFT_SIZE // 2 + 1,
    }
)


@dataclass(frozen=True)
class SpeechConfig:
    audio_root: str  # paths in the tables are relative to it, itself to where fairseq starts
    transforms: dict[str, list[str]]  # of the source's features, by split: "_train", "*" for all others, or its name
    specaugment: dict[str, float] = field(default_factory=dict)
    output_sample_rate: int = speech_mel.MEL_RATE  # of the vocoder
    language_first: bool = False  # the decoder begins with the target language's tag, which is in dict.txt
    others: dict[str, Any] = field(default_factory=dict)  # what else the file holds, under fairseq's names


def s2ut_config(audio_root: str) -> SpeechConfig:
    """Give what Lee et al. 2021 train S2UT with; the output rate is that of our units and vocoders."""
    return SpeechConfig(
        audio_root,
        {"*": [NORMALIZED], "_train": [NORMALIZED, SPECAUGMENT]},
        dict(MASKS),
        SAMPLE_RATE,  # left out, fairseq measures the speech of a 16 kHz vocoder as if it were 22.05 kHz
        others={"input_channels": 1, "input_feat_per_channel": 80, "vocab_filename": DICTIONARY},
    )


def s2spect_config(audio_root: str) -> SpeechConfig:
    """Give what Lee et al. 2021 train S2SPECT with."""
    return SpeechConfig(
        audio_root,
        {"*": [NORMALIZED, WITH_DELTAS], "_train": [NORMALIZED, WITH_DELTAS, SPECAUGMENT]},
        dict(MASKS),
        others={"input_channels": 1, "input_feat_per_channel": 80, "features": dict(MEL_FEATURES)},
    )


def write_config(path: Path, config: SpeechConfig) -> None:
    """Write the file so that a fresh run of fairseq can use it.

    The transforms stand under `feature_transforms`: fairseq's own script writes `transforms`, which its data set
    applies, but `S2SDataConfig.input_transformed_channels` does not see, so that the S2SPECT model is built for
    80 values a frame and stops at the first batch, which has 240.
    """
    content: dict[str, Any] = {
        **config.others,
        "audio_root": config.audio_root,
        "feature_transforms": config.transforms,
        "output_sample_rate": config.output_sample_rate,
        "prepend_tgt_lang_tag_as_bos": config.language_first,
    }
    if config.specaugment:
        content[SPECAUGMENT] = config.specaugment
    write_yaml(path, content)


def read_config(path: Path) -> SpeechConfig:
    """Read a file of ours or of fairseq's scripts, `transforms` too; raises UserError where it contradicts itself."""
    content = read_yaml(path)
    old, new = content.pop("transforms", None), content.pop("feature_transforms", None)
    if old and new:
        raise UserError(f"{path} has both 'transforms' and 'feature_transforms'; keep feature_transforms alone")
    transforms = old or new or {}
    if not isinstance(transforms, dict) or not all(isinstance(names, list) for names in transforms.values()):
        raise UserError(f"{path}: the transforms are {transforms!r}; write a list of names for each split")
    specaugment = dict(content.pop(SPECAUGMENT, {}))
    specaugment.pop("time_wrap_W", None)  # misspelt by fairseq's writer, so its reader never sees it
    if not specaugment and any(SPECAUGMENT in names for names in transforms.values()):
        raise UserError(f"{path}: the transforms name specaugment, but its section is missing; add it")
    return SpeechConfig(
        content.pop("audio_root", ""),
        transforms,
        specaugment,
        content.pop("output_sample_rate", speech_mel.MEL_RATE),
        content.pop("prepend_tgt_lang_tag_as_bos", False),
        content,
    )


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a YAML file of fairseq's, in the order of its content."""
    write_bytes(str(path), yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False).encode())


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; raises UserError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there; give the folder that holds it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of settings; write it again")
    return content
