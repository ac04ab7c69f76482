"""S2UT and S2SPECT folders against fairseq: its data set reads ours, we read what its scripts write."""

import importlib
import sys
import zipfile
from itertools import groupby
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

from pipelines.fairseq_units import read_targets
from s2st.audio import SAMPLE_RATE, encode
from s2st.corpora.s2s import S2s, S2sConfig
from s2st.fairseq.speech_config import read_config
from s2st.fairseq.speech_folder import Source
from s2st.fairseq.speech_to_speech import MelPair, UnitPair, read_s2spect, read_s2ut, write_s2spect, write_s2ut
from s2st.features.spectral import log_mel
from s2st.features.speech_mel import MEL_RATE, speech_log_mel, to_mel_rate

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
import fairseq.examples
from fairseq import options, tasks
from fairseq.data import Dictionary
from fairseq.data.audio import audio_utils
from fairseq.data.audio.data_cfg import S2SDataConfig
from fairseq.data.audio.speech_to_speech_dataset import SpeechToSpeechDatasetCreator

NUM_UNITS = 20
SECONDS = {"a": 0.5, "b": 1.0, "c": 0.73}


@pytest.fixture(autouse=True)
def old_packages(monkeypatch):
    """Stand in for what fairseq's 2022 code imports: librosa, and sox and sentencepiece, not needed here."""
    librosa, filters = ModuleType("librosa"), ModuleType("librosa.filters")
    golden = np.load(Path(__file__).with_name("librosa_mel.npz"))["filters"]  # librosa 0.11.0

    def mel(sample_rate, fft_size, num_mels, lowest, highest):
        assert (sample_rate, fft_size, num_mels, lowest, highest) == (MEL_RATE, 1024, 80, 20, 8000)
        return golden

    filters.mel = mel
    librosa.filters = filters
    sox, sentencepiece = ModuleType("torchaudio.sox_effects"), ModuleType("sentencepiece")
    sentencepiece.SentencePieceTrainer = None
    for module in (sox, librosa, sentencepiece):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "examples", fairseq.examples)
    monkeypatch.setattr("torchaudio.sox_effects", sox, raising=False)
    monkeypatch.setattr("torchaudio.load", load)  # wants torchcodec today


def load(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T), rate


def speech(name: str, rate: int = SAMPLE_RATE) -> np.ndarray:
    """Something with harmonics, noise and silence: (N,)."""
    random = np.random.default_rng(ord(name))
    time = np.arange(int(SECONDS[name] * rate)) / rate
    tone = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 12))
    wave = tone * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time)) + 0.02 * random.standard_normal(len(time))
    return (0.1 * wave).astype(np.float32)


def units(name: str) -> tuple[int, ...]:
    return tuple(np.random.default_rng(ord(name)).integers(0, NUM_UNITS, 12).repeat(2).tolist())


def joined(sequence) -> list[int]:
    return [unit for unit, _ in groupby(sequence)]


def source(name: str, recording_id: str = "", lang: str = "", target_lang: str = "", format: str = "FLAC") -> Source:
    return Source(name, recording_id or name, encode(speech(name), format), lang, target_lang)


def unit_dictionary() -> Dictionary:
    """What the task makes of --target-code-size."""
    dictionary = Dictionary()
    for unit in range(NUM_UNITS):
        dictionary.add_symbol(str(unit))
    return dictionary


def fairseq_data(folder: Path, split: str, dictionary: Dictionary | None = None):
    return SpeechToSpeechDatasetCreator.from_tsv(
        root=str(folder),
        data_cfg=S2SDataConfig(folder / "config.yaml"),
        splits=split,
        is_train_split=split.startswith("train"),
        epoch=1,
        seed=0,
        target_is_code=dictionary is not None,
        tgt_dict=dictionary,
    )


@pytest.mark.parametrize("format", ["FLAC", "WAV"])
def test_fairseq_reads_our_s2ut(tmp_path, monkeypatch, format):
    pairs = [UnitPair(source(name, format=format), units(name)) for name in "abc"]
    assert write_s2ut(tmp_path, {"train": pairs[:2], "valid": pairs[2:]}, NUM_UNITS, reduce=True) == {
        "train": 2,
        "valid": 1,
    }
    monkeypatch.chdir("/")  # its paths hold wherever fairseq starts
    valid = fairseq_data(tmp_path, "valid", unit_dictionary())
    assert len(fairseq_data(tmp_path, "train", unit_dictionary())) == 2
    assert valid.ids == ["c"]
    item = valid[0]
    assert item.target.tolist() == [*(unit + 4 for unit in joined(units("c"))), 2]
    assert valid.tgt_lens == [len(joined(units("c")))]
    samples, _ = soundfile.read(valid.audio_paths[0], dtype="float32")
    ours = log_mel(32768 * samples).numpy()
    np.testing.assert_allclose(audio_utils.get_fbank(valid.audio_paths[0]), ours, rtol=0, atol=1e-3)
    # fairseq takes the variance as the difference of two float32 sums, which are near each other
    np.testing.assert_allclose(item.source, (ours - ours.mean(0)) / ours.std(0), rtol=0, atol=5e-3)
    batch = valid.collater([item])
    assert batch["net_input"]["src_tokens"].shape == (1, len(ours), 80)
    assert batch["target_lengths"].tolist() == [len(item.target)]


