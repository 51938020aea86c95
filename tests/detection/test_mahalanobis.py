import numpy as np
import pytest
import scipy.linalg
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from pyimagesearch.detection import mahalanobis, neighbors, scoring
from tests.detection.fitted import fitted


@pytest.fixture
def inliers(rng):
    return rng.standard_normal((500, 3)) @ [[1, 0, 0], [2, 3, 0], [0, 1, 0.1]] + [3, 0, -1]


@pytest.fixture
def outliers(rng, inliers):
    """They vary more than the inliers in any direction, and lie to one side."""
    return inliers[:80] * [2, 3, 4] + [1, 5, 0]


def squared_mahalanobis_by_scipy(points, sample):
    """Squared distances of points from the mean of a sample, by its covariance."""
    inverse = np.linalg.inv(np.cov(sample.T, bias=True))
    return cdist(points, sample.mean(axis=0)[np.newaxis], "mahalanobis", VI=inverse)[:, 0] ** 2


def test_relative_distance_with_no_weight_of_the_outliers_is_that_of_mahalanobis(inliers, outliers):
    found = mahalanobis.squared_distance(
        inliers, **mahalanobis.relative_mahalanobis(inliers, outliers, 0)
    )
    np.testing.assert_allclose(found, squared_mahalanobis_by_scipy(inliers, inliers), rtol=1e-3)


def test_relative_distance_is_the_difference_of_two_up_to_a_constant(inliers, outliers):
    points = np.concatenate([inliers, outliers])
    found = mahalanobis.squared_distance(
        points, **mahalanobis.relative_mahalanobis(inliers, outliers, 0.5)
    )
    difference = squared_mahalanobis_by_scipy(points, inliers) - 0.5 * squared_mahalanobis_by_scipy(
        points, outliers
    )
    np.testing.assert_allclose(found - found[0], difference - difference[0], rtol=1e-3, atol=1e-2)


