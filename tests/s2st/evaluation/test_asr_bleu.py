import pytest
import sacrebleu

from s2st.evaluation.asr_bleu import score_heard
from s2st.evaluation.protocols import protocol

REFERENCES = ["Where are my 2 red books?", "The tea cup is on the table.", "Open the door, please!"]
HEARD = ["where are my two red books", "the tea cup is on a table", ""]


def test_the_signature_says_all_that_matters() -> None:
    scores = score_heard(protocol("seamless", "ja"), "openai/whisper@abc", ["猫がいる"], ["猫がいた"])
    assert scores["bleu_signature"] == (
        "asr:openai/whisper@abc|protocol:seamless|norm:whisper_basic|nrefs:1|case:lc|eff:no|tok:char|smooth:exp|"
        f"version:{sacrebleu.__version__}"
    )
    assert scores["chrf_signature"].startswith("asr:openai/whisper@abc|protocol:seamless|norm:whisper_basic|nrefs:1")
    assert "recordings_bleu" not in scores


@pytest.mark.parametrize("name", ["plain", "fairseq", "seamless"])
def test_scores_stand_beside_those_of_the_recordings(name) -> None:
    rules = protocol(name, "en")
    said = [rules.reference(text) for text in REFERENCES]
    scores = score_heard(rules, "judge", REFERENCES, HEARD, said)
    assert 0 <= scores["bleu_interval"][0] < scores["bleu"] < scores["bleu_interval"][1] <= 100.001
    assert 0 <= scores["chrf_interval"][0] < scores["chrf"] < scores["chrf_interval"][1] <= 100.001
    assert (scores["recordings_bleu"], scores["recordings_chrf"]) == pytest.approx((100, 100))
    assert scores["judge_word_error_rate"] == scores["judge_character_error_rate"] == 0
    assert scores["word_error_rate"] == pytest.approx(5 / 17)  # a word is wrong, and four are not heard


def test_what_normalises_to_nothing_is_scored() -> None:
    scores = score_heard(protocol("plain", "en"), "judge", ["?!", "a b c d"], ["", "a b c d"])
    assert (scores["bleu"], scores["word_error_rate"]) == (pytest.approx(100), 0)