def test_the_train_split_is_augmented_and_no_other(tmp_path):
    write_s2ut(
        tmp_path, {"train-x": [UnitPair(source("a"), (1,))], "dev": [UnitPair(source("b"), (2,))]}, 3, reduce=False
    )
    config = S2SDataConfig(tmp_path / "config.yaml")
    assert config.get_feature_transforms("train-x", True)["feature_transforms"] == ["utterance_cmvn", "specaugment"]
    assert config.get_feature_transforms("dev", False)["feature_transforms"] == ["utterance_cmvn"]
    transforms = fairseq_data(tmp_path, "train-x", unit_dictionary()).feature_transforms.transforms
    assert (transforms[1].freq_mask_f, transforms[1].time_mask_t, transforms[1].time_mask_p) == (27, 100, 1.0)
    assert config.output_sample_rate == SAMPLE_RATE


def test_many_target_languages_get_a_tag(tmp_path):
    pairs = [UnitPair(source(name, lang="hi", target_lang=lang), (3, 4)) for name, lang in [("a", "en"), ("b", "ko")]]
    write_s2ut(tmp_path, {"train": pairs}, NUM_UNITS, reduce=True)
    config = S2SDataConfig(tmp_path / "config.yaml")
    dictionary = Dictionary.load(str(tmp_path / config.vocab_filename))
    assert dictionary.index("3") == 7
    data = fairseq_data(tmp_path, "train", dictionary)
    batch = data.collater([data[0], data[1]])
    ids = [data.ids[i] for i in batch["id"]]
    first = dict(zip(ids, batch["net_input"]["prev_output_tokens"][:, 0].tolist(), strict=True))
    assert first == {"a": dictionary.index("<lang:en>"), "b": dictionary.index("<lang:ko>")}
    assert 3 not in first.values()


def wav_folders(root: Path, target_rate: int) -> None:
    """The layout that fairseq's scripts read."""
    for side, rate in [("audio", SAMPLE_RATE), ("target", target_rate)]:
        for split, names in [("train", "ab"), ("dev", "c")]:
            (root / side / split).mkdir(parents=True)
            for name in names:
                soundfile.write(root / side / split / f"{name}.wav", speech(name, rate), rate, subtype="PCM_16")
    for split, names in [("train", "ab"), ("dev", "c")]:
        lines = [f"{name}|{' '.join(map(str, units(name)))}\n" for name in names]
        (root / "target" / f"{split}.txt").write_text("".join(lines))


def run_script(monkeypatch, name: str, root: Path, *options: str) -> None:
    script = importlib.import_module(f"examples.speech_to_speech.preprocessing.{name}")
    folders = ["--source-dir", root / "audio", "--target-dir", root / "target", "--output-root", root / "theirs"]
    monkeypatch.setattr(sys, "argv", [name, *map(str, folders), "--data-split", "train", "dev", *options])
    script.main()


@pytest.mark.parametrize("reduce", [True, False])
def test_we_read_and_write_what_the_s2ut_script_writes(tmp_path, monkeypatch, reduce):
    wav_folders(tmp_path, SAMPLE_RATE)
    monkeypatch.chdir(tmp_path)
    vocoder = ["--vocoder-checkpoint", "g.pt", "--vocoder-cfg", "g.json"]
    run_script(monkeypatch, "prep_s2ut_data", Path(), *vocoder, *(["--reduce-unit"] if reduce else []))
    theirs = tmp_path / "theirs"
    read = {split: list(read_s2ut(theirs, split, NUM_UNITS)) for split in ("train", "dev")}
    expected = {name: tuple(joined(units(name))) if reduce else units(name) for name in "abc"}
    assert {pair.source.pair_id: pair.units for pair in read["train"] + read["dev"]} == expected
    corpus = S2s(S2sConfig(str(theirs), lang="hi"))
    recordings = [recording for shard in corpus.shards() for recording in corpus.read(shard)]
    assert {(row.utterance_id, row.split, row.reject) for row in recordings} == {
        ("train-a", "train", None),
        ("train-b", "train", None),
        ("dev-c", "validation", None),
    }
    targets = {row.name: (row.sentence, row.told["split"], row.value) for row in read_targets(theirs, "en")}
    assert targets["c"] == ("dev-c", "validation", " ".join(map(str, expected["c"])))

    for split in ("train", "dev"):  # where we put recordings as they do, and in their order, the bytes are equal
        names = [pair.source.pair_id for pair in read[split]]
        pairs = [UnitPair(source(name, f"{split}/{name}", format="WAV"), units(name)) for name in names]
        write_s2ut(tmp_path / f"ours-{split}", {split: pairs}, NUM_UNITS, reduce)
        assert (tmp_path / f"ours-{split}" / f"{split}.tsv").read_bytes() == (theirs / f"{split}.tsv").read_bytes()

    config, ours = read_config(theirs / "config.yaml"), read_config(tmp_path / "ours-dev" / "config.yaml")
    assert config.others.pop("vocoder") == {"type": "code_hifigan", "checkpoint": "g.pt", "config": "g.json"}
    assert config.transforms == ours.transforms
    assert config.specaugment.items() <= ours.specaugment.items()
    assert config.others.items() <= ours.others.items()


