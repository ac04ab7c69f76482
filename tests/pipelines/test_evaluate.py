import pyarrow as pa
import pytest

from pipelines.evaluate import EvaluateConfig, check_inputs, run, score
from pipelines.hearing import TO_HEAR, Judge
from s2st import audio, checkpoint, storage
from s2st.config import UserError
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.schemas import MANIFEST, SCORES, TRANSLATIONS
from stages import datasets
from stages.stage import Step


def write_translations(folder, known=("u",)):
    """Two translations of one utterance, and a manifest of those that are `known`."""
    shared = {"source_utterance_id": "u", "target_utterance_id": "u"}
    rows = [{**shared, "target_lang": lang} for lang in ("en", "hi")]
    datasets.write_table(pa.Table.from_pylist(rows, schema=TRANSLATIONS), f"{folder}/translations")
    manifest = [{"utterance_id": name, "lang": "en", "split": "test"} for name in known]
    datasets.write_table(pa.Table.from_pylist(manifest, schema=MANIFEST), f"{folder}/manifest")


def test_each_language_needs_one_recognizer(tmp_path):
    write_translations(tmp_path)
    for name, lang in (("judge_en", "en"), ("judge_hi", "hi"), ("other", "hi")):
        config = {"model": "recognizer", "config": {}, "info": {"lang": lang}}
        storage.write_json(f"{tmp_path}/{name}/config.json", config)

    def check(*recognizers):
        inputs = {"translations": ["translations"], "manifest": ["manifest"], "recognizers": list(recognizers)}
        check_inputs(EvaluateConfig(), Step("evaluation", "pipelines.evaluate", str(tmp_path), {}, inputs))

    check("judge_en", "judge_hi")
    with pytest.raises(UserError, match="section 'evaluation': no recognizer hears 'hi'; train one and name it here"):
        check("judge_en")
    with pytest.raises(UserError, match="section 'evaluation': two of the recognizers hear one language; name one"):
        check("judge_en", "judge_hi", "other")
    write_translations(tmp_path, known=["other"])
    with pytest.raises(UserError, match="section 'evaluation': the manifest lacks 'u', which was translated"):
        check("judge_en", "judge_hi")


def test_one_fine_tuned_model_may_hear_several_languages(tmp_path):
    write_translations(tmp_path)
    for labels in ("letters", "units"):
        info = {"labels": labels, "languages": ["en", "hi"]}
        storage.write_json(f"{tmp_path}/{labels}/config.json", {"model": "hubert_ctc", "config": {}, "info": info})

    def check(recognizer):
        inputs = {"translations": ["translations"], "manifest": ["manifest"], "recognizers": [recognizer]}
        check_inputs(EvaluateConfig(), Step("evaluation", "pipelines.evaluate", str(tmp_path), {}, inputs))

    check("letters")
    with pytest.raises(UserError, match="units hears units and not letters"):
        check("units")
    storage.write_json(f"{tmp_path}/foreign/config.json", {"model": "hubert_ctc", "config": {}, "info": {}})
    with pytest.raises(UserError, match="foreign/config.json does not say which languages it hears"):
        check("foreign")


def test_a_judge_may_be_a_fine_tuned_hubert(tmp_path, tone):
    model = HubertCtc(HubertCtcConfig(("a", " "), EncoderConfig(width=32, num_layers=1, num_heads=2, ffn_dim=32)))
    model.output.weight.data.zero_()
    model.output.bias.data[4] = 5.0  # it always hears "a"
    checkpoint.save(f"{tmp_path}/letters", model, {"labels": "letters", "languages": ["en", "hi"]})
    sound = audio.encode(tone)
    rows = [{"name": "p", "column": column, "lang": "hi", "audio": sound} for column in ("heard_text", "ceiling_text")]
    rows[1]["audio"] = b""
    heard = Judge([f"{tmp_path}/letters"])(pa.Table.from_pylist(rows, TO_HEAR)).to_pylist()
    assert [row["text"] for row in heard] == ["a", ""]


