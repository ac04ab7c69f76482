import json

import pyarrow as pa
import pytest

from pipelines import score_folder
from pipelines.score_folder import ScoreFolderConfig
from s2st import audio
from s2st.config import UserError
from s2st.schemas import FOLDER_SCORES, MANIFEST
from stages import datasets
from stages.stage import Step


@pytest.fixture
def a_folder(tmp_path, save_ctc, tone):
    """A judge that hears "a" in everything, speech of two sentences of three, and a manifest of all."""
    save_ctc(f"{tmp_path}/judge", ("a", " "), 0, {"labels": "letters", "languages": ["en"]})
    sound = audio.encode(tone, "WAV")
    (tmp_path / "speech").mkdir()
    for name in ("u1", "u2", "other"):
        (tmp_path / "speech" / f"{name}.wav").write_bytes(sound)
    shared = {"lang": "en", "split": "test", "speaker": "s", "num_samples": len(tone)}
    rows = [
        {**shared, "utterance_id": f"u{i}", "sentence_id": f"u{i}", "text": "A", "audio": {"bytes": sound, "path": "x"}}
        for i in (1, 2, 3)
    ]
    datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{tmp_path}/manifest")
    (tmp_path / "refs.tsv").write_text("id\ttext\nu1\tA\nu2\tA\nu3\tA\n")
    return tmp_path


def make(folder, config, **inputs):
    step = Step("scores", "pipelines.score_folder", str(folder), {}, {"recognizers": ["judge"], **inputs})
    score_folder.check(config, step)
    score_folder.check_inputs(config, step)
    counts = score_folder.run(config, step)
    return counts, json.loads((folder / "scores" / "_scores.json").read_text())["en"]


def test_a_folder_is_scored_with_a_manifest_or_a_table(a_folder, local_ray):
    speech = str(a_folder / "speech")
    counts, scores = make(a_folder, ScoreFolderConfig(speech, "en", max_workers=1), manifest=["manifest"])
    assert (counts.rows_in, counts.rows_out) == (3, 3)
    assert (scores["missing"], scores["extra"], scores["word_error_rate"]) == (1, 1, pytest.approx(1 / 3))
    assert (scores["judge_word_error_rate"], scores["duration_ratio"]) == (0, pytest.approx(2 / 3))
    assert scores["bleu_signature"].startswith("asr:hubert_ctc@")
    rows = datasets.read_table(str(a_folder / "scores"), FOLDER_SCORES).to_pylist()
    assert [(row["heard_text"], row["problem"]) for row in rows] == [("a", None), ("a", None), ("", "missing")]
    config = ScoreFolderConfig(speech, "en", references=str(a_folder / "refs.tsv"), max_workers=1)
    _, of_table = make(a_folder, config)
    assert {name: scores[name] for name in of_table} == of_table
    assert "recordings_bleu" not in of_table


def test_mistakes_are_told(a_folder):
    speech, table = str(a_folder / "speech"), str(a_folder / "refs.tsv")
    with pytest.raises(UserError, match="name a table of references, or a manifest"):
        make(a_folder, ScoreFolderConfig(speech, "en"))
    with pytest.raises(UserError, match="name a table of references, or a manifest"):
        make(a_folder, ScoreFolderConfig(speech, "en", references=table), manifest=["manifest"])
    with pytest.raises(UserError, match="no recognizer hears 'hi'"):
        make(a_folder, ScoreFolderConfig(speech, "hi", references=table))
    with pytest.raises(UserError, match="the train split has no speech in en"):
        make(a_folder, ScoreFolderConfig(speech, "en", split="train"), manifest=["manifest"])
    with pytest.raises(UserError, match="no file named after an id"):
        make(a_folder, ScoreFolderConfig(str(a_folder), "en", references=table))
    with pytest.raises(ValueError, match="recordings belong to references"):
        ScoreFolderConfig(speech, "en", recordings=speech)
