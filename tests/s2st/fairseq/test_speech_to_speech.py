import random
import re
from pathlib import Path

import numpy as np
import pytest

from s2st.audio import encode
from s2st.config import UserError
from s2st.fairseq.speech_folder import Source, our_split
from s2st.fairseq.speech_to_speech import (
    MelPair,
    UnitPair,
    mel_pairs,
    read_s2spect,
    read_s2ut,
    unit_pairs,
    write_s2spect,
    write_s2ut,
)
from s2st.units import reduce

WAVE = np.random.default_rng(0).standard_normal(20_000).astype(np.float32) / 10
SHORT = 3_210  # samples: 20 frames by fairseq's count


def source(pair_id: str, recording_id: str = "r", samples: int = SHORT, **languages: str) -> Source:
    return Source(pair_id, recording_id, encode(WAVE[:samples]), **languages)


def mel(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, 80)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_s2ut_comes_back(tmp_path, seed):
    choose = random.Random(seed)
    named = choose.random() < 0.5
    languages = {"lang": "hi", "target_lang": choose.choice(["en", "ko"])} if named else {}
    splits = {}
    for split in ("train", "train-more", "valid", "test"):
        names = [f"{split} {i} ü" for i in range(choose.randint(1, 4))]
        sizes = [choose.randint(400, 20_000) for _ in names]
        splits[split] = [
            UnitPair(
                source(name, f"{choose.choice(['', 'deep/er/'])}{name}.x", samples, **languages),
                tuple(choose.choices(range(7), k=choose.randint(1, 30))),
            )
            for name, samples in zip(names, sizes, strict=True)
        ]
    assert write_s2ut(tmp_path, splits, 7, reduce=False) == {split: len(pairs) for split, pairs in splits.items()}
    for split, pairs in splits.items():
        assert list(read_s2ut(tmp_path, split, 7)) == pairs


def test_reduce_joins_runs(tmp_path):
    units = (5, 5, 1, 1, 1, 5)
    write_s2ut(tmp_path, {"train": [UnitPair(source("p"), units)]}, 6, reduce=True)
    (pair,) = read_s2ut(tmp_path, "train", 6)
    assert pair.units == tuple(reduce(np.array(units))[0])
    assert (tmp_path / "train.tsv").read_text().endswith("p\taudio/r.flac\t20\t5 1 5\t3\n")


def test_the_dictionary_counts_units_and_tags_of_languages(tmp_path):
    pairs = [UnitPair(source(lang, lang="hi", target_lang=lang), (0,)) for lang in ("ko", "en")]
    write_s2ut(tmp_path, {"train": pairs}, 3, reduce=True)
    assert (tmp_path / "dict.txt").read_text() == "0 1\n1 1\n2 1\n<lang:en> 1\n<lang:ko> 1\n"


def test_s2spect_comes_back_and_shared_spectrograms_are_written_once(tmp_path):
    names = ["a", "b", "ü/c"]
    pairs = [MelPair(source(f"p{i}"), names[i % 3], mel(5 + i % 3, i % 3)) for i in range(6)]
    write_s2spect(tmp_path, {"train": pairs[:4], "dev": pairs[4:]})
    back = [*read_s2spect(tmp_path, "train"), *read_s2spect(tmp_path, "dev")]
    assert [(pair.source, pair.mel_id) for pair in back] == [(pair.source, pair.mel_id) for pair in pairs]
    for ours, theirs in zip(pairs, back, strict=True):
        np.testing.assert_array_equal(ours.mel, theirs.mel)
    assert len({line.split("\t")[3] for line in (tmp_path / "train.tsv").read_text().splitlines()[1:]}) == 3


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        write_s2spect(tmp_path / folder, {"train": [MelPair(source("p"), "m", mel(5))]})
    for name in ("train.tsv", "logmelspec80.zip"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_rows_make_pairs(tmp_path):
    recordings = {name: {"utterance_id": name, "audio": {"bytes": encode(WAVE), "path": None}} for name in "xy"}
    row = {
        "pair_id": "x--y",
        "source_lang": "hi",
        "target_lang": "en",
        "source_utterance_id": "x",
        "target_utterance_id": "y",
        "target_units": [3, 1],
    }
    (units,), (spectrogram,) = unit_pairs([row], recordings), mel_pairs([row], recordings)
    assert units == UnitPair(Source("x--y", "x", encode(WAVE), "hi", "en"), (3, 1))
    assert spectrogram.source == units.source
    assert spectrogram.mel.shape == (1 + len(WAVE) * 22_050 // 16_000 // 256, 80)
    with pytest.raises(UserError, match="pair 'x--y': the manifest has no recording 'y'"):
        list(mel_pairs([row], {"x": recordings["x"]}))


@pytest.mark.parametrize(("name", "ours"), [("train-x", "train"), ("dev2", "validation"), ("valid", "validation")])
def test_names_of_splits(name, ours):
    assert our_split(name) == ours


@pytest.mark.parametrize("name", ["mytrain", "", "train,dev", "train/x", "validate/x"])
def test_names_that_fairseq_would_misread_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="fairseq goes by the name"):
        write_s2ut(tmp_path, {name: [UnitPair(source("p"), (1,))]}, 3, reduce=True)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([UnitPair(source("p"), (1, 3))], "pair 'p' has units 1 to 3, outside 0 to 2"),
        ([UnitPair(source("p"), ())], "pair 'p' has no units"),
        ([UnitPair(source("p"), (1,)), UnitPair(source("p"), (1,))], "pair 'p' is there twice"),
        ([UnitPair(source("p\tq"), (1,))], "holds a tab or a line break"),
        ([UnitPair(source("p", "../r"), (1,))], "recording '../r' cannot be the name of a file"),
        ([UnitPair(source("p", "/r"), (1,))], "recording '/r' cannot be the name of a file"),
        ([UnitPair(source("p", samples=399), (1,))], "recording 'r' has 399 samples, fewer than one frame"),
        ([UnitPair(Source("p", "r", b"no audio"), (1,))], "recording 'r' is no audio"),
        ([UnitPair(source("p"), (1,)), UnitPair(source("q", samples=999), (1,))], "another recording of the same name"),
        ([UnitPair(source("p", lang="hi"), (1,))], "name both languages of every pair, or of none"),
        ([UnitPair(source("p", lang="a", target_lang="b"), (1,)), UnitPair(source("q"), (1,))], "pair 'q': name both"),
        ([], "would hold no row"),
    ],
)
def test_what_fairseq_would_misread_is_not_written(tmp_path, pairs, message):
    with pytest.raises(UserError, match=re.escape(message)):
        write_s2ut(tmp_path, {"train": pairs}, 3, reduce=True)
    assert not (tmp_path / "config.yaml").exists()


