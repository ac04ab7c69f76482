import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import s2st.feature_extractor
from benchmarks import seams
from s2st import audio
from s2st.config import UserError
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder
from s2st.schemas import MANIFEST
from s2st.speech_to_units import SpeechToUnits

SECONDS = 12
TINY = EncoderConfig(
    conv_layers=((32, 10, 5), *((32, 3, 2),) * 4, *((32, 2, 2),) * 2),
    width=32,
    num_layers=1,
    num_heads=2,
    ffn_dim=64,
    positional_kernel=8,
    positional_groups=2,
)


@pytest.fixture
def folder(tmp_path):
    """A manifest of one recording, whose second half is louder, and a codebook of a tiny encoder."""
    waveform = np.random.default_rng(0).normal(0, 0.05, SECONDS * audio.SAMPLE_RATE).astype(np.float32)
    waveform[len(waveform) // 2 :] *= 4
    row = dict.fromkeys(MANIFEST.names, "") | {
        "audio": {"bytes": audio.encode(waveform), "path": ""},
        "num_samples": len(waveform),
    }
    (tmp_path / "manifest").mkdir()
    pq.write_table(pa.Table.from_pylist([row], schema=MANIFEST), tmp_path / "manifest" / "part-0.parquet")
    torch.manual_seed(0)
    extractor = FeatureExtractor(FeaturesConfig("hubert", 1), SpeechEncoder(TINY).eval())
    codebook = Codebook(CodebookConfig(num_units=20, feature_dim=32))
    codebook.centroids.copy_(torch.from_numpy(extractor([waveform])[0][:400:20]))
    SpeechToUnits(extractor, codebook).save(f"{tmp_path}/codebook", {})
    return tmp_path


def test_an_uncut_recording_has_no_seams_and_fairseqs_cuts_change_more(folder, monkeypatch):
    monkeypatch.setattr(seams, "PEER_SAMPLES", 4 * audio.SAMPLE_RATE)
    (row,) = seams.measure(f"{folder}/codebook", f"{folder}/manifest", SECONDS / 60)
    assert row.ours == 0
    assert row.peer > 2 / (SECONDS * 50)  # a frame is lost at both cuts


def test_pieces_of_ours_are_compared_with_the_whole(folder, monkeypatch):
    monkeypatch.setattr(s2st.feature_extractor, "MAX_WHOLE_SECONDS", 4.0)
    monkeypatch.setattr(s2st.feature_extractor, "PIECE_SECONDS", 4.0)
    monkeypatch.setattr(s2st.feature_extractor, "CONTEXT_SECONDS", 0.5)
    monkeypatch.setattr(seams, "PEER_SAMPLES", 4 * audio.SAMPLE_RATE)
    (row,) = seams.measure(f"{folder}/codebook", f"{folder}/manifest", SECONDS / 60)
    assert 0 < row.ours < row.peer


def test_features_without_seams_are_refused(folder):
    SpeechToUnits(FeatureExtractor(FeaturesConfig("mfcc")), Codebook(CodebookConfig(5, 39))).save(f"{folder}/mfcc", {})
    with pytest.raises(UserError, match="cut nowhere"):
        next(seams.measure(f"{folder}/mfcc", f"{folder}/manifest", 1))
