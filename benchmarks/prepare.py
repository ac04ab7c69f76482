"""Make what both sides start from: recordings of the shipped human sample, and a HuBERT with random weights.

python -m benchmarks.prepare FOLDER --minutes 6 [--hubert]
"""

import argparse
from itertools import chain, zip_longest
from pathlib import Path

from s2st import audio, checkpoint
from s2st.corpora.sample import Sample, SampleConfig
from s2st.fairseq.checkpoints import hubert_weights
from s2st.models.hubert import Hubert, HubertConfig


def write_wavs(folder: Path, minutes: float) -> None:
    """Write recordings as <lang>/train/<number>.wav, 16 kHz, mono, 16 bits, each language in turn."""
    sample = Sample(SampleConfig())
    shards = [shard for shard in sample.shards() if shard.split == "train"]
    in_turn = chain.from_iterable(zip_longest(*(sample.read(shard) for shard in shards)))
    left = minutes * 60 * audio.SAMPLE_RATE
    for number, recording in enumerate(filter(None, in_turn)):
        waveform = audio.decode(recording.audio)
        path = folder / recording.lang / "train" / f"{number:05d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio.encode(waveform, "WAV"))
        left -= len(waveform)
        if left <= 0:
            break


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
    parser.add_argument("--hubert", action="store_true", help="make the model, too")
    arguments = parser.parse_args()
    write_wavs(arguments.folder / "wavs", arguments.minutes)
    if arguments.hubert:
        write_hubert(arguments.folder)


if __name__ == "__main__":
    main()
