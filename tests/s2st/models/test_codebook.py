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
