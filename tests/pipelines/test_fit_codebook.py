import pyarrow as pa

from pipelines.fit_codebook import FitCodebookConfig, choose_utterances

MANIFEST = pa.table(
    {
        "utterance_id": [f"u{i}" for i in range(20)],
        "split": ["train"] * 15 + ["test"] * 5,
        "num_samples": [16_000] * 20,  # 50 frames each
    }
)


def chosen(num_frames: int, seed: int = 0, manifest: pa.Table = MANIFEST) -> list[str]:
    return choose_utterances(FitCodebookConfig(num_frames=num_frames, seed=seed), manifest)["utterance_id"].to_pylist()


def test_utterances_are_drawn_until_they_have_the_frames():
    assert [len(chosen(frames)) for frames in (100, 101, 250, 1499, 1500, 10_000)] == [1, 2, 3, 15, 15, 15]


def test_nothing_is_fitted_on_test_speech():
    assert not set(chosen(10_000)) & {f"u{i}" for i in range(15, 20)}


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_rows():
    assert chosen(500) == chosen(500, manifest=MANIFEST.take(list(range(19, -1, -1))))
    assert chosen(500) != chosen(500, seed=1)
