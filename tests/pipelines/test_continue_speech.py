"""A language model and a vocoder with random weights go on from a recording, and are scored."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines import continue_speech, score_continuations
from pipelines.continue_speech import ContinueSpeechConfig, samples_of
from pipelines.score_continuations import Listener, ScoreContinuationsConfig
from s2st import audio, checkpoint, storage
from s2st.config import UserError, build
from s2st.continuation import surprisals
from s2st.evaluation.sample_diversity import auto_bleu
from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.schemas import CONTINUATION_SCORES, CONTINUATIONS, UNITS
from s2st.units import reduce
from stages import datasets
from stages.stage import Step

SETTINGS = {"prompt_seconds": 0.2, "min_seconds": 0.4, "num_samples": 3, "listen": 1, "max_workers": 1}


def save_language_model(folder, units, lang="en") -> UnitLm:
    torch.manual_seed(0)
    model = UnitLm(UnitLmConfig(num_layers=1, model_dim=16, num_heads=2, ffn_dim=16, num_units=20)).eval()
    checkpoint.save(str(folder), model, {"units": units, "lang": lang})
    return model


@pytest.fixture
def told(a_run, tiny_model, codebook, save_ctc):
    """The run with a vocoder of English, a language model, a judge that hears "a", and a second English test row."""
    storage.copy_folder(f"{tiny_model}/vocoders/en", f"{a_run}/vocoder")
    save_language_model(a_run / "language_model", codebook.fingerprint)
    save_ctc(f"{a_run}/judge", ("a", " "), 0, {"labels": "letters", "languages": ["en"]})
    rows = datasets.read_table(f"{a_run}/units", UNITS).to_pylist()
    (known,) = (row for row in rows if row["lang"] == "en" and row["split"] == "test")
    short = {**known, "utterance_id": "short", "units": [1, 1, 2], "durations": [2, 1]}
    datasets.write_table(pa.Table.from_pylist([*rows, short], UNITS), f"{a_run}/units")
    return a_run


def speak(folder, name="spoken", **settings):
    inputs = {name: [name] for name in ("units", "language_model", "vocoder")}
    step = Step(name, "pipelines.continue_speech", str(folder), {}, inputs)
    config = build(ContinueSpeechConfig, {**SETTINGS, **settings}, name)
    continue_speech.check_inputs(config, step)
    return continue_speech.run(config, step)


def judge(folder, **inputs):
    inputs = {"continuations": ["spoken"], "units": ["units"], "language_model": ["language_model"], **inputs}
    step = Step("scores", "pipelines.score_continuations", str(folder), {}, inputs)
    config = ScoreContinuationsConfig(max_workers=1)
    score_continuations.check_inputs(config, step)
    counts = score_continuations.run(config, step)
    return counts, json.loads((folder / "scores" / "_scores.json").read_text())["en"]


def test_a_recording_goes_on_and_samples_begin_by_themselves(told, local_ray, rows_of):
    sampling = {"max_units": 12, "temperature": 1.0}
    counts = speak(told, sampling=sampling)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (5, 5, 0)
    rows = rows_of(told / "spoken", CONTINUATIONS, "kind")
    assert [row["kind"] for row in rows] == ["continued", "sampled", "sampled", "sampled", "true"]
    continued, *samples, true = rows
    recorded = next(row for row in rows_of(told / "units", UNITS) if row["utterance_id"] == true["utterance_id"])
    units, (prompt, _) = np.array(recorded["units"]), reduce(np.array(recorded["units"])[:10])
    assert true["units"] == reduce(units)[0].tolist()
    assert true["num_prompt_units"] == continued["num_prompt_units"] == len(prompt)
    assert continued["units"][: len(prompt)] == true["units"][: len(prompt)] == prompt.tolist()
    for row in rows:
        assert len(samples_of(row["audio"])) == row["num_samples"] == sum(row["durations"]) * audio.HOP
        assert reduce(np.array(row["units"]))[0].tolist() == row["units"]
        assert len(row["durations"]) == len(row["units"])
        assert row["prompt_samples"] == sum(row["durations"][: row["num_prompt_units"]]) * audio.HOP
        assert 0 < len(row["units"]) - row["num_prompt_units"] <= 12 or row["kind"] == "true"
        assert (row["prompt_samples"] > 0) == (row["kind"] != "sampled")
    assert len({tuple(row["units"]) for row in samples}) == 3
    listen = sorted(path.name for path in (told / "spoken" / "listen").iterdir())
    assert listen == ["continued_01.wav", "sampled_01.wav", "true_01.wav"]

    speak(told, "in_other_batches", sampling=sampling, batch_rows=1)
    again = rows_of(told / "in_other_batches", CONTINUATIONS, "utterance_id")
    known = {(row["utterance_id"], row["kind"]): row["units"] for row in rows}
    assert {(row["utterance_id"], row["kind"]): row["units"] for row in again} == known


def test_what_it_says_is_scored_beside_the_recordings_and_n_grams(told, local_ray, rows_of):
    speak(told, sampling={"max_units": 12})
    counts, scores = judge(told, recognizers=["judge"])
    assert (counts.rows_in, counts.rows_out) == (5, 5)
    test = [row for row in rows_of(told / "units", UNITS) if (row["lang"], row["split"]) == ("en", "test")]
    units = [reduce(np.array(row["units"]))[0] for row in test]
    model, _ = checkpoint.load(f"{told}/language_model")
    nats, tokens = surprisals(model, units).sum(), sum(len(row) + 1 for row in units)
    assert (scores["recordings"], scores["tokens"]) == (2, tokens)
    assert scores["nats_per_unit"] == pytest.approx(nats / tokens, rel=1e-5)
    seconds = sum(len(row["units"]) for row in test) / 50
    assert scores["bits_per_second"] == pytest.approx(nats / np.log(2) / seconds, rel=1e-5)
    found = scores["perplexity"]["language model"]
    assert found["value"] == pytest.approx(np.exp(nats / tokens), rel=1e-5)
    assert found["low"] <= found["value"] <= found["high"]
    assert list(scores["perplexity"]) == ["language model", "trigram", "bigram", "unigram"]

    rows = [row for row in rows_of(told / "spoken", CONTINUATIONS) if row["kind"] == "sampled"]
    heard = [row for row in rows_of(told / "scores", CONTINUATION_SCORES) if row["kind"] == "sampled"]
    assert [row["units"] for row in heard] == [row["units"] for row in rows]
    assert {row["heard_text"] for row in heard} == {"a"}
    speech = scores["speech"]
    assert list(speech) == ["true", "continued", "sampled"]
    assert speech["sampled"]["diversity_of_words"]["self_bleu"] == 0, "one word has no bigram"
    assert speech["sampled"]["mean_words"] == 1
    own = speech["sampled"]["diversity_of_units"]["auto_bleu"]
    assert own == pytest.approx(np.mean([auto_bleu(row["units"]) for row in rows]))
    assert "diversity_of_units" not in speech["true"], "one recording has nothing to be compared with"

    _, scores = judge(told)
    assert "diversity_of_words" not in scores["speech"]["sampled"]
    assert {row["heard_text"] for row in rows_of(told / "scores", CONTINUATION_SCORES)} == {None}


def test_a_sample_of_one_unit_or_none_is_heard_as_nothing(told):
    """A unit is shorter than what is taken for a recording."""
    row = {"utterance_id": "a", "lang": "en", "kind": "sampled", "num_prompt_units": 0, "units": [3]}
    row |= {"finished": True, "loops": False, "prompt_samples": 0, "num_samples": audio.HOP}
    row["audio"] = audio.encode(np.full(audio.HOP, 0.1, np.float32))
    ended = {**row, "kind": "continued", "num_prompt_units": 1, "prompt_samples": audio.HOP}
    heard = Listener([f"{told}/judge"])(pa.Table.from_pylist([row, ended], CONTINUATIONS)).to_pylist()
    assert [found["heard_text"] for found in heard] == ["", ""]
    assert [found["units"] for found in heard] == [[3], []]


def test_mistakes_are_told(told, codebook):
    with pytest.raises(ValueError, match="min_seconds=2 must be above prompt_seconds=3"):
        ContinueSpeechConfig(min_seconds=2)
    with pytest.raises(ValueError, match="prompt_seconds=0 must be above 0"):
        ContinueSpeechConfig(prompt_seconds=0)
    with pytest.raises(UserError, match="no recording in 'en' of the split 'test' has min_seconds=60.0"):
        speak(told, min_seconds=60.0)
    save_language_model(told / "language_model", codebook.fingerprint, "ko")
    with pytest.raises(UserError, match="the vocoder does not speak 'ko', the language model's own"):
        speak(told)
    with pytest.raises(UserError, match="no utterance of the test split can be scored"):
        judge(told)
    save_language_model(told / "language_model", "mfcc-0-20-other")
    with pytest.raises(UserError, match="the vocoder does not speak the language model's units"):
        speak(told)
    with pytest.raises(UserError, match="are not the units of its language model"):
        judge(told)
