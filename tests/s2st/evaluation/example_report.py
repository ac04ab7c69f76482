"""A report with something in each of its parts."""

import dataclasses

import numpy as np

from s2st.audio import SAMPLE_RATE, encode
from s2st.evaluation.approaches import Approach
from s2st.evaluation.charts import Series
from s2st.evaluation.report_content import (
    Continuation,
    DataRow,
    Failures,
    Listening,
    Rejects,
    Report,
    Resynthesis,
    ScoreRow,
    Sentence,
    Sound,
    StageRow,
    Training,
    Transcripts,
    UnitPhones,
    UnitQuality,
    UnitUsage,
    VoiceScores,
)
from s2st.evaluation.scores import Share
from s2st.evaluation.unit_strip import UnitTimes
from s2st.evaluation.voice_scores import Figure

TIMES = UnitTimes((7, 3, 7), (5, 10, 5), 20.0)
FOUND = {"value": 31.25, "low": 29.0, "high": 33.5}
VARIED = {"auto_bleu": 0.125, "self_bleu": 0.5, "vert": 0.25}
SPOKEN = {"utterances": 9, "mean_units": 99.6, "finished": 1.0, "loops": 0.0, "diversity_of_units": VARIED}
LANGUAGE_MODEL = {
    "recordings": 21,
    "num_units": 200,
    "bits_per_second": 150.4,
    "perplexity": dict.fromkeys(("language model", "trigram", "bigram", "unigram"), FOUND),
    "speech": {"true": {**SPOKEN, "mean_words": 7.25, "diversity_of_words": VARIED}, "sampled": SPOKEN},
}
PHONES = {0: {"a": 90, "sil": 10}, 1: {"sil": 60, "a": 60}, 5: {"sil": 200, "b": 3}}


def sound(seed: int) -> bytes:
    """A quarter of a second of noise."""
    rng = np.random.default_rng(seed)
    return encode((0.1 * rng.standard_normal(SAMPLE_RATE // 4)).astype(np.float32))


def sentence(**changes) -> Sentence:
    """A sentence of which one of three content words is heard."""
    plain = Sentence(
        "hi → en",
        "mfcc",
        "voice-1",
        "लाल कप",
        "The red cup, red!",
        "red cap",
        ("red", "cup", "red"),
        ("red", "cap"),
    )
    return dataclasses.replace(plain, **changes)


def empty_report() -> Report:
    """A report of nothing."""
    return Report("Title", "recipe", "commit", "date", "machine", "corpus", 0.0, False)


def full_report() -> Report:
    """A report of a small run."""
    measured = {"sentences": 40, "content_words": 0.5, "bleu": 61.2, "chance": 0.25, "ceiling": 0.75, "recordings": 1.0}
    approach = Approach(
        "cascade", "hi-en", True, {"recognizer": 1_500_000}, {"recognizer": 90.0}, 0.0, False, (), 0.25, measured
    )
    losses = Training(
        "translation", (Series("loss", (0, 4, 9), (5, 2, 1)), Series("validation_loss", (0.0, 9.0), (5.0, 1.5)))
    )
    score = ScoreRow(
        "hi → en",
        "mfcc",
        "seen",
        104,
        Share(0.8123, 0.7791, 0.8444, 412),
        chance=0.1811,
        ceiling=0.9122,
        recordings=0.9733,
        word_error_rate=0.2144,
        character_error_rate=0.1355,
        unit_error_rate=0.3166,
        bleu=61.77,
        bleu_interval=(55.04, 66.66),
        chrf=74.88,
    )
    return Report(
        title="Hindi to <English> & back",
        recipe="recipes/demo.yaml",
        commit="abc1234",
        date="2001-02-03",
        machine="a computer with 2 cores",
        corpus="phrasebook",
        corpus_hours=3.25,
        synthetic=True,
        elapsed_seconds=4000.0,
        data=(DataRow("en", "train", 3000, 2900, 4, 1.75), DataRow("hi", "test", 200, 100, 2, 0.125)),
        stages=(
            StageRow("ingest", None, 5123, 7, 3.25, 12.34, cpu_hours=0.0069),
            StageRow("vocoder", 4411, None, 0, None, 7505.0, cpu_hours=4.1694, gpu_hours=2.0847, costs={"EUR": 5.5}),
        ),
        approaches=(approach,),
        scores=(score, ScoreRow("hi → en", "mfcc", "unseen", 98, Share(0.5, 0.25, 0.75, 300))),
        notes=("BLEU: nrefs:1|tok:13a",),
        transcripts=(Transcripts("heard", "hi", "seen", 33, 0.25, 0.125, 0.0625, 0.03125),),
        trainings=(losses,),
        unit_quality=(
            UnitQuality("units_1", "mfcc", "en", 100, 80.5, 0.25, 0.5, 0.125, 0.75, 0.875),
            UnitQuality("units_2", "hubert layer 2", "en", 99, 70.25, 0.5, 0.75, 0.25, 0.625, 0.875),
        ),
        unit_phones=(UnitPhones("units_1, en", PHONES),),
        unit_usages=(UnitUsage("mfcc, hi", (30, 30, 0), (8, 2, 1), 27.3, 20.0),),
        listening=(
            Listening(
                sentence(),
                Sound(sound(0), TIMES),
                Sound(sound(1), TIMES, "the red cup red"),
                Sound(sound(3), None, ""),
                Sound(sound(2), TIMES, "red cap"),
            ),
        ),
        voices=(VoiceScores("scores", "en", "predicted", 21, 400, {"mcd": Figure(4.125, 4, 4.25)}),),
        resyntheses=(Resynthesis("scores", "en", "Thank <you>.", Sound(sound(4), TIMES, ""), Sound(sound(5), TIMES)),),
        language_models={"lm_scores": {"en": LANGUAGE_MODEL}},
        continuations=(
            Continuation(
                "lm_scores", "en", "u-1", Sound(sound(6), TIMES, "go <on>"), Sound(sound(7), TIMES, "go"), 0.5
            ),
            Continuation("lm_scores", "en", "sample-0001", Sound(sound(8), TIMES, "")),
        ),
        best=(sentence(heard="the best"),),
        worst=(sentence(heard="", heard_words=(), fault="cut, loops"),),
        failures=(Failures("hi → en", "mfcc", 202, 11, 5, 1, 2, 3),),
        rejects=(Rejects("ingest", "the audio is silent", 7),),
    )
