import faiss
import numpy as np
import pytest

from s2st.models.search import centroid_index


def frames_and_centroids(num_units: int, num_frames: int = 2000, dim: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Frames in a curved sheet, as features of speech are, and centroids that are frames, too."""
    generator = np.random.default_rng(0)
    causes = generator.normal(size=(num_units + num_frames, 8))
    points = np.tanh(causes @ generator.normal(size=(8, dim))).astype(np.float32)
    return points[num_units:], points[:num_units]


def units(frames: np.ndarray, centroids: np.ndarray, search: str) -> np.ndarray:
    return centroid_index(centroids, search).search(frames, 1)[1][:, 0]


@pytest.mark.parametrize(("search", "recall"), [("hnsw", 0.98), ("ivf", 0.9)])
@pytest.mark.parametrize("num_units", [1000, 10_000])
def test_approximate_searches_nearly_always_find_the_nearest(search: str, recall: float, num_units: int) -> None:
    frames, centroids = frames_and_centroids(num_units)
    found = units(frames, centroids, search) == units(frames, centroids, "exact")
    assert found.mean() >= recall


@pytest.mark.parametrize("search", ["exact", "hnsw", "ivf"])
@pytest.mark.parametrize("num_units", [1, 2, 30])
def test_any_number_of_centroids_can_be_searched(search: str, num_units: int, capfd: pytest.CaptureFixture) -> None:
    frames, centroids = frames_and_centroids(num_units, num_frames=50)
    distances = np.square(frames[:, None] - centroids).sum(-1)
    np.testing.assert_array_equal(units(frames, centroids, search), distances.argmin(1))
    assert capfd.readouterr() == ("", "")  # faiss warns where it has few points


def test_a_graph_does_not_depend_on_the_number_of_threads() -> None:
    frames, centroids = frames_and_centroids(3000)
    threads = faiss.omp_get_max_threads()
    found = []
    for number in (1, 4, 4):
        faiss.omp_set_num_threads(number)
        found.append(units(frames, centroids, "hnsw"))
    faiss.omp_set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.gpu
def test_a_gpu_finds_what_a_cpu_does() -> None:
    frames, centroids = frames_and_centroids(500)
    distances = np.square(frames[:, None] - centroids).sum(-1)
    assert (units(frames, centroids, "exact") == distances.argmin(1)).mean() > 0.999  # ties of rounding