def test_a_finished_folder_is_not_written_over(tmp_path):
    write_s2ut(tmp_path, {"train": [UnitPair(source("p"), (1,))]}, 3, reduce=True)
    with pytest.raises(UserError, match="holds a data set already"):
        write_s2ut(tmp_path, {"valid": [UnitPair(source("q"), (1,))]}, 3, reduce=True)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (mel(3)[:, :79], "the spectrogram of 'm' has the shape (3, 79)"),
        (mel(3).astype(np.float64), "the spectrogram of 'm' holds float64"),
        (mel(3) * np.nan, "the spectrogram of 'm' holds values that are not numbers"),
        (mel(0), "the spectrogram of 'm' has the shape (0, 80)"),
    ],
)
def test_bad_spectrograms_are_not_written(tmp_path, bad, message):
    with pytest.raises(UserError, match=re.escape(message)):
        write_s2spect(tmp_path, {"train": [MelPair(source("p"), "m", bad)]})
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_two_spectrograms_of_one_name_are_refused(tmp_path):
    pairs = [MelPair(source(f"p{i}"), "m", mel(3, i)) for i in range(2)]
    with pytest.raises(UserError, match="'m' names two different spectrograms"):
        write_s2spect(tmp_path, {"train": pairs})


def edited(folder: Path, old: str, new: str) -> None:
    text = (folder / "train.tsv").read_text()
    assert old in text
    (folder / "train.tsv").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("src_audio", "audio", "train.tsv, line 1: the columns are"),
        ("id\tsrc", "id\tid\tsrc", "train.tsv, line 1: the columns are"),
        ("\t20\t", "\t21\t", "train.tsv, line 2: src_n_frames is 21, but there are 20 frames"),
        ("\t20\t", "\t2e1\t", "train.tsv, line 2: src_n_frames is '2e1', not a whole number"),
        ("\t3\n", "\t4\n", "train.tsv, line 2: tgt_n_frames is 4, but there are 3 units"),
        ("0 1 2", "0 1 3", "train.tsv, line 2: pair 'p' has units 0 to 3, outside 0 to 2"),
        ("0 1 2", "0 -1 2", "train.tsv, line 2: pair 'p' has units -1 to 2, outside 0 to 2"),
        ("0 1 2", "0 01 2", "train.tsv, line 2: pair 'p' has a target that is not units"),
        ("0 1 2", "0  1 2", "train.tsv, line 2: pair 'p' has a target that is not units"),
        ("0 1 2", "", "train.tsv, line 2: pair 'p' has a target that is not units"),
        ("0 1 2\t3", "0 1 2", "train.tsv, line 2: 4 values for 5 columns"),
        ("audio/r.flac", "audio/s.flac", "audio/s.flac (No such file or directory)"),
        ("audio/r.flac", "audio/r.mp3", "audio/r.mp3 (No such file or directory)"),
        ("audio/r.flac", "train.tsv:1:20", "train.tsv is no audio"),
        ("audio/r.flac", "train.tsv:1:1000000000000", "(the part ends at byte 1000000000001, and the file has"),
        ("audio/r.flac", "train\0", "line 2: cannot read"),
        ("\t20\t", f"\t{'2' * 5000}\t", "not a whole number"),
        ("audio/r.flac", "train.tsv:-1:20", "train.tsv:-1:20 (No such file or directory)"),
        ("3\n", "3\np\taudio/r.flac\t20\t1\t1\n", "train.tsv, line 3 has the id 'p' of"),
    ],
)
def test_wrong_lines_are_named(tmp_path, old, new, message):
    write_s2ut(tmp_path, {"train": [UnitPair(source("p"), (0, 1, 2))]}, 3, reduce=True)
    edited(tmp_path, old, new)
    with pytest.raises(UserError, match=re.escape(message)):
        list(read_s2ut(tmp_path, "train", 3))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t3\n", "\t2\n", "train.tsv, line 2: tgt_n_frames is 2, but there are 3 frames"),
        (":35:", ":36:", "train.tsv, line 2: no member of"),
        ("logmelspec80.zip", "other.zip", "other.zip (No such file or directory)"),
        ("logmelspec80.zip:35:1088", "train.tsv:1:5", "train.tsv is no zip, or is cut off"),
    ],
)
def test_wrong_spectrograms_are_named(tmp_path, old, new, message):
    write_s2spect(tmp_path, {"train": [MelPair(source("p"), "m", mel(3))]})
    edited(tmp_path, old, new)
    with pytest.raises(UserError, match=re.escape(message)):
        list(read_s2spect(tmp_path, "train"))
