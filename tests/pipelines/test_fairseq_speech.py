import pyarrow as pa
import pytest

from pipelines import build_pairs, fairseq_speech, ingest
from pipelines.fairseq_export import Export
from s2st import audio
from s2st.config import UserError
from s2st.corpora.s2s import S2s, S2sConfig
from s2st.fairseq.speech_to_speech import read_s2spect, read_s2ut
from s2st.pairing import PairingConfig
from s2st.schemas import MANIFEST, PAIRS, UNITS
from s2st.units import reduce
from stages import datasets
from stages.stage import Step

NUM_UNITS = 20
PAIRED = {"pairs": "pairs", "manifest": "texts", "codebook": "codebook"}


def test_speech_to_speech_folders_hold_the_pairs(a_run, exchange, rows_of):
    rows = rows_of(a_run / "pairs", PAIRS, "pair_id")
    rows[0]["target_units"] = []
    datasets.write_table(pa.Table.from_pylist(rows, PAIRS), f"{a_run}/some")
    inputs = {"pairs": "some", "manifest": "manifest", "codebook": "codebook"}
    counts = exchange(a_run, {"write": ["s2ut", "s2spect"]}, "theirs", **inputs)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (16, 15, 1)
    units, mels = {}, set()
    for direction in ("en-hi", "hi-en"):
        for split in ("train", "valid", "test"):
            folder = a_run / "theirs/s2ut" / direction
            if (folder / f"{split}.tsv").exists():
                units.update({pair.source.pair_id: pair for pair in read_s2ut(folder, split, NUM_UNITS)})
            mels |= {pair.source.pair_id for pair in read_s2spect(a_run / "theirs/s2spect" / direction, split)}
    assert mels == {row["pair_id"] for row in rows}
    assert {name: list(pair.units) for name, pair in units.items()} == {
        row["pair_id"]: row["target_units"] for row in rows[1:]
    }
    speech = {row["utterance_id"]: row["audio"]["bytes"] for row in rows_of(a_run / "manifest", MANIFEST)}
    assert all(pair.source.audio == speech[pair.source.recording_id] for pair in units.values())


def test_only_recordings_of_the_pairs_are_copied_for_a_while_and_in_the_output(a_run):
    table = datasets.read_table(f"{a_run}/pairs", PAIRS).slice(0, 1)
    given = Export(Step("out", "", str(a_run), {}, {"manifest": ["manifest"]}), a_run / "out", (), 0, "number", False)
    with fairseq_speech.recordings(given, table, "source_utterance_id") as known:
        assert list(known) == table["source_utterance_id"].to_pylist()
        assert all(path.is_relative_to(a_run / "out") and path.is_file() for path in known.files.values())
    assert list((a_run / "out").iterdir()) == []


@pytest.fixture
def s2ut(a_run, exchange, with_texts):
    """A folder of recordings to units, with auxiliary tasks, en to hi; its texts."""
    texts = with_texts(lambda lang, sentence: f"{lang} {sentence}"[:4])
    exchange(a_run, {"write": ["s2ut"], "multitask": True}, "theirs", **PAIRED)
    return a_run / "theirs/s2ut/en-hi", texts


def test_a_folder_of_recordings_to_units_makes_our_pairs(a_run, s2ut, codebook, exchange, rows_of):
    folder, texts = s2ut
    corpus = S2s(S2sConfig(str(folder), letters="source_letter"))
    recordings = [ingest.manifest_row(row) for shard in corpus.shards() for row in corpus.read(shard)]
    assert {row["utterance_id"]: row["text"] for row in recordings} == {
        name: text for name, text in texts.items() if name.startswith("u-en")
    }
    rows = []
    for row in recordings:
        (units,) = codebook([audio.decode(row["audio"]["bytes"])])
        rows.append({**row, "units": units, "durations": reduce(units)[1], **codebook.origin})
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{a_run}/dumped")
    counts = exchange(a_run, {"read_units": [{"format": "s2ut", "path": str(folder)}]}, "targets", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (4, 4, 0)
    step = Step("again", "pipelines.build_pairs", str(a_run), {}, {"units": ["dumped", "targets"]})
    build_pairs.run(PairingConfig(directions=("en-hi",), min_seconds=0, max_ratio=100), step)
    columns = ("source_utterance_id", "source_lang", "target_lang", "split", "source_units", "target_units", "codebook")
    ours, theirs = (
        [[row[name] for name in columns] for row in rows_of(a_run / name, PAIRS, "source_utterance_id")]
        for name in ("pairs", "again")
    )
    assert theirs == [row for row in ours if row[1] == "en"]


def test_targets_that_are_no_units_are_refused_or_rejects(a_run, s2ut, exchange):
    table = s2ut[0] / "test.tsv"
    header, line = table.read_text().splitlines()
    name, speech, frames, _, _, *languages = line.split("\t")
    given = {"read_units": [{"format": "s2ut", "path": str(s2ut[0])}]}

    def write(units, count):
        table.write_text("\n".join([header, "\t".join([name, speech, frames, units, count, *languages])]) + "\n")

    write("3 99", "2")
    assert exchange(a_run, given, "ours", codebook="codebook").rejects == 1
    (row,) = datasets.rejects(f"{a_run}/ours")
    assert row["utterance_id"] == f"hi-{name}"
    assert row["reason"] == "unit 99 is not one of the 20 units 0 to 19"
    for units, message in [("3 4", "tgt_n_frames is 3, but there are 2 units"), ("mel.zip:1:2", "is not units with")]:
        write(units, "3")
        with pytest.raises(UserError, match=f"test.tsv, line 2: .*{message}"):
            exchange(a_run, given, "other", codebook="codebook")
    table.write_text("\n".join([header, "\t".join([name, speech, frames, "3", "1", "hi", "../../x"])]) + "\n")
    with pytest.raises(UserError, match="test.tsv, line 2: tgt_lang: '../../x' is no language"):
        exchange(a_run, given, "other", codebook="codebook")
    with pytest.raises(UserError, match="the targets of s2ut are of no manifest; remove the input 'manifest'"):
        exchange(a_run, given, "other", codebook="codebook", manifest="manifest")
