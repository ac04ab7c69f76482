"""Make what both sides start from: recordings, human or spoken by espeak-ng, and a HuBERT with random weights.

python -m benchmarks.prepare FOLDER --minutes 6 [--text en=FILE hi=FILE ...] [--hubert]
"""

import argparse
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from s2st import audio, checkpoint
from s2st.corpora import espeak
from s2st.corpora.sample import Sample, SampleConfig
from s2st.fairseq.checkpoints import hubert_weights
from s2st.models.hubert import Hubert, HubertConfig

LINES_AT_ONCE = 16
VARIANTS = ("f2", "m3", "f4", "m1")


def human() -> Iterator[tuple[str, np.ndarray]]:
    """Give languages and waveforms of the sample's training speech, each language in turn."""
    sample = Sample(SampleConfig())
    shards = [shard for shard in sample.shards() if shard.split == "train"]
    for recording in filter(None, chain.from_iterable(zip_longest(*(sample.read(shard) for shard in shards)))):
        yield recording.lang, audio.decode(recording.audio)


def spoken(texts: dict[str, Path]) -> Iterator[tuple[str, np.ndarray]]:
    """Speak sentences, a line each, with an espeak voice of their language; each language in turn."""
    lines = {lang: path.read_text(encoding="utf-8").splitlines() for lang, path in texts.items()}
    for start in range(0, max(map(len, lines.values())), LINES_AT_ONCE):
        for lang, sentences in lines.items():
            chosen = [espeak.Line(sentence) for sentence in sentences[start : start + LINES_AT_ONCE]]
            for samples in espeak.speak(f"{lang}+{VARIANTS[start // LINES_AT_ONCE % len(VARIANTS)]}", chosen):
                yield lang, espeak.to_waveform(samples)


def write_wavs(folder: Path, minutes: float, speech: Iterator[tuple[str, np.ndarray]]) -> None:
    """Write recordings as <lang>/train/<number>.wav, 16 kHz, mono, 16 bits."""
    left = minutes * 60 * audio.SAMPLE_RATE
    for number, (lang, waveform) in enumerate(speech):
        path = folder / lang / "train" / f"{number:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio.encode(waveform, "WAV"))
        left -= len(waveform)
        if left <= 0:
            return


def write_hubert(folder: Path) -> None:
    """Write the base model as fairseq draws it: hubert.pt in fairseq's format, hubert/ in ours."""
    import torch
    from fairseq.data import Dictionary
    from fairseq.models.hubert import hubert
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig
    from omegaconf import OmegaConf

    torch.manual_seed(0)
    ours = HubertConfig()
    dictionary = Dictionary()
    for label in range(ours.num_classes):
        dictionary.add_symbol(str(label))
    model_config = hubert.HubertConfig(label_rate=ours.label_rate, untie_final_proj=True, final_dim=ours.final_dim)
    task_config = HubertPretrainingConfig(data=".", labels=["km"], label_rate=ours.label_rate)
    weights = hubert.HubertModel(model_config, task_config, [dictionary]).state_dict()
    parts = {"model": model_config, "task": task_config}
    names = {"model": "hubert", "task": "hubert_pretraining"}
    state = {
        "args": None,
        "cfg": {
            part: {
                **OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True),
                "_name": names[part],
            }
            for part, config in parts.items()
        },
        "model": weights,
        "optimizer_history": [{"optimizer_name": "none", "lr_scheduler_state": {}, "num_updates": 0}],
        "task_state": {"dictionaries": [dictionary]},
        "extra_state": {"train_iterator": {"epoch": 1}},
    }
    torch.save(state, folder / "hubert.pt")
    model = Hubert(ours)
    model.load_state_dict(hubert_weights(weights))
    checkpoint.save(str(folder / "hubert"), model)


def main() -> None:
    """Prepare a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--text", nargs="+", default=[], help="lang=FILE: half of it is their sentences")
    parser.add_argument("--hubert", action="store_true", help="make the model, too")
    arguments = parser.parse_args()
    texts = {lang: Path(path) for lang, _, path in (text.partition("=") for text in arguments.text)}
    minutes = arguments.minutes / 2 if texts else arguments.minutes
    write_wavs(arguments.folder / "wavs" / "human", minutes, human())
    if texts:
        write_wavs(arguments.folder / "wavs" / "spoken", minutes, spoken(texts))
    if arguments.hubert:
        write_hubert(arguments.folder)


if __name__ == "__main__":
    main()
