import re

import numpy as np
import pytest

from s2st import audio
from s2st.config import UserError
from s2st.corpora.s2s import S2s, S2sConfig
from s2st.fairseq.multitask import FISHER, AuxiliaryTask, letters, write_multitask
from s2st.fairseq.speech_folder import Source
from s2st.fairseq.speech_to_speech import MelPair, UnitPair, write_s2spect, write_s2ut

TEXTS = {"a": "so it is", "b": "yes", "c": "no"}
SPLITS = {"train": ("a", "b"), "dev": ("c",)}


def sources(tone, **languages):
    """Two pairs of each recording, by split."""
    speech = {name: audio.encode(tone[: 4_000 * i]) for i, name in enumerate(TEXTS, start=1)}
    return {
        split: [Source(f"{name}--{i}", name, speech[name], **languages) for name in names for i in range(2)]
        for split, names in SPLITS.items()
    }


def write(folder, tone, **languages):
    given = sources(tone, **languages)
    write_s2ut(folder, {split: [UnitPair(source, (1, 2)) for source in part] for split, part in given.items()}, 3, True)
    return given


@pytest.fixture
def folder(tmp_path, tone):
    given = write(tmp_path, tone, lang="hi", target_lang="en")
    spelled = {split: {s.pair_id: letters(TEXTS[s.recording_id]) for s in part} for split, part in given.items()}
    write_multitask(tmp_path, {"source_letter": AuxiliaryTask(FISHER["source_letter"], spelled)})
    return tmp_path


def read(**settings):
    corpus = S2s(S2sConfig(**settings))
    return [recording for shard in corpus.shards() for recording in corpus.read(shard)]


def test_each_recording_comes_once_with_its_text(folder, tone):
    rows = read(root=str(folder), letters="source_letter")
    found = {(row.utterance_id, row.sentence_id, row.lang, row.split, row.text) for row in rows}
    assert len(rows) == 3
    assert found == {
        (name, name, "hi", {"dev": "validation"}.get(split, split), TEXTS[name])
        for split, names in SPLITS.items()
        for name in names
    }
    speech = {row.utterance_id: audio.decode(row.audio) for row in rows}
    assert {name: len(waveform) for name, waveform in speech.items()} == {"a": 4_000, "b": 8_000, "c": 12_000}
    np.testing.assert_allclose(speech["c"], tone[:12_000], atol=1e-4)
    assert {row.text for row in read(root=str(folder))} == {""}


def test_sources_of_spectrograms_are_read_too(tmp_path, tone):
    mel = np.zeros((3, 80), np.float32)
    write_s2spect(tmp_path, {split: [MelPair(s, "m", mel) for s in part] for split, part in sources(tone).items()})
    assert {row.lang for row in read(root=str(tmp_path), lang="hi")} == {"hi"}
    with pytest.raises(UserError, match=r"dev.tsv, line 2: no src_lang tells the language; name it"):
        read(root=str(tmp_path))


def test_broken_recordings_are_rejects_that_name_their_line(folder):
    (folder / "audio/a.flac").unlink()
    table = folder / "dev.tsv"
    table.write_text(table.read_text().replace("\t75\t", "\t76\t"))
    rejects = {row.utterance_id: row.reject for row in read(root=str(folder))}
    assert rejects["b"] is None
    assert re.search(r"train.tsv, line 2: cannot read .*a.flac \(No such file or directory\)", rejects["a"])
    assert re.search(r"dev.tsv, line 2: src_n_frames is 76, but there are 75 frames", rejects["c"])


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("dev.tsv", "audio/c", "audio/b", "train.tsv, line 4: the recording 'b' of .*dev.tsv, line 2 is in two splits"),
        ("train.tsv", "a--1\taudio/a", "a--1\t/x/a", "train.tsv, line 3: the recording 'a' of .* another src_audio"),
        ("train.tsv", "a--1\taudio/a.flac\t25", "a--1\taudio/a.flac\t26", "line 3: .* another src_n_frames"),
        ("train.tsv", "hi\ten\na--1", "ko\ten\na--1", "line 3: .* another language or text"),
        ("source_letter/train.tsv", "a--1\ts o", "a--1\ts e", "line 3: .* another language or text"),
        (
            "source_letter/train.tsv",
            "a--1\ts o",
            "a--1\ts q",
            "letter/train.tsv, line 3: 'q' is not in the dict",
        ),
        ("dev.tsv", "\thi\ten", "\t../../x\ten", "dev.tsv, line 2: src_lang: '../../x' is no language; give letters"),
        ("config.yaml", "audio_root: /", "audio_root: s3://b/", "config.yaml: audio_root is s3://b/.*, but only local"),
        ("train.tsv", "src_n_frames", "n_frames", "train.tsv, line 1: the columns are"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(folder, file, old, new, message):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        read(root=str(folder), letters="source_letter")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": "s3://b/en-hi"}, "root of s2s is s3://b/en-hi, but only local files are read there; copy it"),
        ({"lang": "/home/x"}, "lang of .*: '/home/x' is no language"),
        ({"lang": "ko"}, "src_lang is 'hi', but the settings say lang=ko"),
        ({"letters": "source_letters"}, r"has no task 'source_letters' \(found: source_letter\); mend letters"),
        ({"root": "/nowhere"}, "/nowhere/config.yaml is not there"),
    ],
)
def test_wrong_settings_are_told(folder, settings, message):
    with pytest.raises(UserError, match=message):
        read(**{"root": str(folder), **settings})
