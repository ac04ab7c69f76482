import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import build_pairs
from s2st.config import UserError
from s2st.corpora.folder import Folder, FolderConfig
from s2st.pairing import PairingConfig
from s2st.schemas import PAIRS, UNITS
from s2st.units import reduce
from stages import datasets
from stages.stage import Step


def row(name, lang, split="train", units=(1, 1, 2), seconds=5, sentence=None):
    return {
        "utterance_id": f"{name}-{lang}",
        "sentence_id": sentence or name,
        "lang": lang,
        "split": split,
        "speaker": f"voice-{lang}",
        "units": list(units),
        "durations": [],
        "num_samples": int(16_000 * seconds),
        "encoder": "",
        "layer": 0,
        "codebook": "c",
    }


@pytest.fixture
def build(tmp_path):
    """Run the stage on rows of UNITS; gives the counts and the rows of PAIRS."""

    def run(rows, target_rows=None, **settings):
        inputs = {"units": ["units"]}
        datasets.write_table(pa.Table.from_pylist(rows, schema=UNITS), f"{tmp_path}/units")
        if target_rows is not None:
            inputs["target_units"] = ["normalized"]
            datasets.write_table(pa.Table.from_pylist(target_rows, schema=UNITS), f"{tmp_path}/normalized")
        step = Step("pairs", "pipelines.build_pairs", str(tmp_path), {}, inputs)
        config = PairingConfig(**settings)
        build_pairs.check_inputs(config, step)
        counts = build_pairs.run(config, step)
        return counts, datasets.read_table(step.output, PAIRS).to_pylist()

    return run


def test_pairs_have_the_reduced_units_of_both_sides(build, monkeypatch):
    monkeypatch.setattr(build_pairs, "REDUCED_ROWS", 3)
    random = np.random.default_rng(0)
    rows = [
        row(f"{i}", lang, units=random.integers(0, 3, random.integers(9))) for i in range(20) for lang in ("en", "hi")
    ]
    reduced = {r["utterance_id"]: reduce(np.array(r["units"], int))[0].tolist() for r in rows}
    _, pairs = build(rows)
    assert len(pairs) == 40
    for pair in pairs:
        assert pair["pair_id"] == f"{pair['source_utterance_id']}--{pair['target_utterance_id']}"
        assert pair["source_units"] == reduced[pair["source_utterance_id"]]
        assert pair["target_units"] == reduced[pair["target_utterance_id"]]
        assert (pair["source_lang"], pair["target_lang"]) == (
            pair["source_utterance_id"][-2:],
            pair["target_utterance_id"][-2:],
        )
        assert (pair["split"], pair["codebook"]) == ("train", "c")


def test_targets_may_have_normalised_units(build, capsys):
    rows = [row(name, lang, units=(number, number, 9)) for number, name in enumerate("ab") for lang in ("en", "hi")]
    normalised = [{**r, "units": [r["units"][0] + 5] * 2 + [7]} for r in rows[::-1] if r["utterance_id"] != "b-hi"]
    _, pairs = build(rows, normalised)
    units = {pair["pair_id"]: (pair["source_units"], pair["target_units"]) for pair in pairs}
    assert units["a-en--a-hi"] == ([0, 9], [5, 7])
    assert units["b-hi--b-en"] == ([1, 9], [6, 7])
    assert units["b-en--b-hi"] == ([1, 9], [1, 9])
    assert "1 of 4 recordings lack target_units and keep their own" in capsys.readouterr().out
    with pytest.raises(UserError, match="target_units are of another codebook"):
        build(rows, [{**r, "codebook": "d"} for r in normalised])


def test_pairs_are_shuffled_by_a_seed_whatever_the_order_of_rows(build, monkeypatch):
    rows = [row(f"{i:02}", lang) for i in range(30) for lang in ("en", "hi")]
    counts, pairs = build(rows)
    assert [pair["sentence_id"] for pair in pairs] != sorted(pair["sentence_id"] for pair in pairs)
    monkeypatch.setattr(build_pairs, "FILE_PAIRS", 7)  # in nine files
    assert build(rows[::-1]) == (counts, pairs)
    assert build(rows, seed=1)[1] != pairs


