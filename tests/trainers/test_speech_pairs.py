"""Batches of speech and its translation: features, masks, packing, and what is left out."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import audio
from s2st.features.filterbank import num_fbank_frames, source_features
from s2st.features.spec_augment import POLICIES
from s2st.schemas import SPEECH_PAIRS
from stages import datasets
from trainers.speech_pairs import Limits, filterbanks, pair_examples, waveforms


def pair(number: int, num_samples: int, num_units: int) -> dict:
    noise = np.random.default_rng(number).normal(0, 0.1, num_samples).astype(np.float32)
    sound = audio.encode(noise)
    return {
        **{name: f"{name}-{number}" for name in ("pair_id", "sentence_id", "source_utterance_id")},
        **{"source_lang": "en", "target_lang": "hi", "split": "train", "codebook": "x"},
        **{"source_audio": sound, "target_audio": sound, "source_text": "a", "target_text": "b"},
        **{"target_utterance_id": "t", "source_samples": num_samples, "target_samples": num_samples},
        "target_units": list(range(num_units)),
    }


ROWS = [pair(i, 4000 + 1000 * i, 3 + i) for i in range(6)]
LIMITS = Limits({"source_samples": 8000, "target_units": 6}, {"source_samples": "model.max_frames"})


def test_what_is_too_long_is_left_out_with_its_reason() -> None:
    table = pa.Table.from_pylist([*ROWS, pair(9, 4000, 0)], SPEECH_PAIRS)
    assert LIMITS(table)["source_samples"].to_pylist() == [4000, 5000, 6000, 7000]
    rejects = LIMITS.rejects(table)
    assert [row["reason"] for row in rejects] == [
        "pair 'pair_id-5': its source_samples are not 1 to 8000, as model.max_frames allows",
        "pair 'pair_id-4': its target_units are not 1 to 6",
        "pair 'pair_id-9': its target_units are not 1 to 6",
    ]
    assert {"utterance_id": "source_utterance_id-5", "lang": "en", "split": "train"}.items() <= rejects[0].items()


def test_features_are_padded_and_masked_by_the_given_generator() -> None:
    plain = filterbanks(ROWS[:2], deltas=True, masks=None, random=np.random.default_rng(0))
    assert plain["lengths"].tolist() == [num_fbank_frames(4000), num_fbank_frames(5000)]
    expected = source_features(audio.decode(ROWS[0]["source_audio"]), deltas=True)
    torch.testing.assert_close(plain["features"][0, : len(expected)], expected)
    hidden = [filterbanks(ROWS[:2], False, POLICIES["ld"], np.random.default_rng(s))["features"] for s in (1, 1, 2)]
    assert torch.equal(hidden[0], hidden[1])
    assert not torch.equal(hidden[0], hidden[2])
    heard = waveforms(ROWS[:2])
    assert heard["features"].shape == (2, 5000)
    assert heard["lengths"].tolist() == [4000, 5000]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_batches_hold_so_many_frames_of_sources(tmp_path, split: str, local_ray) -> None:
    import ray.data

    datasets.write(ray.data.from_arrow(pa.Table.from_pylist(ROWS, SPEECH_PAIRS)), str(tmp_path / "pairs"), ["split"])
    found = pair_examples(
        str(tmp_path / "pairs"), split, ["target_units"], 80, LIMITS, lambda rows, random: waveforms(rows)
    )
    if split == "validation":
        assert found is None
        return
    assert found is not None
    names = [batch["names"] for batch in found.make(seed=0, window=0)]
    assert sorted(name for batch in names for name in batch) == [f"pair_id-{i}" for i in range(4)]
    sizes = {row["pair_id"]: num_fbank_frames(row["source_samples"]) for row in ROWS}
    assert all(len(batch) * max(sizes[name] for name in batch) <= 80 for batch in names)
    assert any(len(batch) > 1 for batch in names)
