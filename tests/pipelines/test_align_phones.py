import numpy as np
import pytest

from pipelines.align_phones import AlignPhonesConfig, PhoneAligner, check_inputs, phrasebook_of
from pipelines.ingest import manifest_row
from s2st import audio, storage
from s2st.config import UserError, to_mapping
from s2st.corpora.espeak import SILENCE
from s2st.corpora.phrasebook import Phrasebook, PhrasebookConfig
from stages import datasets
from stages.stage import MADE_BY, Step

BOOK = Phrasebook(PhrasebookConfig(num_sentences=9, num_test=3, num_validation=2))
STEP = {"name": "phones", "stage": "pipelines.align_phones", "settings": {}, "inputs": {"manifest": ["manifest"]}}


@pytest.fixture(scope="module")
def shard():
    """The test sentences in a voice that no model hears, and their rows of MANIFEST."""
    shard = BOOK.shards()[-1]
    return shard, [manifest_row(recording) for recording in BOOK.read(shard)]


def align(shard, lengths, folder):
    return PhoneAligner(BOOK, lengths, str(folder))({"item": np.array([shard], object)}).to_pylist()


def test_phones_lie_where_the_recording_is_loud(shard, tmp_path):
    shard, manifest = shard
    rows = align(shard, {row["utterance_id"]: row["num_samples"] for row in manifest}, tmp_path)
    assert [row["utterance_id"] for row in rows] == [row["utterance_id"] for row in manifest]
    for row, recording in zip(rows, manifest, strict=True):
        loudness = np.abs(audio.decode(recording["audio"]["bytes"]))
        vowel = next(i for i, name in enumerate(row["phones"]) if name[0] in "aeiouæɑɔəɛɪʊʌɐ")
        start, end = [*row["starts"], row["num_samples"]][vowel : vowel + 2]
        assert row["phones"][-1] == SILENCE
        assert loudness[row["starts"][-1] + 20 :].max() < 0.02 < loudness[start:end].max()
    assert datasets.rejects(str(tmp_path)) == []


def test_a_recording_of_another_length_is_rejected_and_one_that_is_missing_is_left_out(shard, tmp_path):
    shard, (one, other, _) = shard
    lengths = {one["utterance_id"]: one["num_samples"] + 1, other["utterance_id"]: other["num_samples"]}
    assert [row["utterance_id"] for row in align(shard, lengths, tmp_path)] == [other["utterance_id"]]
    (reject,) = datasets.rejects(str(tmp_path))
    assert reject["utterance_id"] == one["utterance_id"]
    expected = f"spoken again it has {one['num_samples']} samples instead of {one['num_samples'] + 1}"
    assert reject["reason"] == expected


def test_the_phrasebook_is_that_of_the_manifest_and_other_corpora_have_no_phones(tmp_path):
    step = Step(run_folder=str(tmp_path), **STEP)
    settings = {"phrasebook": to_mapping(BOOK.config), "sample": None}
    storage.write_json(f"{tmp_path}/manifest/{MADE_BY}", {"settings": settings})
    check_inputs(AlignPhonesConfig(), step)
    assert phrasebook_of(step).config == BOOK.config
    unvalidated = {"phrasebook": {**settings["phrasebook"], "num_validation": 0}}
    storage.write_json(f"{tmp_path}/manifest/{MADE_BY}", {"settings": unvalidated})
    message = r"no speech of the split 'validation'; remove it from splits \(found: train, test\)"
    with pytest.raises(UserError, match=message):
        check_inputs(AlignPhonesConfig(splits=("test", "validation")), step)
    storage.write_json(f"{tmp_path}/manifest/{MADE_BY}", {"settings": {"phrasebook": None, "sample": {}}})
    with pytest.raises(UserError, match="section 'phones': .*/manifest is not of the phrasebook"):
        check_inputs(AlignPhonesConfig(), step)
    with pytest.raises(ValueError, match="no split 'dev'"):
        AlignPhonesConfig(splits=("dev",))
    with pytest.raises(ValueError, match="splits is empty"):
        AlignPhonesConfig(splits=())
