"""A small run to exchange with fairseq: two languages, four sentences, all splits; and what is done in it."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from pipelines import build_pairs
from pipelines.exchange import ExchangeConfig, check, check_inputs, run
from s2st import audio, checkpoint
from s2st.config import build
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.pairing import PairingConfig
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import SpeechToUnits
from s2st.units import reduce
from stages import datasets
from stages.stage import Step

RANDOM = np.random.default_rng(0)
SENTENCES = {"a": "train", "nava": "train", "b.wav": "validation", "c": "test"}


@pytest.fixture(scope="session")
def codebook(tiny_model):
    """What makes the units of the run, of 20 of them."""
    return SpeechToUnits.load(f"{tiny_model}/codebook")


@pytest.fixture
def a_run(tmp_path, tiny_model, codebook, pair):
    """A run's folder with a manifest, its units, their pairs and the codebook."""
    shutil.copytree(f"{tiny_model}/codebook", tmp_path / "codebook")
    manifest, rows = [], []
    for lang, (sentence, split) in [(lang, item) for lang in ("en", "hi") for item in SENTENCES.items()]:
        waveform = RANDOM.normal(0, 0.1, 8000 + 320 * len(rows)).astype(np.float32)
        shared = {"sentence_id": sentence, "lang": lang, "split": split, "speaker": f"voice-{lang}"}
        shared.update(utterance_id=f"u-{lang}-{sentence}", num_samples=len(waveform))
        manifest.append({**shared, "text": "", "audio": {"bytes": audio.encode(waveform), "path": "x.flac"}})
        (units,) = codebook([waveform])
        rows.append({**shared, "units": units, "durations": reduce(units)[1], **codebook.origin})
    datasets.write_table(pa.Table.from_pylist(manifest, MANIFEST), f"{tmp_path}/manifest")
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{tmp_path}/units")
    pair(tmp_path)
    return tmp_path


@pytest.fixture
def pair():
    """A function that pairs the units of a folder, as the recipe's section pairs does; it gives the number of pairs."""

    def pair_units(folder, units="units"):
        step = Step("pairs", "pipelines.build_pairs", str(folder), {}, {"units": [units]})
        return build_pairs.run(PairingConfig(min_seconds=0), step).rows_out

    return pair_units


@pytest.fixture
def exchange():
    """A function that runs a section of pipelines.exchange; it gives what the section counted."""

    def run_section(folder, settings, name="out", **inputs):
        step = Step(name, "pipelines.exchange", str(folder), settings, {key: [value] for key, value in inputs.items()})
        config = build(ExchangeConfig, settings, name)
        check(config, step)
        check_inputs(config, step)
        return run(config, step)

    return run_section


@pytest.fixture
def rows_of():
    """A function that gives the rows of a dataset, sorted."""

    def read(folder, schema, key="utterance_id"):
        return sorted(datasets.read_table(str(folder), schema).to_pylist(), key=lambda row: row[key])

    return read


@pytest.fixture
def with_texts(a_run, rows_of):
    """A function that makes the manifest `texts` by a text for each language and sentence; it gives them by id."""

    def write(text_of):
        rows = rows_of(a_run / "manifest", MANIFEST)
        for row in rows:
            row["text"] = text_of(row["lang"], row["sentence_id"])
        datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{a_run}/texts")
        return {row["utterance_id"]: row["text"] for row in rows}

    return write


@pytest.fixture
def save_ctc():
    """A function that writes a HubertCtc that hears the symbol number `heard` in every frame."""

    def save(folder, symbols, heard, info):
        convolutions = ((16, 10, 5), (16, 8, 8), (16, 8, 8))
        encoder = EncoderConfig(conv_layers=convolutions, width=32, num_layers=1, num_heads=2, ffn_dim=32)
        model = HubertCtc(HubertCtcConfig(symbols, encoder))
        model.output.weight.data.zero_()
        model.output.bias.data[4 + heard] = 5.0
        checkpoint.save(folder, model, info)

    return save


@pytest.fixture
def ctc_run(tmp_path, save_ctc):
    """A run's folder: recordings of three languages, one of them broken, and a model of letters and one of units."""
    rows = []
    for number, (lang, text, split) in enumerate(
        [("en", "a", "test"), ("en", "A b", "test"), ("en", "a", "train"), ("hi", "म", "test"), ("ko", "한", "test")]
    ):
        waveform = np.random.default_rng(number).normal(0, 0.1, 8000).astype(np.float32)
        data = audio.encode(waveform)
        rows.append(
            {
                "utterance_id": f"u{number}",
                "sentence_id": f"s{number}",
                "lang": lang,
                "split": split,
                "speaker": "b" if number == 1 else "a",
                "text": text,
                "audio": {"bytes": data[:100] if lang == "hi" else data, "path": ""},
                "num_samples": len(waveform),
            }
        )
    datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{tmp_path}/manifest")
    save_ctc(f"{tmp_path}/letters", ("a", "b", " "), 0, {"labels": "letters", "languages": ["en", "hi"]})
    units = {"labels": "units", "languages": ["en"], "codebook": "hubert-9-1"}
    save_ctc(f"{tmp_path}/units_heard", ("0", "1", "2"), 2, units)
    return tmp_path
