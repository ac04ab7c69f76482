"""Auxiliary tasks against fairseq: its data set and task read the folders that we write."""

import sys
from argparse import Namespace
from types import ModuleType

import numpy as np
import pytest

from s2st.audio import encode
from s2st.fairseq.multitask import FISHER, AuxiliaryTask, letters, write_multitask
from s2st.fairseq.speech_folder import Source
from s2st.fairseq.speech_to_speech import UnitPair, write_s2ut

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.data.audio.data_cfg import MultitaskConfig
from fairseq.tasks.speech_to_speech import SpeechToSpeechTask

NUM_UNITS = 10
SOURCES = {"a": "यह घर है", "b": "पानी", "c": "घर में पानी"}
TARGETS = {"a": "this is a house", "b": "water", "c": "water in the house"}
UNITS = {"a": (1, 2, 3), "b": (9, 0), "c": (4, 3, 2, 1)}
SPLITS = {"train": "ab", "dev": "c"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    sox = ModuleType("torchaudio.sox_effects")
    monkeypatch.setitem(sys.modules, sox.__name__, sox)
    monkeypatch.setattr("torchaudio.sox_effects", sox, raising=False)
    wave = np.random.default_rng(0).standard_normal(16_000).astype(np.float32) / 10
    sources = {name: Source(name, name, encode(wave[: 4_000 * i])) for i, name in enumerate("abc", start=1)}
    pairs = {split: [UnitPair(sources[name], UNITS[name]) for name in names] for split, names in SPLITS.items()}
    write_s2ut(tmp_path, pairs, NUM_UNITS, reduce=True)
    return tmp_path


def spelled(texts: dict[str, str]) -> dict[str, dict[str, list[str]]]:
    return {split: {name: letters(texts[name]) for name in names} for split, names in SPLITS.items()}


def fairseq_task(folder):
    return SpeechToSpeechTask.setup_task(
        Namespace(
            data=str(folder),
            config_yaml="config.yaml",
            multitask_config_yaml="config_multitask.yaml",
            target_is_code=True,
            target_code_size=NUM_UNITS,
            train_subset="train",
            n_frames_per_step=1,
            eval_inference=False,
            seed=1,
        )
    )


def test_fairseq_reads_letters(folder):
    targets = {"source_letter": SOURCES, "target_letter": TARGETS, "decoder_target_ctc": TARGETS}
    write_multitask(folder, {name: AuxiliaryTask(FISHER[name], spelled(texts)) for name, texts in targets.items()})

    tasks = MultitaskConfig(folder / "config_multitask.yaml").get_all_tasks()
    found = {name: (t.decoder_type, t.input_from, t.input_layer, t.get_loss_weight(0)) for name, t in tasks.items()}
    assert found == {
        "source_letter": ("transformer", "encoder", 5, 8.0),
        "target_letter": ("transformer", "encoder", 7, 8.0),
        "decoder_target_ctc": ("ctc", "decoder", 2, 1.6),
    }

    task = fairseq_task(folder)
    for split, names in SPLITS.items():
        task.load_dataset(split)
        data = task.dataset(split)
        batch = data.collater([data[i] for i in range(len(names))])
        assert [data.ids[i] for i in batch["id"]] == sorted(names, reverse=True)  # the longest first
        for row, index in enumerate(batch["id"]):
            for name, texts in targets.items():
                dictionary = task.multitask_tasks[name].target_dictionary
                found = batch["multitask"][name]
                symbols = [dictionary[i] for i in found["target"][row][: found["target_lengths"][row]]]
                end = [] if name == "decoder_target_ctc" else ["</s>"]
                assert symbols == letters(texts[data.ids[index]]) + end