def test_our_spectrogram_is_fairseqs():
    from examples.speech_synthesis.data_utils import extract_logmel_spectrogram

    for name in "abc":
        wave = speech(name, MEL_RATE)
        theirs = extract_logmel_spectrogram(torch.from_numpy(wave)[None], MEL_RATE, f_min=20, f_max=8000)
        torch.testing.assert_close(speech_log_mel(wave), theirs, rtol=0, atol=1e-4)


def test_fairseq_reads_our_s2spect(tmp_path, monkeypatch):
    mels = {name: speech_log_mel(to_mel_rate(speech(name))).numpy() for name in "abc"}
    pairs = [MelPair(source(name), f"ü{name}", mels[name]) for name in "abc"]
    pairs[1] = MelPair(pairs[1].source, pairs[0].mel_id, mels["a"])  # two pairs share a target
    write_s2spect(tmp_path, {"train": pairs[:2], "valid": pairs[2:]})
    monkeypatch.chdir("/")
    train, valid = fairseq_data(tmp_path, "train"), fairseq_data(tmp_path, "valid")
    for item, name in [(train[0], "a"), (train[1], "a"), (valid[0], "c")]:
        np.testing.assert_array_equal(item.target, mels[name])
    assert train.tgt_lens == [len(mels["a"])] * 2
    assert valid[0].source.shape[1] == 240
    config = S2SDataConfig(tmp_path / "config.yaml")
    assert config.input_transformed_channels * config.input_feat_per_channel == 240
    features = config.config["features"]  # of Griffin-Lim, which computes samples from seconds
    assert [int(features[key] * MEL_RATE) for key in ("win_len_t", "hop_len_t")] == [1024, 256]
    assert [pair.mel_id for pair in read_s2spect(tmp_path, "train")] == ["üa", "üa"]
    with zipfile.ZipFile(tmp_path / "logmelspec80.zip") as archive:
        assert archive.namelist() == ["üa.npy", "üc.npy"]


def test_we_read_what_the_s2spect_script_writes(tmp_path, monkeypatch):
    wav_folders(tmp_path, MEL_RATE)
    run_script(monkeypatch, "prep_s2spect_data", tmp_path)
    theirs = tmp_path / "theirs"
    assert S2SDataConfig(theirs / "config.yaml").input_transformed_channels == 1  # the fault that ours does not have
    for split, names in [("train", "ab"), ("dev", "c")]:
        pairs = {pair.source.pair_id: pair for pair in read_s2spect(theirs, split)}
        assert sorted(pairs) == list(names)
        for name, pair in pairs.items():
            recorded, _ = soundfile.read(tmp_path / "target" / split / f"{name}.wav", dtype="float32")
            np.testing.assert_allclose(pair.mel, speech_log_mel(recorded).numpy(), rtol=0, atol=1e-4)
            assert pair.mel_id == pair.source.recording_id == name
    write_s2spect(tmp_path / "ours", {"dev": list(pairs.values())})
    config, ours = read_config(theirs / "config.yaml"), read_config(tmp_path / "ours" / "config.yaml")
    assert config.others == ours.others
    assert config.transforms == ours.transforms


@pytest.mark.parametrize("kind", ["units", "stacked units", "spectrograms"])
def test_a_fresh_model_of_fairseq_learns_from_our_folder(tmp_path, kind):
    """With the command line of its documentation, and small layers."""
    options_of = {
        "units": "--arch s2ut_transformer --criterion speech_to_unit --target-is-code --vocoder code_hifigan",
        "spectrograms": "--arch s2spect_transformer --criterion speech_to_spectrogram --n-frames-per-step 5",
    }
    options_of["stacked units"] = f"{options_of['units']} --n-frames-per-step 5"
    small = "--encoder-layers 2 --encoder-embed-dim 32 --decoder-embed-dim 32 --conv-channels 32"
    if kind == "spectrograms":
        pairs = [MelPair(source(name), name, speech_log_mel(to_mel_rate(speech(name))).numpy()) for name in "abc"]
        write_s2spect(tmp_path, {"train": pairs})
    else:
        small += f" --target-code-size {NUM_UNITS}"
        write_s2ut(tmp_path, {"train": [UnitPair(source(name), units(name)) for name in "abc"]}, NUM_UNITS, False)
    line = f"{tmp_path} --task speech_to_speech {options_of[kind]} {small} --cpu"
    arguments = options.parse_args_and_arch(options.get_training_parser(), line.split())
    task = tasks.setup_task(arguments)
    model, criterion = task.build_model(arguments), task.build_criterion(arguments)
    task.load_dataset("train")
    data = task.dataset("train")
    loss, _, _ = criterion(model, data.collater([data[i] for i in range(3)]))
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is not None for weight in model.encoder.subsample.parameters())