def rows(heard):
    """Rows of two sentences, of which `heard` is heard."""
    texts = ["Where are my 2 red books?", "The tea cup is on the table."]
    plain = {"target_lang": "en", "chance_text": "", "ceiling_text": "", "finished": True, "seconds": 3.0}
    units = {"units": [1, 2, 3, 4, 5], "reference_units": [1, 2, 3, 4, 5], "reference_seconds": 2.0}
    return [
        {**plain, **units, "sentence_id": f"s{i}", "reference_text": text, "recording_text": text, "heard_text": sound}
        for i, (text, sound) in enumerate(zip(texts, heard, strict=True))
    ]


def test_scores_follow_the_protocol_and_say_so():
    for name, heard in (
        ("plain", ["where are my two red books", "the tea cup is on the table"]),
        ("seamless", ["Where are my two red books.", "The tea cup is on the table!"]),
        ("fairseq", ["WHERE ARE MY TWO RED BOOKS", "THE TEA CUP IS ON THE TABLE"]),
    ):
        found = score(rows(heard), EvaluateConfig(protocol=name), {"en": "judge@1"})
        assert (found["bleu"], found["chrf"], found["unit_bleu"]) == pytest.approx((100, 100, 100))
        assert [*found["bleu_interval"], *found["chrf_interval"]] == pytest.approx([100] * 4)
        assert found["word_error_rate"] == found["unit_error_rate"] == 0
        assert found["duration_ratio"] == 1.5
        assert found["bleu_signature"].startswith(f"asr:judge@1|protocol:{name}|norm:")
    assert score(rows(["", ""]), EvaluateConfig(), {"en": "judge@1"})["bleu"] == 0
    assert score(rows(["", ""]), EvaluateConfig(), {"en": "judge@1"})["recordings_bleu"] == pytest.approx(100)


def test_translations_are_heard_and_scored(tmp_path, local_ray, save_ctc, tone):
    """One of two translations is silent: nothing is heard in it, and it counts."""
    save_ctc(f"{tmp_path}/judge", ("z", " "), 0, {"labels": "letters", "languages": ["en"]})
    sound = audio.encode(tone)
    known = {"split": "test", "speaker": "s", "num_samples": len(tone), "audio": {"bytes": sound, "path": "x"}}
    spoken = [
        {**known, "utterance_id": f"{lang}{i}", "sentence_id": f"s{i}", "lang": lang, "text": "Z"}
        for lang in ("en", "hi")
        for i in (1, 2)
    ]
    datasets.write_table(pa.Table.from_pylist(spoken, schema=MANIFEST), f"{tmp_path}/manifest")
    shared = {"source_lang": "hi", "target_lang": "en", "units": [1, 2], "reference_units": [1, 2], "finished": True}
    translations = [
        {
            **shared,
            "pair_id": f"p{i}",
            "sentence_id": f"s{i}",
            "source_utterance_id": f"hi{i}",
            "target_utterance_id": f"en{i}",
            "audio": data,
            "ceiling_audio": sound,
            "seconds": seconds,
        }
        for i, data, seconds in ((1, sound, 1.0), (2, audio.encode(0 * tone), 0.5))
    ]
    datasets.write_table(pa.Table.from_pylist(translations, schema=TRANSLATIONS), f"{tmp_path}/translations")
    inputs = {"translations": ["translations"], "manifest": ["manifest"], "recognizers": ["judge"]}
    step = Step("evaluation", "pipelines.evaluate", str(tmp_path), {}, inputs)
    run(EvaluateConfig(protocol="fairseq", max_workers=1), step)
    rows = datasets.read_table(step.output, SCORES).to_pylist()
    assert [(row["heard_text"], row["recording_text"], row["seconds"]) for row in rows] == [
        ("z", "z", 1),
        ("", "z", 0.5),
    ]
    found = storage.read_json(f"{step.output}/_scores.json")["hi-en"]["unseen"]
    assert (found["word_error_rate"], found["judge_word_error_rate"], found["duration_ratio"]) == (0.5, 0, 0.75)
    assert found["bleu_signature"].startswith("asr:hubert_ctc@")
