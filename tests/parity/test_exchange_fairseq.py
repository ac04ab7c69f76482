"""What pipelines.exchange writes, in fairseq's own hands: its datasets, its feature dump, its preprocessing."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")

from fairseq import options
from fairseq.data import Dictionary
from fairseq.data.audio.data_cfg import MultitaskConfig, S2SDataConfig
from fairseq.data.audio.hubert_dataset import HubertDataset
from fairseq.data.audio.speech_to_speech_dataset import SpeechToSpeechDatasetCreator
from fairseq.tasks.speech_to_text import DummyMultiTask
from fairseq.tasks.translation import load_langpair_dataset
from fairseq_cli import preprocess

from pipelines import build_pairs
from pipelines.exchange import ExchangeConfig, run
from s2st import audio
from s2st.config import build
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.pairing import PairingConfig
from s2st.schemas import MANIFEST, PAIRS, UNITS
from s2st.speech_to_units import SpeechToUnits
from s2st.units import reduce
from stages import datasets
from stages.stage import Step

NUM_UNITS = 20
SPLITS = {"train": "train", "validation": "valid"}


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """A run's folder: recordings, their units of MFCC, pairs of these, all exported to theirs/."""
    folder, random = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    codebook = Codebook(CodebookConfig(NUM_UNITS, 39))
    codebook.centroids.copy_(codebook.centroids.new_tensor(random.normal(0, 15, (NUM_UNITS, 39))))
    speech_to_units = SpeechToUnits(FeatureExtractor(FeaturesConfig("mfcc")), codebook)
    speech_to_units.save(f"{folder}/codebook", {})
    manifest, rows = [], []
    for split, count in (("train", 12), ("validation", 3)):
        for i in range(2 * count):
            waveform = audio.decode(audio.encode(random.normal(0, 0.1, 4000 + 321 * i)))
            shared = {"utterance_id": f"{split}-nava-{i}", "sentence_id": f"{split}-{i // 2}", "split": split}
            shared.update(lang=("en", "hi")[i % 2], speaker="voice", num_samples=len(waveform))
            text = f"{'sन'[i % 2]}{i // 2}"  # short: a spectrogram has few steps
            manifest.append({**shared, "text": text, "audio": {"bytes": audio.encode(waveform), "path": ""}})
            (units,) = speech_to_units([waveform])
            rows.append({**shared, "units": units, "durations": reduce(units)[1], **speech_to_units.origin})
    datasets.write_table(pa.Table.from_pylist(manifest, MANIFEST), f"{folder}/manifest")
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{folder}/units")
    step = Step("pairs", "pipelines.build_pairs", str(folder), {}, {"units": ["units"]})
    build_pairs.run(PairingConfig(directions=("en-hi",), min_seconds=0), step)
    exchange(folder, "theirs", {"write": ["manifest", "km", "quantized", "unit_files", "text", "binarized"]})
    exchange(folder, "speech", {"write": ["s2ut", "s2spect"], "multitask": True})
    exchange(folder, "by_frequency", {"write": ["binarized"], "dictionary": "frequency"})
    return folder


def exchange(folder, name, settings):
    inputs = {key: [key] for key in ("manifest", "units", "pairs", "codebook")}
    return run(build(ExchangeConfig, settings, name), Step(name, "pipelines.exchange", str(folder), settings, inputs))


@pytest.mark.parametrize("lang", ["en", "hi"])
def test_hubert_trains_on_our_labels(a_run, lang):
    folder = a_run / "theirs/km" / lang
    dictionary = Dictionary.load(str(folder / "dict.km.txt"))
    assert len(dictionary) == NUM_UNITS + 4
    names = sorted(path.name for path in (a_run / "theirs/manifest" / lang).glob("*.tsv"))
    assert names == ["train.ids.tsv", "train.tsv", "valid.ids.tsv", "valid.tsv"]
    units = {row["utterance_id"]: row["units"] for row in datasets.read_table(f"{a_run}/units", UNITS).to_pylist()}
    for split in SPLITS.values():
        theirs = HubertDataset(
            str(folder / f"{split}.tsv"),
            16_000,
            [str(folder / f"{split}.km")],
            100.0,
            [dictionary.pad()],
            [dictionary.eos()],
            [lambda line: dictionary.encode_line(line, append_eos=False, add_if_not_exist=False)],
        )
        assert len(theirs) == (12 if split == "train" else 3)
        for i in range(len(theirs)):
            item = theirs[i]
            assert (item["label_list"][0].numpy() - 4).tolist() == units[theirs.audio_names[i].removesuffix(".flac")]
            assert len(item["source"]) == theirs.sizes[i]
        collated = theirs.collater([theirs[i] for i in range(2)])
        assert collated["net_input"]["source"].shape[0] == 2


