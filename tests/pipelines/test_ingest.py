import numpy as np
import pytest
import soundfile

from pipelines.ingest import IngestConfig, check, check_inputs, manifest_row
from s2st import audio, storage
from s2st.config import UserError
from s2st.corpora.corpus import Recording
from s2st.corpora.fleurs import Fleurs
from s2st.schemas import MANIFEST
from stages import datasets
from stages.recipe import open_recipe
from stages.run import run_steps
from stages.stage import MADE_BY, Step, config_of

RECIPE = "run: {run}\nmanifest:\n  stage: pipelines.ingest\n  folder: {{root: {root}}}\n"


def recording(data, reject=None):
    return Recording("u1", "s1", "en", "train", "someone", "hello", data, reject)


def test_a_recording_becomes_a_row_at_16_khz(tone):
    row = manifest_row(recording(audio.encode(tone)))
    assert row["num_samples"] == len(tone)
    np.testing.assert_allclose(audio.decode(row["audio"]["bytes"]), tone, atol=1e-4)


@pytest.mark.parametrize(
    ("data", "reject", "reason"),
    [
        (b"", None, "the audio is empty"),
        (b"noise", None, "cannot be decoded"),
        (b"", "the row has no audio", "no audio"),
    ],
)
def test_what_cannot_be_used_says_why(data, reject, reason):
    row = manifest_row(recording(data, reject))
    assert reason in row["reason"]
    assert row["utterance_id"] == "u1"


def test_exactly_one_corpus():
    with pytest.raises(ValueError, match="give one corpus"):
        IngestConfig()


@pytest.fixture
def folder(tmp_path, tone):
    """Recordings good and bad, as people have them."""
    root = tmp_path / "speech"
    for lang in ("en", "hi"):
        (root / lang / "train").mkdir(parents=True)
        for name in ("a", "b"):
            soundfile.write(root / lang / "train" / f"{name}.wav", tone, 16_000)
    soundfile.write(root / "en" / "train" / "stereo.wav", np.stack([tone, tone], 1), 48_000)
    soundfile.write(root / "en" / "train" / "slow.flac", tone, 8_000)
    soundfile.write(root / "en" / "train" / "silent.wav", 0 * tone, 16_000)
    (root / "en" / "train" / "empty.wav").write_bytes(b"")
    (root / "en" / "train" / "text.wav").write_text("this is not audio")
    whole = (root / "en" / "train" / "a.wav").read_bytes()
    (root / "en" / "train" / "cut.wav").write_bytes(whole[:10_000])
    return root


def test_bad_files_are_set_aside_and_the_rest_goes_on(local_ray, folder, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(run=tmp_path / "run", root=folder))
    _, steps, _ = open_recipe(str(path), [])
    (record,) = run_steps(steps, parallel=2, tell=lambda line: None)
    assert (record["rows_in"], record["rows_out"], record["rejects"]) == (10, 6, 4)
    output = f"{tmp_path}/run/manifest"
    rows = datasets.read_table(output, MANIFEST).to_pylist()
    assert {audio.decode(row["audio"]["bytes"]).dtype for row in rows} == {np.dtype("float32")}
    assert sorted(row["num_samples"] for row in rows if row["lang"] == "en")[0] == pytest.approx(16_000 / 3, abs=2)
    reasons = {row["utterance_id"].rpartition("-")[2]: row["reason"] for row in datasets.rejects(output)}
    assert len(reasons) == 4
    assert any("truncated" in reason for reason in reasons.values())
    assert any("silent" in reason for reason in reasons.values())


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({"folder": {"root": "nothing"}}, "manifest.folder.root: there is no folder nothing; give one that is there"),
        ({"fleurs": {"root": "nothing"}}, "manifest.fleurs.root: there is no folder nothing"),
        ({"s2s": {"root": "nothing"}}, "manifest.s2s.root: there is no folder nothing"),
        (
            {"tsv": {"files": [{"path": "nothing.tsv", "lang": "en", "split": "train"}]}},
            "manifest.tsv.files: there is no file nothing.tsv",
        ),
    ],
)
def test_a_corpus_that_is_not_there_stops_with_one_sentence(corpus, message):
    step = Step("manifest", "pipelines.ingest", "run", corpus, {})
    with pytest.raises(UserError, match=message):
        check(config_of(step), step)


def test_a_corpus_of_ours_has_no_folder_to_look_for():
    for corpus in ("phrasebook", "sample"):
        step = Step("manifest", "pipelines.ingest", "run", {corpus: {}}, {})
        check(config_of(step), step)


def test_the_hub_is_asked_when_the_step_starts_and_not_before(monkeypatch):
    monkeypatch.setattr(Fleurs, "shards", lambda self: 1 / 0)
    step = Step("manifest", "pipelines.ingest", "run", {"fleurs": {}}, {})
    check(config_of(step), step)
    with pytest.raises(ZeroDivisionError):
        check_inputs(config_of(step), step)


def test_a_mistake_in_the_corpus_leaves_the_old_manifest(tmp_path, tone):
    """Of a run with --redo, after a folder was added that names no split."""
    (tmp_path / "speech/en/train").mkdir(parents=True)
    soundfile.write(tmp_path / "speech/en/train/a.wav", tone, 16_000)
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(run=tmp_path / "run", root=tmp_path / "speech"))
    _, steps, _ = open_recipe(str(path), [])
    record = {"fingerprint": "of other settings", "settings": {}, "rows_out": 1}
    storage.write_json(f"{tmp_path}/run/manifest/{MADE_BY}", record)
    (tmp_path / "speech/en/heldout").mkdir()
    soundfile.write(tmp_path / "speech/en/heldout/b.wav", tone, 16_000)
    with pytest.raises(UserError, match="en/heldout/b.wav: no folder of heldout names a split"):
        run_steps(steps, parallel=1, redo=True)
    assert storage.read_json(f"{tmp_path}/run/manifest/{MADE_BY}") == record


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["en/dev/a.wav", "en/eval/b.wav"], "would both be the split validation"),
        (["en/train/a.wav", "hi/test/a.wav"], "sentence 'a' is in two splits"),
    ],
)
def test_what_folders_contradict_is_told_before_anything_runs(tmp_path, files, message):
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"sound")
    step = Step("manifest", "pipelines.ingest", "run", {"folder": {"root": str(tmp_path)}}, {})
    with pytest.raises(UserError, match=message):
        check(config_of(step), step)
