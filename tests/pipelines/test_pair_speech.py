import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipelines import pair_speech
from pipelines.pair_speech import PairSpeechConfig
from s2st.config import UserError
from s2st.schemas import MANIFEST, PAIRS, SPEECH_PAIRS
from stages import datasets
from stages.stage import Step

STEP = {"name": "speech_pairs", "stage": "pipelines.pair_speech", "settings": {}}


def recording(number, lang):
    """A row of MANIFEST; what stands for audio tells whose it is."""
    name = f"{lang}-{number}"
    return {
        "utterance_id": name,
        "sentence_id": str(number),
        "lang": lang,
        "split": "test" if number % 5 == 0 else "train",
        "speaker": lang,
        "text": f"text of {name}",
        "audio": {"bytes": name.encode(), "path": None},
        "num_samples": 100 * number + len(name),
    }


def pair(source, target):
    return {
        "pair_id": f"{source['utterance_id']}--{target['utterance_id']}",
        "sentence_id": source["sentence_id"],
        "source_lang": source["lang"],
        "target_lang": target["lang"],
        "split": source["split"],
        "source_utterance_id": source["utterance_id"],
        "target_utterance_id": target["utterance_id"],
        "source_units": [1],
        "target_units": [source["num_samples"] % 7, 9],
        "codebook": "c",
    }


@pytest.fixture
def corpus(tmp_path, local_ray):
    """Write a manifest of several files and row groups; gives a function that pairs all of it but some recordings."""
    rows = {lang: [recording(number, lang) for number in range(40)] for lang in ("en", "hi")}
    for lang, part in rows.items():
        table = pa.Table.from_pylist(part, schema=MANIFEST)
        folder = tmp_path / "manifest" / f"lang={lang}"
        folder.mkdir(parents=True)
        pyarrow.parquet.write_table(table.drop_columns(["lang"]), folder / "0.parquet", row_group_size=7)
    both = [pair(a, b) for pair_of in zip(*rows.values(), strict=True) for a, b in (pair_of, pair_of[::-1])]

    def write_pairs(pairs):
        order = np.random.default_rng(0).permutation(len(pairs))
        datasets.write_table(pa.Table.from_pylist([pairs[i] for i in order], schema=PAIRS), f"{tmp_path}/pairs")
        return Step(run_folder=str(tmp_path), inputs={"pairs": ["pairs"], "manifest": ["manifest"]}, **STEP)

    return both, write_pairs


def test_each_pair_gets_its_two_recordings(corpus, monkeypatch):
    monkeypatch.setattr(pair_speech, "ROWS_AT_ONCE", 16)
    pairs, write_pairs = corpus
    pairs = [*pairs, pair(recording(3, "en"), recording(8, "hi"))]  # a source of two pairs
    step = write_pairs(pairs)
    counts = pair_speech.run(PairSpeechConfig(), step)
    rows = datasets.read_table(step.output, SPEECH_PAIRS).to_pylist()
    assert (counts.rows_in, counts.rows_out, len(rows)) == (81, 81, 81)
    assert {row["pair_id"]: row["target_units"] for row in rows} == {p["pair_id"]: p["target_units"] for p in pairs}
    for row in rows:
        for side in ("source", "target"):
            name = row[f"{side}_utterance_id"]
            assert row[f"{side}_audio"] == name.encode()
            assert row[f"{side}_text"] == f"text of {name}"
            assert row[f"{side}_samples"] == 100 * int(name.partition("-")[2]) + len(name)


def test_a_recording_that_is_not_in_the_manifest_is_told(corpus):
    pairs, write_pairs = corpus
    step = write_pairs([{**pairs[0], "target_utterance_id": "unknown"}, *pairs[1:]])
    with pytest.raises(UserError, match=r"1 recordings of .*pairs are not in .*manifest; name the manifest"):
        pair_speech.run(PairSpeechConfig(), step)
