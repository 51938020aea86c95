import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from pyimagesearch.detection import neighbors
from tests.detection.fitted import fitted


@pytest.mark.parametrize("n", [11, 200])
def test_smallest_numbers_are_the_same_within_a_graph(n, rng):
    values = rng.random((20, 300), np.float32)
    expected = np.sort(values)[:, :n]
    np.testing.assert_array_equal(neighbors.smallest(values, n), expected)
    in_graph = tf.function(neighbors.smallest)(tf.constant(values), n)
    np.testing.assert_array_equal(in_graph, expected)


def test_knn_distance_is_the_squared_mean_distance_to_the_second_to_eleventh_nearest():
    bank = np.arange(100, dtype=np.float32)[:, np.newaxis]
    found = neighbors.knn_distance(np.array([[0.0], [-5.0]], np.float32), bank).numpy()
    # From 0: to 1 ... 10; from -5: to 1 ... 10, each 5 farther.
    np.testing.assert_allclose(found, [5.5**2, 10.5**2], rtol=1e-5)


def test_knn_distance_without_other_points_is_zero():
    alone = np.ones((1, 3), np.float32)
    assert neighbors.knn_distance(alone, alone).numpy().tolist() == [0]
    # As after a file from elsewhere.
    assert neighbors.knn_distance(alone, alone[:0]).numpy().tolist() == [0]


def test_multiscale_knn_distances_are_mean_distances_to_shares_of_the_bank(rng):
    bank = rng.standard_normal((1000, 3)).astype(np.float32)
    points = np.concatenate([bank[:20], bank[:20] + 3])
    distances = np.sqrt(np.sort(cdist(points, bank), axis=1)[:, 1:] ** 2 + 0.01)
    expected = np.log(np.stack([distances[:, :k].mean(axis=1) for k in (2, 20, 200)], axis=1))
    np.testing.assert_allclose(
        neighbors.multiscale_knn_distances(points, bank), expected, atol=0.02
    )


@pytest.mark.parametrize("n", [4, 30, 400])
def test_multiscale_knn_distances_among_few_differ_at_each_scale(rng, n):
    """Of two that are always equal, a Mahalanobis distance would be made of rounding."""
    points = rng.standard_normal((n, 3)).astype(np.float32)
    distances = neighbors.multiscale_knn_distances(points, points).numpy()
    for one, other in itertools.pairwise(distances.T):
        assert (one < other).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_multiscale_knn_distances_among_few_are_finite(n):
    points = np.arange(n, dtype=np.float32)[:, np.newaxis]
    assert np.isfinite(neighbors.multiscale_knn_distances(points, points)).all()


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (45, 33, 3), (128, 96, 3), (1, 300, 1)])
def test_embedding_of_any_size_has_a_bounded_length(shape):
    found = neighbors.embed(np.ones((2, *shape), np.float32))
    assert found.shape == (2, neighbors.embedding_length(shape))
    assert found.shape[1] <= 16 * 16 * shape[2]
    assert np.ptp(found) < 1e-6  # constant up to the edges


