import pytest
import torch

from s2st.models.codebook import Codebook, CodebookConfig


def filled(num_units: int = 20, feature_dim: int = 6) -> Codebook:
    codebook = Codebook(CodebookConfig(num_units, feature_dim))
    codebook.centroids.copy_(torch.randn(num_units, feature_dim, generator=torch.Generator().manual_seed(0)))
    return codebook


def test_units_are_the_nearest_centroids() -> None:
    codebook = filled()
    features = torch.randn(3, 40, 6)
    units = codebook(features)
    assert units.shape == (3, 40)
    assert units.dtype == torch.int64
    assert torch.equal(units, torch.cdist(features, codebook.centroids).argmin(-1))
    assert torch.equal(codebook(codebook.centroids), torch.arange(20))


def test_features_are_normalised_first() -> None:
    codebook = filled()
    features = torch.randn(40, 6)
    expected = codebook(features)
    codebook.mean.fill_(5.0)
    codebook.std.fill_(3.0)
    assert torch.equal(codebook(features * 3 + 5), expected)


def test_of_equal_centroids_the_first_is_taken() -> None:
    codebook = filled(40)
    codebook.centroids[20:] = codebook.centroids[:20]
    assert int(codebook(torch.randn(500, 6)).max()) < 20


def test_assignment_is_float32_under_autocast_and_takes_no_frames() -> None:
    codebook = filled(200)
    features = torch.randn(500, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(codebook(features), filled(200)(features))
        assert codebook(features.bfloat16()).shape == (500,)
    assert codebook(torch.zeros(0, 6)).shape == (0,)


def test_features_are_projected_after_scaling() -> None:
    codebook = Codebook(CodebookConfig(20, 6, projected_dim=3))
    codebook.centroids.normal_(generator=torch.Generator().manual_seed(0))
    codebook.projection.normal_(generator=torch.Generator().manual_seed(1))
    codebook.mean.fill_(1.0)
    features = torch.randn(5, 40, 6)
    expected = torch.cdist((features - 1) @ codebook.projection.T, codebook.centroids).argmin(-1)
    assert torch.equal(codebook(features), expected)


def test_codebooks_without_a_projection_have_the_tensors_that_they_always_had() -> None:
    assert set(filled().state_dict()) == {"centroids", "mean", "std"}


@pytest.mark.parametrize("search", ["hnsw", "ivf"])
def test_approximate_units_have_the_form_of_exact_ones(search: str) -> None:
    exact, other = filled(200), Codebook(CodebookConfig(200, 6, search=search))
    other.load_state_dict(exact.state_dict())
    features = torch.randn(3, 40, 6)
    units = other(features)
    assert units.shape == (3, 40)
    assert units.dtype == torch.int64
    assert (units == exact(features)).float().mean() > 0.95
    assert torch.equal(units, torch.stack([other(row) for row in features]))
    assert other(torch.zeros(0, 6)).shape == (0,)


@pytest.mark.parametrize("num_units", [0, 65_537])
def test_units_must_fit_in_16_bits(num_units: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 65,536"):
        CodebookConfig(num_units, 6)