def test_filters_and_missing_partners_are_written_and_told(build, tmp_path, capsys):
    rows = [row("a", "en"), row("a", "hi"), row("a", "ko", seconds=40), row("b", "en", "test"), row("c", "hi", "")]
    counts, pairs = build(rows)
    told = capsys.readouterr().out.splitlines()
    assert {pair["pair_id"] for pair in pairs} == {"a-en--a-hi", "a-hi--a-en"}
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (5, 2, 3)
    assert {r["utterance_id"]: r["reason"] for r in datasets.rejects(f"{tmp_path}/pairs")} == {
        "a-ko": "its pairs were taken by max_seconds",
        "b-en": "no partner in another language",
        "c-hi": "no partner in another language",
    }
    written = json.loads((tmp_path / "pairs/_filtered.json").read_text())
    assert {direction: (c["pairs"], c["max_seconds"], c["kept"]) for direction, c in written.items()} == {
        **{"en-hi": (1, 0, 1), "hi-en": (1, 0, 1)},
        **{"en-ko": (1, 1, 0), "ko-en": (1, 1, 0), "hi-ko": (1, 1, 0), "ko-hi": (1, 1, 0)},
    }
    lines = (tmp_path / "pairs/_missing_partners.tsv").read_text().splitlines()
    assert lines == ["sentence_id\tsplit\tmissing", "b\ttest\thi,ko", "c\ttrain\ten,ko"]
    assert pq.read_table(tmp_path / "pairs").num_rows == 2  # as pandas reads it: names that begin with _ are left out
    assert told[0].startswith("pairs: 2 of 3 sentences lack a language")
    assert told[1].startswith("pairs: 2 of 6 pairs are kept; filters took: en-ko max_seconds 1; hi-ko max_seconds 1;")


def test_the_seconds_of_units_made_elsewhere_are_those_of_their_units(build):
    rows = [row("a", lang, units=[1] * 49, seconds=0) for lang in ("en", "hi")]
    rows += [row("b", lang, units=[1] * 50, seconds=0) for lang in ("en", "hi")]
    assert {pair["sentence_id"] for pair in build(rows)[1]} == {"b"}


def test_recordings_named_by_language_pair_up(build, tmp_path):
    names = ["talk_en_1", "talk_hi_1", "talk_ko_1", "talk_en_2", "talk_hi_2", "my_talk_en_1"]
    for name in names:
        (tmp_path / f"{name}.wav").write_bytes(b"sound")
    corpus = Folder(FolderConfig(str(tmp_path)))
    found = [recording for shard in corpus.shards() for recording in corpus.read(shard)]
    rows = [row(r.sentence_id, r.lang, r.split) for r in found]
    counts, pairs = build(rows, min_seconds=0)
    assert {(pair["sentence_id"], pair["source_lang"], pair["target_lang"]) for pair in pairs} == {
        *(("folder-talk-1", a, b) for a in ("en", "hi", "ko") for b in ("en", "hi", "ko") if a != b),
        *(("folder-talk-2", a, b) for a, b in [("en", "hi"), ("hi", "en")]),
    }
    assert counts.rejects == 1


def test_nothing_to_pair_is_told(build):
    with pytest.raises(UserError, match="section 'pairs': all units are in one language .en."):
        build([row("a", "en")])
    with pytest.raises(UserError, match="direction 'en-ko': the units have no language 'ko'"):
        build([row("a", "en"), row("a", "hi")], directions=("en-ko",))
    with pytest.raises(UserError, match="section 'pairs': no sentence is there in two languages"):
        build([row("a", "en"), row("b", "hi")])


def test_filters_that_leave_nothing_to_train_on_are_told(build):
    rows = [
        row(name, lang, split, seconds=0.9) for name, split in [("a", "train"), ("b", "test")] for lang in ("en", "hi")
    ]
    with pytest.raises(UserError, match="the filters took every training pair; look at .*_filtered.json"):
        build(rows)
    assert len(build(rows[2:])[1]) == 2  # a test set alone is all right


def test_units_of_several_sections_are_paired(tmp_path):
    for name, lang in (("dumped", "en"), ("imported", "hi")):
        datasets.write_table(pa.Table.from_pylist([row("a", lang)], schema=UNITS), f"{tmp_path}/{name}")
    other = {**row("a", "hi"), "codebook": "d"}
    datasets.write_table(pa.Table.from_pylist([other], schema=UNITS), f"{tmp_path}/other")

    def run(*units):
        step = Step("pairs", "pipelines.build_pairs", str(tmp_path), {}, {"units": list(units)})
        build_pairs.check_inputs(PairingConfig(), step)
        return build_pairs.run(PairingConfig(), step)

    assert run("dumped", "imported").rows_out == 2
    with pytest.raises(UserError, match="the units are of 2 codebooks; pair those of one"):
        run("dumped", "other")
    with pytest.raises(UserError, match="an utterance comes twice in"):
        run("dumped", "dumped")
