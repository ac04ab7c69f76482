import numpy as np
import pytest

from s2st.models import kmeans


def groups(num_groups: int = 20, size: int = 50, dim: int = 12, seed: int = 0) -> np.ndarray:
    """Frames in well separated groups."""
    generator = np.random.default_rng(seed)
    middles = 10 * generator.normal(size=(num_groups, 1, dim))
    points = (middles + generator.normal(size=(num_groups, size, dim))).reshape(-1, dim)
    return generator.permutation(points).astype(np.float32)


@pytest.mark.parametrize("search", ["exact", "hnsw", "ivf"])
def test_groups_are_found(search: str) -> None:
    frames = groups()
    found = kmeans.fit(frames, 20, iterations=10, seed=0, search=search)
    assert np.bincount(found.units).tolist() == [50] * 20
    assert found.inertias[-1] < 1.1 * frames.shape[1]


def test_inertia_falls_and_is_that_of_the_centroids() -> None:
    frames = np.random.default_rng(0).normal(size=(3000, 12)).astype(np.float32)
    found = kmeans.fit(frames, 50, iterations=8, seed=0)
    assert len(found.inertias) == 9
    assert all(after <= before + 1e-6 for before, after in zip(found.inertias, found.inertias[1:], strict=False))
    distances = np.square(frames[:, None] - found.centroids).sum(-1)
    np.testing.assert_array_equal(found.units, distances.argmin(1))
    assert found.inertias[-1] == pytest.approx(distances.min(1).mean(), rel=1e-5)


def test_it_is_no_worse_than_scikit_learn_as_fairseq_sets_it() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    middles = np.random.default_rng(1).normal(size=(60, 16))
    noise = np.random.default_rng(2).normal(size=(6000, 16))
    frames = (3 * middles[np.arange(6000) % 60] + noise).astype(np.float32)
    peer = cluster.MiniBatchKMeans(40, max_iter=100, batch_size=10_000, n_init=20, random_state=0).fit(frames)
    ours = kmeans.fit(frames, 40, iterations=20, seed=0)
    assert ours.inertias[-1] <= 1.005 * -peer.score(frames) / len(frames)


def test_the_seed_and_nothing_else_decides() -> None:
    frames = groups()
    frames.setflags(write=False)  # as Ray hands them over
    first, again, other = (kmeans.fit(frames, 30, 5, seed).centroids for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_starts_are_not_worse() -> None:
    frames = groups(num_groups=40, size=20)
    one, five = (kmeans.fit(frames, 30, 3, 0, restarts=restarts).inertias[-1] for restarts in (1, 5))
    assert five <= one


def test_no_unit_stays_without_frames_while_frames_differ() -> None:
    frames = groups(num_groups=3, size=200)
    assert len(np.unique(kmeans.fit(frames, 100, 10, 0).units)) == 100
    few = np.repeat(groups(num_groups=4, size=1), 50, axis=0)
    found = kmeans.fit(few, 10, 5, 0)
    assert len(np.unique(found.units)) == 4
    assert found.inertias[-1] == pytest.approx(0, abs=1e-3)
    assert np.isfinite(found.centroids).all()


@pytest.mark.parametrize("search", ["exact", "hnsw", "ivf"])
def test_ten_thousand_units(search: str) -> None:
    frames = np.random.default_rng(0).normal(size=(20_000, 16)).astype(np.float32)
    found = kmeans.fit(frames, 10_000, 2, 0, search)
    assert found.centroids.shape == (10_000, 16)
    assert len(np.unique(found.units)) > 9_500
    assert found.inertias[-1] < found.inertias[0]
