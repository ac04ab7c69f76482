"""fairseq reads what we write, we read what it writes, and where both write the same, the bytes are the same."""

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")

from fairseq import options
from fairseq.data import Dictionary as TheirDictionary
from fairseq.data import data_utils
from fairseq.data.audio.hubert_dataset import HubertDataset
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder, make_builder
from fairseq_cli import preprocess

from s2st import audio
from s2st.fairseq.binarized import IndexedSequences, side_prefixes, write_indexed
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.features import read_features
from s2st.fairseq.manifest import Entry, read_manifest, write_manifest
from s2st.fairseq.parallel_text import read_parallel_text, write_parallel_text
from s2st.fairseq.unit_files import parse_units, read_labels, read_quantized, write_labels, write_quantized

NUM_UNITS = 30
RANDOM = np.random.default_rng(0)


def sequences(count, num_units=NUM_UNITS):
    return [RANDOM.integers(0, num_units, RANDOM.integers(1, 40)).astype(np.uint16) for _ in range(count)]


@pytest.fixture
def script(monkeypatch):
    """A function that imports a script of fairseq's examples."""
    examples = importlib.import_module("fairseq.examples")
    for folder in ("hubert/simple_kmeans", "wav2vec"):
        monkeypatch.syspath_prepend(str(Path(examples.__file__).parent / folder))
    monkeypatch.setitem(sys.modules, "examples", examples)
    monkeypatch.setitem(sys.modules, "sentencepiece", ModuleType("sentencepiece"))
    monkeypatch.setitem(sys.modules, "torchaudio.sox_effects", ModuleType("torchaudio.sox_effects"))
    return pytest.importorskip


@pytest.fixture
def speech(tmp_path):
    """Three recordings, of different lengths, in a folder."""
    waveforms = {
        f"{name}.flac": RANDOM.normal(0, 0.1, n) for name, n in [("nava", 8000), ("b/clip.v1", 5000), ("c", 401)]
    }
    for name, waveform in waveforms.items():
        path = tmp_path / "speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio.encode(waveform))
    return tmp_path / "speech"


def test_hubert_dataset_reads_our_manifest_labels_and_dictionary(speech, tmp_path):
    entries = [Entry("nava.flac", 8000), Entry("b/clip.v1.flac", 5000)]
    labels = [parse_units(" ".join(["7 0"] * 12), NUM_UNITS), parse_units(" ".join(["29"] * 15), NUM_UNITS)]
    write_manifest(tmp_path / "train.tsv", str(speech), entries)
    write_labels(tmp_path / "train.km", labels)
    Dictionary.by_number(NUM_UNITS).save(tmp_path / "dict.km.txt")
    dictionary = TheirDictionary.load(str(tmp_path / "dict.km.txt"))

    def encode(line):
        return dictionary.encode_line(line, append_eos=False, add_if_not_exist=False)

    for store_labels in (True, False):  # False reads by byte offsets
        theirs = HubertDataset(
            str(tmp_path / "train.tsv"),
            16_000,
            [str(tmp_path / "train.km")],
            50.0,
            [dictionary.pad()],
            [dictionary.eos()],
            [encode],
            store_labels=store_labels,
        )
        assert len(theirs) == 2
        for item, entry, units in zip(theirs, entries, labels, strict=False):
            assert len(item["source"]) == entry.num_samples
            assert (item["label_list"][0].numpy() == units + 4).all()
            assert item["label_list"][0].numpy().tolist() == Dictionary.by_number(NUM_UNITS).encode(units)[:-1].tolist()


def test_we_read_the_manifest_of_wav2vec_manifest(script, speech, tmp_path):
    theirs = script("wav2vec_manifest")
    theirs.main(theirs.get_parser().parse_args([str(speech), "--dest", str(tmp_path), "--valid-percent", "0"]))
    folder, entries = read_manifest(tmp_path / "train.tsv")
    assert folder == str(speech)
    assert {(entry.name, entry.num_samples) for entry in entries} == {("nava", 8000), ("b-clip.v1", 5000), ("c", 401)}
    write_manifest(tmp_path / "again.tsv", folder, entries)
    assert (tmp_path / "again.tsv").read_bytes() == (tmp_path / "train.tsv").read_bytes()


