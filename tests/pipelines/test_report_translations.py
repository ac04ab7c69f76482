import numpy as np
import pyarrow as pa
import pytest

from pipelines.listening import listening_of
from pipelines.report_translations import Evaluated, best_and_worst, failures_of, main_rows, score_rows, summary
from s2st import audio
from s2st.schemas import MANIFEST, TRANSLATIONS, UNITS
from stages import datasets
from stages.stage import Step

SCORE = {
    "sentences": 9,
    "content_words": 0.5,
    "content_words_interval": [0.25, 0.75],
    "num_content_words": 30,
    **dict.fromkeys(("chance", "ceiling", "recordings", "word_error_rate", "character_error_rate"), 0.125),
    "unit_error_rate": 0.25,
    "bleu": 40.0,
    "chrf": 50.0,
}


def row(pair, voices="seen", source="hi", target="en", heard="red cup", **changes):
    texts = {"source_text": "लाल कप", "reference_text": "The red cup", "heard_text": heard}
    texts.update(recording_text="the red cup", ceiling_text="the red")
    languages = {"source_lang": source, "target_lang": target}
    return {"pair_id": pair, "voices": voices, "finished": True, "loops": False, **texts, **languages, **changes}


def evaluated(rows, kind="mfcc", scores=None, translations="", units=""):
    return Evaluated(kind, scores or {}, rows, translations, units)


def test_sentences_are_of_voices_that_training_heard_where_a_direction_has_any():
    rows = [row("a"), row("b", "unseen"), row("c", "unseen", "en", "hi")]
    assert [kept["pair_id"] for kept in main_rows([evaluated(rows)])] == ["a", "c"]
    assert main_rows([]) == []


def test_sentences_are_chosen_by_the_words_that_arrive_and_say_if_they_were_cut():
    rows = [row("a", heard="red"), row("b"), row("c", heard="", finished=False, loops=True)]
    rows.append(row("d", reference_text="The"))  # it has no content word to arrive
    best, worst = best_and_worst([evaluated(rows)], 1)
    assert [sentence.heard for sentence in best] == ["red cup"]
    assert [(sentence.heard, sentence.fault) for sentence in worst] == [("", "cut, loops")]
    best, worst = best_and_worst([evaluated(rows)], 2)
    assert [sentence.heard for sentence in best] == ["red cup", "red"]
    assert [sentence.heard for sentence in worst] == [""]  # none is in both
    assert best_and_worst([], 9) == ((), ())


def test_intervals_are_shown_where_they_are_known():
    scores = {"hi-en": {"seen": {**SCORE, "bleu_interval": [35.0, 45.0]}}}
    (found,) = score_rows(evaluated([], scores=scores))
    assert (found.direction, found.bleu_interval, found.chrf_interval) == ("hi → en", (35, 45), None)
    assert (found.content_words.low, found.content_words.num_words) == (0.25, 30)


def test_the_summary_holds_unheard_voices_and_other_units_apart():
    first = evaluated([], "hubert layer 4", {"hi-en": {"unseen": {"content_words": 0.2}}})
    second = evaluated([], "mfcc", {"hi-en": {"seen": {"content_words": 0.3}}})
    assert summary([first, second]) == {
        "hi-en": {
            "units": "hubert layer 4",
            "unseen_voices": {"content_words": 0.2},
            "other_units": {"mfcc": {"seen": {"content_words": 0.3}}},
        }
    }
    assert summary([]) == {}


@pytest.fixture
def spoken(tmp_path, tone):
    """An evaluation of five translations: a good one, and one each that is empty, silent, unheard and cut."""
    sounds = {"good": tone, "empty": tone[:0], "silent": np.zeros_like(tone), "unheard": tone, "cut": tone}
    rows = [
        {
            "pair_id": name,
            "source_lang": "hi",
            "target_lang": "en",
            "source_utterance_id": "u-hi",
            "target_utterance_id": "u-en",
            "units": [4, 2],
            "durations": [40, 60],
            "audio": audio.encode(waveform),
            "ceiling_audio": audio.encode(tone),
            "seconds": len(waveform) / audio.SAMPLE_RATE,
        }
        for name, waveform in sounds.items()
    ]
    datasets.write_table(pa.Table.from_pylist(rows, TRANSLATIONS), f"{tmp_path}/translations")
    units = {"units": [1, 1, 2], "durations": [2, 1], "codebook": "mfcc-0-1-abc"}
    manifest = [
        {"utterance_id": f"u-{lang}", "audio": {"bytes": audio.encode(tone), "path": ""}} for lang in ("hi", "en")
    ]
    datasets.write_table(pa.Table.from_pylist(manifest, MANIFEST), f"{tmp_path}/manifest")
    datasets.write_table(pa.Table.from_pylist([{"utterance_id": "u-hi", **units}], UNITS), f"{tmp_path}/units")
    scored = [row(name) for name in ("good", "silent", "empty")]
    scored += [row("unheard", heard=" "), row("cut", finished=False, loops=True)]
    return evaluated(scored, translations=f"{tmp_path}/translations", units=f"{tmp_path}/units")


def test_each_translation_that_went_wrong_is_counted_as_what_it_is(spoken):
    (found,) = failures_of(spoken)
    assert (found.direction, found.num_translations) == ("hi → en", 5)
    assert (found.cut, found.loops, found.empty, found.silent, found.unheard) == (1, 1, 1, 1, 1)


def test_what_can_be_heard_has_its_units_over_time(spoken, tmp_path):
    step = Step("report", "pipelines.report", str(tmp_path), {}, {"manifest": ["manifest"]})
    (found,) = listening_of(step, spoken, [spoken.rows[0]])
    assert (found.source.units.units, found.source.units.durations, found.source.units.frame_ms) == ([1, 2], [2, 1], 10)
    assert found.target.units is None  # these units have no row of it
    assert (found.translated.units.units, found.translated.units.seconds) == ([4, 2], 1.0)
    heard = (found.source, found.target, found.resynthesised, found.translated)
    assert [sound.heard for sound in heard] == [None, "the red cup", "the red", "red cup"]
