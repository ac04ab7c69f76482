import shutil

import numpy as np
import pyarrow as pa
import pytest

from pipelines import assemble_cascade, translate
from pipelines.batch_translator import BatchTranslator
from pipelines.translate import TranslateConfig
from s2st import audio, storage, translators
from s2st.baselines.cascade import CascadeConfig
from s2st.config import UserError
from s2st.interop.text_models import TextModelConfig
from s2st.interop.whisper import WhisperConfig
from s2st.schemas import MANIFEST, SPEECH_PAIRS
from stages import datasets
from stages.stage import Step


@pytest.fixture
def assemble(tmp_path, tiny_model, save_ctc):
    """A function that runs a section with a recogniser that hears "a" in everything; it gives the folder."""
    shutil.copytree(f"{tiny_model}/codebook", tmp_path / "codebook")
    save_ctc(f"{tmp_path}/letters", ("a", "b", " "), 0, {"labels": "letters", "languages": ["en"]})

    def run(directions=("en-hi",), **inputs):
        step = Step("cascade", "pipelines.assemble_cascade", str(tmp_path), {}, {"recognizers": ["letters"], **inputs})
        assemble_cascade.check_inputs(CascadeConfig(directions), step)
        assemble_cascade.run(CascadeConfig(directions), step)
        return step.output

    return run


def test_a_cascade_stands_alone(assemble, tmp_path, tiny_model, tone):
    folder = assemble(codebook=["codebook"])
    shutil.rmtree(tmp_path / "letters")
    shutil.rmtree(tmp_path / "codebook")
    found = translators.load(folder).translate(tone, "hi")
    assert found.source_text == "a"
    assert len(found.units) == len(found.durations) > 0
    model = storage.read_json(f"{folder}/model.json")
    assert (model["kind"], model["vocoders"]) == ("cascade", {})
    assert model["units"] == storage.read_json(f"{tiny_model}/model.json")["units"]


def test_parts_that_do_not_go_together_are_told(assemble):
    with pytest.raises(UserError, match="section 'cascade': no recognizer hears 'hi'; name one in recognizers"):
        assemble(directions=("en-hi", "hi-en"))
    for config, inputs, message in (
        (CascadeConfig(("en-hi",), WhisperConfig("a")), ["letters"], "needs recognizers or whisper to hear with"),
        (CascadeConfig(("en-hi",)), [], "needs recognizers or whisper to hear with; name one of the two"),
        (CascadeConfig(("en-fr",)), ["letters"], "the phrasebook has no 'fr' .it has en, hi, ko.; name text_models"),
    ):
        step = Step("cascade", "pipelines.assemble_cascade", "", {}, {"recognizers": inputs})
        with pytest.raises(UserError, match=message):
            assemble_cascade.check(config, step)


def test_training_sentences_are_what_is_translated_by(assemble, tmp_path):
    rows = [
        {"utterance_id": f"{i}", "sentence_id": sentence, "lang": lang, "split": split, "text": text}
        for i, (sentence, lang, split, text) in enumerate(
            [
                ("1", "en", "train", "good day"),
                ("1", "hi", "train", "नमस्ते"),
                ("2", "en", "train", "half of a pair"),
                ("3", "hi", "test", "जाँच"),
                ("3", "en", "test", "a test"),
            ]
        )
    ]
    datasets.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), f"{tmp_path}/manifest")
    folder = assemble(manifest=["manifest"])
    assert translators.load(folder).texts.translate(["a test"], "en", "hi") == ["नमस्ते"]
    with pytest.raises(UserError, match="section 'cascade': no training sentence has a text in all of en, ko"):
        assemble(directions=("en-ko",), manifest=["manifest"])
    step = Step("cascade", "pipelines.assemble_cascade", "", {}, {"recognizers": ["a"], "manifest": ["manifest"]})
    config = CascadeConfig(("en-hi",), text_models={"en-hi": TextModelConfig("a")})
    with pytest.raises(UserError, match="has both text_models and manifest to translate by; name one of the two"):
        assemble_cascade.check(config, step)


def translate_step(folder):
    inputs = {"speech_pairs": ["speech_pairs"], "model": ["cascade"]}
    return Step("translations", "pipelines.translate", str(folder), {}, inputs)


def write_pair(folder, units, tone):
    names = {"pair_id": "0", "sentence_id": "0", "source_lang": "en", "target_lang": "hi", "split": "test"}
    row = {
        **names,
        "source_utterance_id": "en-0",
        "target_utterance_id": "hi-0",
        "target_text": "नमस्ते",
        "codebook": units,
    }
    row.update(
        source_audio=audio.encode(tone), target_audio=audio.encode(tone), target_units=np.array([4, 5], np.uint16)
    )
    datasets.write_table(pa.Table.from_pylist([row], schema=SPEECH_PAIRS), f"{folder}/speech_pairs")


def test_speech_pairs_are_translated(assemble, tmp_path, tone):
    folder = assemble(codebook=["codebook"])
    write_pair(tmp_path, storage.read_json(f"{folder}/model.json")["units"], tone)
    config, step = TranslateConfig(), translate_step(tmp_path)
    translate.check_inputs(config, step)
    translate_rows = BatchTranslator(folder, config.search(), config.seed, step.output)
    (row,) = translate_rows(datasets.read_table(f"{tmp_path}/speech_pairs", SPEECH_PAIRS)).to_pylist()
    assert row["reference_units"] == [4, 5]
    (truth,) = translators.load(folder).speaker.speak(["नमस्ते"], "hi")
    np.testing.assert_allclose(audio.decode(row["ceiling_audio"]), truth, atol=1e-4)


def test_settings_that_would_do_nothing_are_told(assemble, tmp_path, tone):
    write_pair(tmp_path, "", tone)
    assemble()
    with pytest.raises(UserError, match="its model is a cascade, whose parts search as they are set; remove sampling"):
        translate.check_inputs(TranslateConfig(sampling=True), translate_step(tmp_path))
    with pytest.raises(UserError, match="its model has no codebook to compare units by; assemble it with one"):
        translate.check_inputs(TranslateConfig(), translate_step(tmp_path))
