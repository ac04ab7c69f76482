"""Scores of a vocoder: how far what it speaks is from the recordings whose units it was given.

`measure` makes the columns of schemas.RESYNTHESIS_SCORES of one utterance, `score` the figures of a corpus with their
intervals over utterances. Levels are made equal first: a vocoder speaks at the level that its training was scaled to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jiwer
import numpy as np

from s2st.audio import SAMPLE_RATE
from s2st.evaluation.bootstrap import interval, ratio
from s2st.evaluation.duration_error import duration_error
from s2st.evaluation.mcd import mel_cepstral_distortion, mel_cepstral_distortion_db
from s2st.evaluation.mel_distance import log_mel, mel_l1, same_time, warped
from s2st.evaluation.pitch import correlation, melody_agreement, pitch


@dataclass(frozen=True)
class Figure:
    """A figure of a corpus with its 95% interval over utterances."""

    value: float
    low: float
    high: float


def measure(
    recording: np.ndarray, spoken: np.ndarray, true_durations: np.ndarray, durations: np.ndarray, predicted: bool
) -> dict[str, Any]:
    """Compare what was spoken (N',) with the recording (N,), and durations (L,) in frames.

    Frames that come at the same time are compared where durations are true, and those of a warped path where they are
    predicted; mel cepstral distortion is always warped.
    """
    spoken = at_level_of(recording, spoken)
    true_mel, mel = log_mel(recording), log_mel(spoken)
    pairs = (warped if predicted else same_time)(true_mel, mel)
    lengths = duration_error(true_durations, durations)
    return {
        "num_samples": len(recording),
        "mcd": mel_cepstral_distortion(recording, spoken, SAMPLE_RATE),
        "mcd_db": mel_cepstral_distortion_db(recording, spoken, SAMPLE_RATE),
        "mel_l1": mel_l1(true_mel, mel, pairs),
        "melody": list(melody_agreement(pitch(recording), pitch(spoken), pairs)),
        "duration_error": lengths.absolute,
        "num_units": lengths.num_units,
        "num_frames": lengths.predicted,
        "true_frames": lengths.true,
    }


def at_level_of(reference: np.ndarray, waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform (N,) to the root mean square of a reference (N',); silence stays silence."""
    levels = [
        np.sqrt(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
        for samples in (reference, waveform)
    ]
    return waveform * np.float32(levels[0] / levels[1]) if levels[1] > 0 else waveform


def word_errors(reference: str, heard: str) -> int:
    """Count the words that are wrong, missing or too many."""
    found = jiwer.process_words([reference], [heard])
    return found.substitutions + found.deletions + found.insertions


def score(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, Figure]:
    """Score rows of RESYNTHESIS_SCORES; figures of which nothing is known are left out."""
    figures = {
        "mcd": _figure(_weighted(rows, "mcd"), seed),
        "mcd_db": _figure(_weighted(rows, "mcd_db"), seed),
        "mel_l1": _figure(_weighted(rows, "mel_l1"), seed),
        "f0_correlation": _figure(np.array([row["melody"] for row in rows]), seed, correlation),
    }
    if rows[0]["predicted"]:
        figures["duration_error"] = _figure(_parts(rows, "duration_error", "num_units"), seed)
        figures["length_ratio"] = _figure(_parts(rows, "num_frames", "true_frames"), seed)
    if judged := [row for row in rows if row["num_words"] is not None]:
        figures["word_error_rate"] = _figure(_parts(judged, "word_errors", "num_words"), seed)
        figures["recording_word_error_rate"] = _figure(_parts(judged, "recording_word_errors", "num_words"), seed)
        figures["word_error_ratio"] = _figure(_parts(judged, "word_errors", "recording_word_errors"), seed)
    return {name: figure for name, figure in figures.items() if not np.isnan(figure.value)}


def _figure(parts: np.ndarray, seed: int, of: Callable[[np.ndarray], np.ndarray] = ratio) -> Figure:
    return Figure(float(of(parts.sum(0))), *interval(parts, seed, of))


def _parts(rows: Sequence[Mapping[str, Any]], *columns: str) -> np.ndarray:
    return np.array([[row[column] for column in columns] for row in rows], np.float64)


def _weighted(rows: Sequence[Mapping[str, Any]], column: str) -> np.ndarray:
    """Let a mean count as much as its recording is long."""
    return np.array([[row[column] * row["num_samples"], row["num_samples"]] for row in rows], np.float64)