def test_relative_distance_opposite_to_a_group_of_outliers_is_large_too(rng, inliers):
    """A group that hardly varies would move the center as far to the other side as it is itself."""
    away = 20 * inliers.std(axis=0)
    group = inliers.mean(axis=0) + away + rng.standard_normal((80, 3)) / 100
    opposite = [inliers.mean(axis=0) - away]
    fitted = mahalanobis.relative_mahalanobis(inliers, group, 0.5)
    mean, precision = relative_by_hand(inliers, group, 0.5)
    np.testing.assert_allclose(fitted["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(fitted["precision"], precision, rtol=1e-6)
    assert (
        mahalanobis.squared_distance(opposite, **fitted)[0]
        > mahalanobis.squared_distance(inliers, **fitted).numpy().max()
    )


def test_relative_distance_with_counts_is_fitted_as_to_repeated_vectors(inliers, outliers):
    counts = tuple(np.arange(len(some)) % 3 + 1 for some in (inliers, outliers))
    found = mahalanobis.relative_mahalanobis(inliers, outliers, 0.5, counts)
    repeated = (np.repeat(*pair, axis=0) for pair in zip((inliers, outliers), counts, strict=True))
    expected = mahalanobis.relative_mahalanobis(*repeated, 0.5)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6)


def test_outliers_are_a_fifth_of_the_weight():
    """Of twelve, the vectors count 1, 2, 6, 1 and 2 in the order of their scores."""
    scores, counts = np.array([0.3, 0.1, 0.2, 0.5, 0.4]), np.array([6, 1, 2, 2, 1])
    inliers, outliers = mahalanobis.split_inliers(scores, counts)
    assert [inliers.tolist(), outliers.tolist()] == [[1, 2, 0, 4], [3]]  # 9.6 of 12
    inliers, outliers = mahalanobis.split_inliers(scores, np.array([6, 1, 2, 9, 1]))
    assert [inliers.tolist(), outliers.tolist()] == [[1, 2, 0, 4, 3], []]
    inliers, outliers = mahalanobis.split_inliers(scores, np.array([1, 1, 1, 1, 2]))
    assert [inliers.tolist(), outliers.tolist()] == [[1, 2, 0, 4], [3]]


def test_code_distance_of_an_image_that_counts_for_nearly_all_is_small(rng):
    images, residuals = rng.random((2, 40, 6, 5, 1), np.float32)
    codes, counts = rng.normal(size=(40, 2)).astype(np.float32), np.ones(40)
    counts[7] = 1e5
    parts = [
        tuple(array[part] for array in (images, residuals, codes, counts))
        for part in (slice(5), slice(5, 40))
    ]
    reference = fitted(mahalanobis.CodeDistanceFit(), parts)
    np.testing.assert_allclose(reference["mean"][:2], codes[7], atol=0.1)
    # All others lie in the highest fifth of the weight: they are no inliers.
    np.testing.assert_allclose(reference["bank"][:, :2], codes[7:8])


def test_robust_distance_of_gaussian_vectors_is_nearly_that_of_mahalanobis(rng):
    vectors = rng.standard_normal((4000, 3)) * [1, 5, 0.2] + [3, 0, -1]
    found = mahalanobis.squared_distance(
        vectors, **mahalanobis.fit_robust_mahalanobis(vectors)
    ).numpy()
    expected = (((vectors - [3, 0, -1]) / [1, 5, 0.2]) ** 2).sum(axis=1)
    # The variance is a little less without the outliers, which are not exactly symmetric.
    assert 1 < np.median(found / expected) < 1.6
    assert np.corrcoef(found, expected)[0, 1] > 0.97


def test_outliers_with_a_common_direction_are_found_better_by_a_relative_distance(rng, monkeypatch):
    vectors = rng.standard_normal((2000, 16))
    labels = np.arange(2000) < 200
    vectors[labels, 0] += rng.normal(3, 2, 200)

    def auroc():
        return roc_auc_score(
            labels,
            mahalanobis.squared_distance(vectors, **mahalanobis.fit_robust_mahalanobis(vectors)),
        )

    found = auroc()
    monkeypatch.setattr(mahalanobis, "OUTLIER_WEIGHTS", (0.0,) * len(mahalanobis.OUTLIER_WEIGHTS))
    assert found > auroc() + 0.03


def test_robust_distance_is_hardly_changed_by_a_few_far_outliers(rng):
    vectors = rng.standard_normal((1000, 4)) * [1, 5, 0.2, 1]
    clean = mahalanobis.fit_robust_mahalanobis(vectors)
    contaminated = mahalanobis.fit_robust_mahalanobis(
        np.concatenate([vectors, rng.standard_normal((50, 4)) * 100])
    )
    away = np.abs(contaminated["mean"] - clean["mean"]) / [1, 5, 0.2, 1]
    assert away.max() < 1
    np.testing.assert_allclose(
        np.diag(contaminated["precision"]), np.diag(clean["precision"]), rtol=0.5
    )


def test_robust_distance_with_initial_outlier_scores_is_larger_to_their_group(rng):
    """One group on either side; the one on the left has the larger last numbers."""
    vectors = rng.standard_normal((1000, 2)) / 3
    vectors[:200, 0] += 10
    vectors[200:400] += [-10, 1]
    right, left = vectors[:200].mean(axis=0), vectors[200:400].mean(axis=0)
    without = mahalanobis.squared_distance(
        [right, left], **mahalanobis.fit_robust_mahalanobis(vectors)
    ).numpy()
    assert without[0] < without[1]
    known = mahalanobis.fit_robust_mahalanobis(vectors, np.arange(1000) < 200)
    found = mahalanobis.squared_distance([right, left], **known).numpy()
    assert found[0] > found[1]


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_robust_distance_of_few_vectors_is_finite(rng, n):
    vectors = rng.standard_normal((n, 6))
    assert np.isfinite(
        mahalanobis.squared_distance(vectors, **mahalanobis.fit_robust_mahalanobis(vectors))
    ).all()


def test_robust_distance_of_equal_vectors_is_zero():
    vectors = np.full((20, 3), 7.0)
    np.testing.assert_array_equal(
        mahalanobis.squared_distance(vectors, **mahalanobis.fit_robust_mahalanobis(vectors)),
        0,
    )


def test_code_distance_in_the_middle_of_a_ring_is_large(rng):
    """The mean of the ring is in its middle, so that no Gaussian finds a code there unusual."""
    angles = rng.uniform(0, 2 * np.pi, 1000)
    codes = 5 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + 0.1 * rng.standard_normal(
        (1000, 2)
    )
    codes[:5] /= 50
    images, residuals = rng.uniform(0.4, 0.6, (2, 1000, 4, 4, 1)).astype(np.float32)
    reference = fitted(
        mahalanobis.CodeDistanceFit(), [(images, residuals, codes.astype(np.float32))]
    )
    maps = np.square(residuals[..., 0])
    found = mahalanobis.code_distance(maps, images, codes.astype(np.float32), reference).numpy()
    assert set(scoring.rank(found)[:5]) == set(range(5))


def code_batches(rng, n=400, k=3):
    """Codes from a stretched Gaussian, and two batches of images, residuals and these codes."""
    codes = (rng.standard_normal((n, k)) * [1, 5, 0.2] + [3, 0, -1]).astype(np.float32)
    residuals = rng.standard_normal((n, 4, 4, 1)).astype(np.float32) / 10
    images = np.ones_like(residuals)
    return codes, [
        (images[part], residuals[part], codes[part])
        for part in (slice(0, n // 2), slice(n // 2, n))
    ]


def relative_by_hand(inliers, outliers, weight):
    """Mean and precision of a distance relative to outliers, by functions of whole matrices."""
    mean = inliers.mean(0)
    covariance = np.cov(inliers.T, bias=True) + 1e-6 * np.eye(len(mean))
    root = scipy.linalg.cholesky(covariance, lower=True)
    whitened = scipy.linalg.solve_triangular(root, (outliers - mean).T, lower=True).T
    values, vectors = np.linalg.eigh(np.cov(whitened.T, bias=True))
    taken = weight * vectors @ np.diag(1 / np.maximum(values, 1)) @ vectors.T
    left = np.eye(len(mean)) - taken
    center = -np.linalg.inv(left) @ taken @ whitened.mean(0)
    center *= min(1, 2 / max(np.linalg.norm(center), 1e-12))  # two deviations away, at most
    inverse = np.linalg.inv(root)
    return mean + root @ center, inverse.T @ left @ inverse


def robust_by_hand(vectors, outlier_scores, weights):
    """Rounds of splitting off the fifth with the highest scores, and fitting to the others."""
    for weight in weights:
        order = np.argsort(outlier_scores)
        first = round(0.8 * len(order))
        mean, precision = relative_by_hand(vectors[order[:first]], vectors[order[first:]], weight)
        outlier_scores = np.einsum("nk,kl,nl->n", vectors - mean, precision, vectors - mean)
    return mean, precision, outlier_scores


def test_robust_distance_is_as_in_numpy_where_three_rounds_without_weight_would_lead_elsewhere():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 5)) @ np.triu(np.ones((5, 5)))
    odd = rng.permutation(300)[:50]
    vectors[odd] = 1.3 * vectors[odd] + [0, 1, 0, 0, 0]
    found = mahalanobis.fit_robust_mahalanobis(vectors)
    mean, precision, _ = robust_by_hand(vectors, vectors[:, -1], [0] * 4 + [0.5] * 16)
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(found["precision"], precision, rtol=1e-4, atol=1e-5)


def test_code_distance_is_as_in_numpy_from_the_images_to_the_scores(rng, monkeypatch):
    """On images of three different channels, a sixth of them of another kind."""
    monkeypatch.setattr(neighbors, "MAX_BANK", 150)
    images = rng.random((300, 3, 5, 3)).astype(np.float32) * np.float32([1, 0.6, 0.2])
    images *= rng.uniform(0.5, 1, (300, 1, 1, 1)).astype(np.float32)
    residuals = (images * rng.normal(0, 0.1, images.shape)).astype(np.float32)
    codes = (rng.standard_normal((300, 3)) @ [[1, 2, 0], [0, 1, 0.5], [0, 0, 0.3]]) + [3, 0, -1]
    odd = rng.permutation(300)[:50]
    codes[odd] = 1.5 * codes[odd] + [0, 6, 0]
    residuals[odd] *= 2
    codes = codes.astype(np.float32)
    parts = slice(0, 110), slice(110, 300)
    reference = fitted(
        mahalanobis.CodeDistanceFit(),
        [(images[part], residuals[part], codes[part]) for part in parts],
    )

    logarithms = [np.log(np.mean(x**2, (1, 2, 3)) + 1e-6) for x in (images, residuals)]
    vectors = np.column_stack([codes, *logarithms]).astype(float)
    rounds = [0] * 4 + [0.5] * 16
    *_, outlier_scores = robust_by_hand(vectors, vectors[:, -1], rounds)
    inliers = np.sort(np.argsort(outlier_scores)[:240])
    bank = vectors[inliers[np.linspace(0, 239, 150).astype(int)]]
    np.testing.assert_allclose(reference["bank"], bank, rtol=1e-5)
    # Of 150, a five-hundredth is none: one; then a fiftieth, and a fifth.
    far = np.sqrt(np.sort(cdist(vectors, bank), axis=1)[:, 1:] ** 2 + 0.01)
    distances = [np.log(far[:, :k].mean(axis=1) + 1e-3) for k in (1, 3, 30)]
    vectors = np.column_stack([vectors, *distances])
    *_, expected = robust_by_hand(vectors, outlier_scores, rounds[4:])
    maps = np.mean(residuals**2, axis=-1)
    found = mahalanobis.code_distance(maps, images, codes, reference)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01)


def test_code_distance_of_an_unusual_brightness_with_a_usual_code_is_large(rng):
    codes, batches = code_batches(rng)
    for images, *_ in batches:
        images *= rng.uniform(0.9, 1.1, (len(images), 1, 1, 1))
    reference = fitted(mahalanobis.CodeDistanceFit(), batches)
    images = np.ones((2, 4, 4, 1), np.float32)
    images[1] /= 2
    maps = np.full((2, 4, 4), 0.01, np.float32)
    found = mahalanobis.code_distance(maps, images, codes[[0, 0]], reference).numpy()
    assert found[1] > found[0] + 50