def test_their_features_and_our_codebook_make_our_units(a_run, monkeypatch, tmp_path):
    examples = importlib.import_module("fairseq.examples")
    monkeypatch.syspath_prepend(str(Path(examples.__file__).parent / "hubert/simple_kmeans"))
    monkeypatch.setitem(sys.modules, "torchaudio.sox_effects", ModuleType("torchaudio.sox_effects"))
    dump = importlib.import_module("dump_mfcc_feature")
    given = []
    for lang in ("en", "hi"):
        tsvs = a_run / "theirs/manifest" / lang
        for split, theirs in SPLITS.items():
            for rank in range(2):
                dump.main(str(tsvs), theirs, 2, rank, str(tmp_path / lang), 16_000)
            source = {"format": "features", "path": str(tmp_path / lang), "tsv": str(tsvs / f"{theirs}.tsv")}
            given.append({**source, "lang": lang, "split": split})
    counts = exchange(a_run, "imported", {"read_units": given})
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (30, 30, 0)
    ours, theirs = (
        sorted(datasets.read_table(f"{a_run}/{name}", UNITS).to_pylist(), key=lambda row: row["utterance_id"])
        for name in ("units", "imported")
    )
    same = [
        a == b
        for row, other in zip(ours, theirs, strict=True)
        for a, b in zip(row["units"], other["units"], strict=True)
    ]
    assert np.mean(same) > 0.999  # their MFCC differ in the last bits: a frame between two centroids may go over
    assert [{**row, "units": 0, "durations": 0} for row in ours] == [
        {**row, "units": 0, "durations": 0} for row in theirs
    ]


@pytest.mark.parametrize("exported", ["theirs", "by_frequency"])
def test_fairseq_preprocess_makes_our_binarized_files_of_our_text(a_run, exported, tmp_path):
    text, ours = a_run / "theirs/text/en-hi", a_run / exported / "binarized/en-hi"
    arguments = ["--source-lang", "src", "--target-lang", "tgt", "--trainpref", f"{text}/train", "--validpref"]
    arguments += [f"{text}/valid", "--destdir", str(tmp_path), "--dataset-impl", "mmap", "--joined-dictionary"]
    if exported == "theirs":
        arguments += ["--srcdict", str(a_run / "theirs/km/en/dict.km.txt")]
    preprocess.main(options.get_preprocessing_parser().parse_args(arguments))
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".log"}
    assert len(made) == 10
    assert made == {path.name: path.read_bytes() for path in ours.iterdir() if path.name in made}
    dictionary = Dictionary.load(str(ours / "dict.src.txt"))
    pairs = load_langpair_dataset(
        str(ours), "train", "src", dictionary, "tgt", dictionary, False, "mmap", 0, False, False, 1024, 1024
    )
    assert len(pairs) == 12
    assert dictionary.string(pairs[0]["source"]) == (text / "train.src").read_text().splitlines()[0]


@pytest.mark.parametrize("kind", ["s2ut", "s2spect"])
def test_speech_to_speech_reads_our_pairs_and_their_auxiliary_tasks(a_run, kind, monkeypatch):
    sox = ModuleType("torchaudio.sox_effects")
    monkeypatch.setitem(sys.modules, sox.__name__, sox)
    monkeypatch.setattr("torchaudio.sox_effects", sox, raising=False)
    monkeypatch.chdir("/")
    folder = a_run / "speech" / kind / "en-hi"
    units = Dictionary()
    for unit in range(NUM_UNITS):
        units.add_symbol(str(unit))
    settings = MultitaskConfig(folder / "config_multitask.yaml").get_all_tasks()
    tasks = {name: DummyMultiTask(task, task.tgt_dict) for name, task in settings.items()}
    assert {(task.input_from, task.input_layer, task.get_loss_weight(0)) for task in settings.values()} == {
        ("encoder", 5, 8.0),
        ("encoder", 7, 8.0),
        ("decoder", 2, 1.6),
    }
    texts = {row["utterance_id"]: row["text"] for row in datasets.read_table(f"{a_run}/manifest", MANIFEST).to_pylist()}
    pairs = {row["pair_id"]: row for row in datasets.read_table(f"{a_run}/pairs", PAIRS).to_pylist()}
    seen = set()
    for split in SPLITS.values():
        data = SpeechToSpeechDatasetCreator.from_tsv(
            root=str(folder),
            data_cfg=S2SDataConfig(folder / "config.yaml"),
            splits=split,
            is_train_split=split == "train",
            epoch=1,
            seed=0,
            target_is_code=kind == "s2ut",
            tgt_dict=units if kind == "s2ut" else None,
            n_frames_per_step=1 if kind == "s2ut" else 5,
            multitask=tasks,
        )
        assert data.collater([data[0], data[1]])["multitask"].keys() == tasks.keys()
        for i, pair_id in enumerate(data.ids):
            item, targets = data[i]
            pair = pairs[pair_id]
            seen.add(pair_id)
            if kind == "s2ut":
                assert (item.target - 4).tolist()[:-1] == pair["target_units"]
            for name, task in tasks.items():
                text = texts[pair["source_utterance_id" if name == "source_letter" else "target_utterance_id"]]
                symbols = [task.target_dictionary[token] for token in targets[name]]
                end = [] if name == "decoder_target_ctc" else ["</s>"]
                assert symbols == [*text, "|", *end]
    assert seen == set(pairs)