def test_we_read_the_features_of_dump_mfcc_feature_and_the_labels_of_dump_km_label(script, speech, tmp_path):
    names = sorted(str(path.relative_to(speech)) for path in speech.rglob("*.flac"))
    entries = [Entry(name, soundfile.info(speech / name).frames) for name in names]
    write_manifest(tmp_path / "train.tsv", str(speech), entries)
    for rank in range(2):
        script("dump_mfcc_feature").main(str(tmp_path), "train", 2, rank, str(tmp_path), 16_000)
    features = list(read_features(tmp_path, "train"))
    assert [value.shape for value in features] == [(1 + (entry.num_samples - 400) // 160, 39) for entry in entries]

    centers = RANDOM.normal(0, 10, (NUM_UNITS, 39)).astype(np.float32)
    joblib = pytest.importorskip("joblib")
    joblib.dump(SimpleNamespace(cluster_centers_=centers), tmp_path / "km.bin")
    for rank in range(2):
        script("dump_km_label").dump_label(str(tmp_path), "train", str(tmp_path / "km.bin"), 2, rank, str(tmp_path))
    (tmp_path / "train.km").write_text("".join((tmp_path / f"train_{rank}_2.km").read_text() for rank in range(2)))
    texts = read_labels(tmp_path / "train.km", len(entries), "train.tsv")
    for value, text in zip(features, texts, strict=True):
        nearest = ((value[:, None] - centers) ** 2).sum(-1).argmin(-1)
        assert parse_units(text, NUM_UNITS).tolist() == nearest.tolist()


class Nearest:
    """A k-means model that gives every frame the unit 7."""

    def predict(self, features):
        return np.full(len(features), 7)


def test_we_read_the_lines_of_quantize_with_kmeans_and_keep_the_names_that_it_cuts(script, tmp_path):
    quantizer = script("examples.textless_nlp.gslm.speech2unit.clustering.quantize_with_kmeans")
    names = ["nava.wav", "en/clip_a.wav", "0012.wav"]
    entries = [Entry(name, 960) for name in names]
    write_manifest(tmp_path / "train.tsv", "/data", entries)
    np.save(tmp_path / "features.npy", np.zeros((3, 2, 4), np.float32))
    pytest.importorskip("joblib").dump(Nearest(), tmp_path / "km.bin")
    arguments = ["--feature_type", "hubert", "--features_path", f"{tmp_path}/features.npy", "--extension", "wav"]
    arguments += ["--kmeans_model_path", f"{tmp_path}/km.bin", "--manifest_path", f"{tmp_path}/train.tsv"]
    arguments += ["--acoustic_model_path", "", "--layer", "6", "--out_quantized_file_path", f"{tmp_path}/theirs.txt"]
    quantizer.main(quantizer.get_parser().parse_args(arguments), logging.getLogger())
    assert list(read_quantized(tmp_path / "theirs.txt")) == [("n", "7 7"), ("clip_", "7 7"), ("0012", "7 7")]
    write_quantized(tmp_path / "ours.txt", [(entry.name, np.array([7, 7])) for entry in entries])
    assert [name for name, _ in read_quantized(tmp_path / "ours.txt")] == ["nava", "en-clip_a", "0012"]


def test_s2ut_reads_our_quantized_files(script, tmp_path):
    write_quantized(tmp_path / "train.txt", [("nava", np.array([7, 7, 0])), ("clip_a", np.array([1]))])
    theirs = script("examples.speech_to_speech.preprocessing.data_utils").load_units(tmp_path / "train.txt")
    assert theirs == {"nava": ["7", "7", "0"], "clip_a": ["1"]}


def run_preprocess(folder, *arguments):
    parser = options.get_preprocessing_parser()
    names = ["--source-lang", "src", "--target-lang", "tgt", "--trainpref", f"{folder}/train"]
    rest = ["--validpref", f"{folder}/valid", "--destdir", f"{folder}/theirs", "--dataset-impl", "mmap"]
    preprocess.main(parser.parse_args([*names, *rest, "--joined-dictionary", *arguments]))


@pytest.mark.parametrize("order", ["number", "frequency"])
@pytest.mark.parametrize("num_units", [NUM_UNITS, 28, 500])
def test_our_binarized_files_are_those_of_fairseq_preprocess(tmp_path, order, num_units):
    splits = {
        split: [{"source_units": source, "target_units": target} for source, target in zip(*sides, strict=True)]
        for split, sides in {
            "train": (sequences(60, num_units), sequences(60, num_units)),
            "valid": (sequences(5, 20), [*sequences(4, 20), np.empty(0, np.uint16)]),
        }.items()
    }
    identity = dict.fromkeys(("pair_id", "sentence_id", "source_utterance_id", "target_utterance_id"), "x")
    for split, pairs in splits.items():
        write_parallel_text(tmp_path, split, [{**pair, **identity} for pair in pairs])
    if order == "number":
        dictionary = Dictionary.by_number(num_units)
        dictionary.save(tmp_path / "dict.txt")
        run_preprocess(tmp_path, "--srcdict", f"{tmp_path}/dict.txt")
    else:
        both = [pair[side] for pair in splits["train"] for side in ("source_units", "target_units")]
        dictionary = Dictionary.by_frequency(both)
        run_preprocess(tmp_path)
    for split, pairs in splits.items():
        prefixes = side_prefixes(tmp_path / "ours", split)
        for prefix, column in zip(prefixes, ("source_units", "target_units"), strict=True):
            write_indexed(prefix, [dictionary.encode(pair[column]) for pair in pairs], len(dictionary))
    for side in ("src", "tgt"):
        dictionary.save(tmp_path / "ours" / f"dict.{side}.txt")
    theirs = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir() if path.suffix != ".log"}
    ours = {path.name: path.read_bytes() for path in (tmp_path / "ours").iterdir()}
    assert len(ours) == 10
    assert ours == theirs
    assert Dictionary.load(tmp_path / "theirs" / "dict.src.txt") == dictionary
    assert [tuple(line) for line in read_parallel_text(tmp_path, "valid")][4][1] == ""


@pytest.mark.parametrize("size", [65_499, 65_500])
def test_fairseq_reads_our_binarized_files_and_we_its(tmp_path, size):
    prefix = str(tmp_path / "train.src-tgt.src")
    tokens = [np.append(RANDOM.integers(4, size, length), 2) for length in (0, 3, 17)]
    write_indexed(prefix, tokens, size)
    theirs = data_utils.load_indexed_dataset(prefix)
    ours = IndexedSequences(prefix)
    assert len(theirs) == len(ours) == 3
    assert all((theirs[i].numpy() == tokens[i]).all() and (ours[i] == tokens[i]).all() for i in range(3))

    builder = make_builder(f"{tmp_path}/again.bin", "mmap", vocab_size=size)
    for i in range(3):
        builder.add_item(theirs[i])
    builder.finalize(f"{tmp_path}/again.idx")
    for suffix in ("bin", "idx"):
        assert (tmp_path / f"again.{suffix}").read_bytes() == Path(f"{prefix}.{suffix}").read_bytes()


def test_fairseq_reads_every_type_that_we_read(tmp_path):

    for kind in (np.uint8, np.int16, np.int32, np.int64, np.uint16, np.uint32):
        prefix = str(tmp_path / np.dtype(kind).name)
        builder = MMapIndexedDatasetBuilder(f"{prefix}.bin", dtype=kind)
        builder.add_item(torch.tensor([4, 9, 2]))
        builder.add_item(torch.tensor([2]))
        builder.finalize(f"{prefix}.idx")
        ours = IndexedSequences(prefix)
        assert [ours[i].tolist() for i in range(len(ours))] == [[4, 9, 2], [2]]


def test_fairseq_reads_our_dictionaries_and_we_its(tmp_path):
    Dictionary.by_frequency(sequences(20)).save(tmp_path / "dict.txt")
    theirs = TheirDictionary.load(str(tmp_path / "dict.txt"))
    theirs.save(str(tmp_path / "again.txt"))
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "dict.txt").read_bytes()
    assert len(Dictionary.load(tmp_path / "again.txt")) == len(theirs)
    (tmp_path / "twice.txt").write_text("7 3\n5 1\n7 9 #fairseq:overwrite\n")
    theirs, ours = TheirDictionary.load(str(tmp_path / "twice.txt")), Dictionary.load(tmp_path / "twice.txt")
    units = np.array([7, 5])
    assert ours.encode(units).tolist() == theirs.encode_line("7 5", add_if_not_exist=False).tolist()
    assert ours.decode(ours.encode(units)).tolist() == [7, 5]
