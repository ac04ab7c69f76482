import numpy as np
import pytest

from s2st.evaluation.voice_scores import at_level_of, measure, score, word_errors


def row(**changes):
    plain = {"num_samples": 100, "mcd": 2.0, "mcd_db": 5.0, "mel_l1": 0.5, "melody": [1.0, 2.0, 2.0], "predicted": True}
    plain |= {"duration_error": 3, "num_units": 10, "num_frames": 30, "true_frames": 20}
    return {**plain, "num_words": 4, "word_errors": 2, "recording_word_errors": 1, **changes}


def test_a_recording_is_like_itself_at_any_level(tone) -> None:
    durations = np.array([3, 46])
    for predicted in (False, True):
        found = measure(tone, 0.5 * tone, durations, durations, predicted)
        assert found["mcd"] == pytest.approx(0, abs=1e-3)
        assert found["mel_l1"] == pytest.approx(0, abs=1e-5)
        covariance, variance, other = found["melody"]
        assert covariance == pytest.approx(variance) == pytest.approx(other)
        assert (found["duration_error"], found["num_frames"], found["true_frames"]) == (0, 49, 49)


def test_silence_is_far_and_has_no_melody(tone) -> None:
    durations = np.array([49])
    found = measure(tone, np.zeros(0, np.float32), durations, durations, predicted=True)
    assert found["mel_l1"] > 1
    assert found["melody"] == [0, 0, 0]
    assert at_level_of(tone, np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_a_corpus_is_scored_by_sums() -> None:
    long = row(num_samples=300, mcd=4.0, num_units=30, word_errors=0, recording_word_errors=3, num_words=6)
    found = score([row(), long, row(num_words=None, word_errors=None, recording_word_errors=None)])
    values = {name: figure.value for name, figure in found.items()}
    assert values == pytest.approx(
        {
            "mcd": (2 + 3 * 4 + 2) / 5,
            "mcd_db": 5.0,
            "mel_l1": 0.5,
            "f0_correlation": 0.5,
            "duration_error": 9 / 50,
            "length_ratio": 1.5,
            "word_error_rate": 0.2,
            "recording_word_error_rate": 0.4,
            "word_error_ratio": 0.5,
        }
    )
    assert found["mcd"].low < found["mcd"].value < found["mcd"].high


def test_figures_that_nothing_is_known_of_are_left_out() -> None:
    unknown = {"num_words": None, "word_errors": None, "recording_word_errors": None}
    assert set(score([row(predicted=False, melody=[0.0, 0.0, 0.0], **unknown)])) == {"mcd", "mcd_db", "mel_l1"}


def test_words_are_counted() -> None:
    assert word_errors("press two or eight", "press to eight now") == 3
    assert word_errors("press", "") == 1
