import numpy as np
import pyarrow as pa

from pipelines.frame_sample import Features, choose_utterances
from pipelines.speech_batches import BATCHES
from s2st import audio
from s2st.feature_extractor import FeaturesConfig

MANIFEST = pa.table(
    {
        "utterance_id": [f"u{i}" for i in range(20)],
        "split": ["train"] * 15 + ["test"] * 5,
        "num_samples": [16_000] * 20,  # 50 frames each
    }
)


def chosen(num_frames: int, seed: int = 0, manifest: pa.Table = MANIFEST) -> list[str]:
    return choose_utterances(manifest, num_frames, 50, seed)["utterance_id"].to_pylist()


def test_utterances_are_drawn_until_they_have_the_frames():
    assert [len(chosen(frames)) for frames in (50, 51, 250, 749, 750, 10_000)] == [1, 2, 5, 15, 15, 15]


def test_nothing_is_fitted_on_test_speech():
    assert not set(chosen(10_000)) & {f"u{i}" for i in range(15, 20)}


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows():
    assert chosen(250) == chosen(250, manifest=MANIFEST.take(list(range(19, -1, -1))))
    assert chosen(250) != chosen(250, seed=1)


def test_features_tell_where_utterances_begin():
    rng = np.random.default_rng(0)
    lengths = [8000, 5000, 400, 5000]
    waveforms = [(0.1 * rng.normal(size=length)).astype(np.float32) for length in lengths]
    batch = [{"samples": audio.to_int16(waveform).tobytes(), "reason": None} for waveform in waveforms]
    batch.insert(1, {"samples": b"", "reason": "broken"})
    (made,) = Features(FeaturesConfig("stacked_mfcc"), None, 20.0)(pa.table({"batch": [batch]}, schema=BATCHES))
    frames = [audio.num_frames(length) for length in lengths]
    assert len(made["frame"]) == sum(frames)
    assert np.flatnonzero(made["start"]).tolist() == np.cumsum([0, *frames[:-1]]).tolist()