def embed_by_hand(images, stride):
    """Means over windows of 2 stride - 1 pixels, divided by the fourth root of their energy."""
    n, height, width, depth = images.shape
    rows, columns = -(-height // stride), -(-width // stride)
    small = np.empty((n, rows, columns, depth))
    for row, column in np.ndindex(rows, columns):
        # As much of the windows lies beyond the one edge as beyond the other.
        top = row * stride - ((rows - 1) * stride + 2 * stride - 1 - height) // 2
        left = column * stride - ((columns - 1) * stride + 2 * stride - 1 - width) // 2
        window = images[:, max(top, 0) : top + 2 * stride - 1, max(left, 0) : left + 2 * stride - 1]
        small[:, row, column] = window.mean((1, 2))
    energies = np.mean(small**2, (1, 2, 3)) + 1e-3
    return small.reshape(n, -1) / energies[:, np.newaxis] ** 0.25


def test_knn_score_is_as_in_numpy_from_the_images_to_the_scores(rng, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_BANK", 200)
    images = rng.random((300, 34, 20, 3)).astype(np.float32) * np.float32([1, 0.6, 0.2])
    images *= rng.uniform(0.3, 1, (300, 1, 1, 1)).astype(np.float32)
    images[::23, 5:25, 3:12] += 0.4  # thirteen
    residuals = (images * rng.gamma(2, 0.1, (300, 1, 1, 1))).astype(np.float32)
    parts = slice(0, 110), slice(110, 300)
    reference = fitted(
        neighbors.KnnScoreFit(), [(images[part], residuals[part], None) for part in parts]
    )

    def knn(points, bank):
        """To the second to eleventh nearest."""
        return np.sort(cdist(points, bank), axis=1)[:, 1:11].mean(1) ** 2

    points = embed_by_hand(images, 3)
    errors = np.mean(residuals**2, (1, 2, 3)) / np.sqrt(np.mean(images**2, (1, 2, 3)) + 1e-3)
    inliers = np.arange(300)
    for _ in range(4):
        bank = points[inliers[np.linspace(0, len(inliers) - 1, 200).astype(int)]]
        order = np.argsort(-errors * knn(points, bank))
        inliers = np.sort(order[4:])  # of 300, 1.5 % are 4.5
    outliers = points[order[:11]]
    np.testing.assert_allclose(reference["bank"], bank, rtol=1e-4)
    np.testing.assert_allclose(reference["suspects"], outliers, rtol=1e-4)
    near, far = knn(points, bank), knn(points, outliers)
    expected = (errors * near * ((near + 1e-3) / (far + 1e-3)) ** 2) ** (1 / 3)
    found = neighbors.knn_score(np.mean(residuals**2, -1), images, None, reference)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_embedding_of_twice_the_brightness_is_longer_by_the_root_of_two(rng):
    image = (0.4 * rng.random((1, 8, 8, 1)) + 0.1).astype(np.float32)
    faint, bright = neighbors.embed(np.concatenate([image, 2 * image])).numpy()
    np.testing.assert_allclose(bright, np.sqrt(2) * faint, rtol=0.01)


def grouped(rng, n=1000):
    """Inliers, and a group of eight outliers not far from them."""
    points = rng.standard_normal((n, 8)).astype(np.float32)
    points[:8] = 0.2 * rng.standard_normal((8, 8)) + 1.5
    errors = np.ones(n, np.float32)
    errors[:6] = 30  # two are reconstructed as well as the inliers
    return points, errors


def test_outliers_near_to_known_ones_are_found_though_they_are_not_far(rng):
    points, errors = grouped(rng)
    memory_bank, outliers = neighbors.fit_memory_bank(points, errors)
    assert outliers.shape == (11, 8)
    plain = neighbors.knn_distance(points, memory_bank).numpy()
    relative = neighbors.relative_knn_distance(points, memory_bank, outliers).numpy()
    labels = np.arange(len(points)) < 8
    assert roc_auc_score(labels, relative) > 0.98
    assert roc_auc_score(labels, plain) < 0.96


def test_memory_bank_is_without_the_farthest_points(rng):
    points, errors = grouped(rng)
    points[0] = 30
    memory_bank, _ = neighbors.fit_memory_bank(points, errors)
    assert memory_bank.max() < 10


@pytest.mark.parametrize("n", [8, 20, 109])
def test_few_images_are_compared_with_inliers_only(rng, n):
    points, errors = grouped(rng, n)
    memory_bank, outliers = neighbors.fit_memory_bank(points, errors)
    assert len(outliers) == 0
    np.testing.assert_array_equal(
        neighbors.relative_knn_distance(points, memory_bank, outliers),
        neighbors.knn_distance(points, memory_bank),
    )


def test_eleven_images_are_outliers_where_they_are_at_most_a_tenth():
    assert [neighbors.n_top_outliers(n) for n in (109, 110, 2300, 2301)] == [0, 11, 12, 12]


def test_relative_knn_distance_among_equal_images_is_zero():
    equal = np.ones((200, 3), np.float32)
    memory_bank, outliers = neighbors.fit_memory_bank(equal, np.ones(200, np.float32))
    assert len(outliers) == 11
    points = np.array([[1, 1, 1], [1, 1, 2]], np.float32)
    found = neighbors.relative_knn_distance(points, memory_bank, outliers)
    assert found[0] == 0 < found[1] < np.inf


def batch_with_error(images, error):
    """A batch of images, residuals and no codes, with the same squared error at every pixel."""
    return images, np.full_like(images, np.sqrt(error)), None


def test_knn_score_grows_with_the_error_and_with_the_distance(rng):
    normal = rng.random((30, 8, 8, 1)).astype(np.float32)
    reference = fitted(
        neighbors.KnnScoreFit(),
        [batch_with_error(batch, 0.01) for batch in (normal[:20], normal[20:])],
    )
    assert reference["bank"].shape == (30, 64)
    assert reference["suspects"].shape == (0, 64)  # of so few images
    anomaly = np.zeros((1, 8, 8, 1), np.float32)
    anomaly[0, :2, :2] = 1
    images = np.concatenate([normal[:1], anomaly])
    low, high = np.full((2, 2, 8, 8), [[[[0.01]]], [[[0.04]]]], np.float32)
    found = np.stack([neighbors.knn_score(m, images, None, reference) for m in (low, high)])
    np.testing.assert_allclose(found[1] ** 3, 4 * found[0] ** 3, rtol=1e-5)
    energies = np.sqrt(np.mean(images**2, axis=(1, 2, 3)) + 1e-3)
    distances = found[0] ** 3 / (0.01 / energies)
    assert distances[1] > 1.5 * distances[0]


def test_knn_score_of_one_image_has_no_reference():
    one = np.zeros((1, 8, 8, 1), np.float32)
    assert fitted(neighbors.KnnScoreFit(), [batch_with_error(one, 0.01)]) == {}
