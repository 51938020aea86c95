import cv2
import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import anomaly_maps, mahalanobis, neighbors, scores, scoring
from pyimagesearch.models.architectures import Autoencoder


@pytest.fixture(scope="module")
def autoencoder():
    return ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2, seed=0)[2]


@pytest.fixture
def images(rng):
    return rng.random((23, 5, 7, 3), np.float32)


def test_mse_agrees_with_numpy_on_keras_reconstructions(autoencoder, images):
    reconstructions = autoencoder.predict(images, verbose=0)
    expected = np.mean((images - reconstructions) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(scoring.score_images(autoencoder, images), expected, rtol=1e-5)


def test_squared_error_of_a_known_difference_is_as_on_paper():
    images = np.zeros((1, 2, 2, 2), np.float32)
    reconstructions = images.copy()
    reconstructions[0, 0, 1] = [1, 0.5]
    error_map = anomaly_maps.squared_error(images, reconstructions).numpy()
    np.testing.assert_allclose(error_map, [[[0, 0.625], [0, 0]]])


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_scores_of_any_batch_size_are_the_same(autoencoder, images, batch_size):
    expected = scoring.score_images(autoencoder, images)
    scores = scoring.score_images(autoencoder, images, batch_size=batch_size)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_scores_of_permuted_images_are_permuted(autoencoder, images, rng):
    order = rng.permutation(len(images))
    scores = scoring.score_images(autoencoder, images)
    np.testing.assert_allclose(
        scoring.score_images(autoencoder, images[order]), scores[order], rtol=1e-6
    )


def test_on_batch_is_called_up_to_the_last_image(autoencoder, images):
    done = []
    scoring.score_images(autoencoder, images, batch_size=10, on_batch=done.append)
    assert done == [10, 20, 23]


def test_images_of_another_shape_are_refused_with_both_shapes(autoencoder):
    with pytest.raises(InputError, match=r"\(5, 7, 3\) and these are of shape \(7, 5, 3\)"):
        scoring.score_images(autoencoder, np.zeros((2, 7, 5, 3), np.float32))


def test_model_whose_scores_are_not_finite_is_refused(images):
    broken = ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2)[2]
    broken.set_weights([np.full_like(w, np.nan) for w in broken.get_weights()])
    with pytest.raises(InputError, match="not finite"):
        scoring.score_images(broken, images)


def test_reconstruct_returns_the_images_in_order_with_maps_whose_mean_is_the_score(
    autoencoder, images
):
    order = np.array([5, 0, 22])
    originals, reconstructions, maps = scoring.reconstruct(autoencoder, images, order, batch_size=2)
    np.testing.assert_array_equal(originals, images[order])
    np.testing.assert_allclose(reconstructions, autoencoder(images[order]), rtol=1e-5)
    scores = scoring.score_images(autoencoder, images, order=order)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), scores, rtol=1e-5)
    np.testing.assert_allclose(scores, scoring.score_images(autoencoder, images)[order], rtol=1e-5)


def gaussian(deviation):
    return lambda image: cv2.GaussianBlur(
        image,
        (2 * int(3 * deviation + 0.5) + 1,) * 2,
        deviation,
        borderType=cv2.BORDER_REPLICATE,
    )


@pytest.mark.parametrize("deviation", [1, 2, 4])
def test_gaussian_blur_agrees_with_opencv(deviation, rng):
    images = rng.random((2, 19, 11, 3), np.float32)
    expected = np.stack([gaussian(deviation)(image) for image in images])
    np.testing.assert_allclose(
        anomaly_maps.gaussian_blur(tf.constant(images), deviation), expected, atol=1e-5
    )


def test_local_distance_is_a_mahalanobis_distance_at_each_pixel(rng):
    """Against NumPy, one pixel and one image at a time."""
    normal = rng.normal(0, 0.1, (60, 6, 5, 2)).astype(np.float32)
    images = rng.normal(0, 0.1, (3, 6, 5, 2)).astype(np.float32)
    reference = anomaly_maps.fit_local_distance(
        [(None, normal[:20], None), (None, normal[20:], None)]
    )
    zeros = np.zeros_like(images)
    blurred = [gaussian(s) if s else (lambda image: image) for s in anomaly_maps.BLURS]

    def vectors(images):
        return np.stack([np.concatenate([f(image) for f in blurred], -1) for image in images])

    fitted, scored = vectors(normal).astype(float), vectors(images).astype(float)
    distances = np.empty((3, 6, 5))
    for i, j in np.ndindex(6, 5):
        covariance = np.cov(fitted[:, i, j], rowvar=False, bias=True) + anomaly_maps.RIDGE * np.eye(
            8
        )
        away = scored[:, i, j] - fitted[:, i, j].mean(axis=0)
        distances[:, i, j] = [a @ np.linalg.inv(covariance) @ a / 8 for a in away]
    expected = np.stack([np.sqrt(gaussian(anomaly_maps.SMOOTHING)(d)) for d in distances])
    maps = anomaly_maps.local_distance(images, zeros, reference)
    np.testing.assert_allclose(maps, expected, rtol=0.02)


def test_local_distance_of_usual_residuals_is_one_less_what_the_ridge_takes(rng):
    residuals = rng.normal(0, 0.1, (400, 8, 8, 1)).astype(np.float32)
    reference = anomaly_maps.fit_local_distance([(None, residuals, None)])
    maps = anomaly_maps.local_distance(residuals, np.zeros_like(residuals), reference)
    assert 0.85 < np.mean(np.square(maps)) < 1.01


@pytest.mark.parametrize("score", scores.SCORES)
def test_every_score_finds_a_patch_that_no_other_image_has(score, rng):
    """In one image, something bright in a place where all others are dark."""
    autoencoder = ConvAutoencoder.build(16, 16, 1, filters=(4,), latentDim=2, seed=0)[2]
    images = rng.normal(0.5, 0.02, (80, 16, 16, 1)).astype(np.float32)
    images[7, 3:6, 9:12] = 1
    normal = np.delete(np.arange(80), 7)
    reference = scoring.fit_reference(autoencoder, images, normal, score)
    scores = scoring.score_images(autoencoder, images, score, reference)
    assert scoring.rank(scores)[0] == 7
    *_, maps = scoring.reconstruct(autoencoder, images, [7], score, reference)
    row, column = np.unravel_index(np.argmax(maps[0]), (16, 16))
    assert 2 <= row <= 6
    assert 8 <= column <= 12


def test_code_distance_in_the_middle_of_a_ring_is_large(rng):
    """The mean of the ring is in its middle, so that no Gaussian finds a code there unusual."""
    angles = rng.uniform(0, 2 * np.pi, 1000)
    codes = 5 * np.stack([np.cos(angles), np.sin(angles)], axis=1) + 0.1 * rng.standard_normal(
        (1000, 2)
    )
    codes[:5] /= 50
    images, residuals = rng.uniform(0.4, 0.6, (2, 1000, 4, 4, 1)).astype(np.float32)
    reference = mahalanobis.fit_code_distance([(images, residuals, codes.astype(np.float32))])
    maps = np.square(residuals[..., 0])
    found = mahalanobis.code_distance(maps, images, codes.astype(np.float32), reference).numpy()
    assert set(scoring.rank(found)[:5]) == set(range(5))


def test_score_without_the_reference_that_it_needs_is_refused(autoencoder, images):
    with pytest.raises(InputError, match="the score local needs what training has learned"):
        scoring.score_images(autoencoder, images, "local", {})


def test_rank_puts_the_highest_first_and_keeps_equal_scores_in_order():
    assert scoring.rank(np.array([1, 3, 2, 3])).tolist() == [1, 3, 2, 0]
    assert scoring.rank(np.zeros(40)).tolist() == list(range(40))


def test_summary_of_three_scores_is_as_on_paper():
    assert scoring.summarize(np.array([1.0, 2.0, 6.0], np.float32)) == {
        "n": 3,
        "mean": 3,
        "std": pytest.approx((14 / 3) ** 0.5),
        "min": 1,
        "median": 2,
        "max": 6,
    }
    assert scoring.summarize(np.array([])) == {"n": 0}


def test_scores_of_any_batch_size_are_the_same_to_the_bit(rng):
    from pyimagesearch.models import architectures
    from pyimagesearch.training.recipes import make_recipe

    images = rng.random((40, 12, 12, 1), np.float32)
    autoencoder = architectures.build(make_recipe("robust", "dense"), (12, 12, 1), 0)
    expected = scoring.score_images(autoencoder, images)
    for batch_size in (1, 2, 7, 39):
        scores = scoring.score_images(autoencoder, images, batch_size=batch_size)
        np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("n", [1, 64, 65, 700])
def test_scores_of_any_number_of_threads_are_the_same_to_the_bit(n, rng, monkeypatch):
    autoencoder = ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2, seed=0)[2]
    images = rng.random((n, 5, 7, 3), np.float32)
    scores = []
    for threads in (1, 5):
        monkeypatch.setattr(scoring.os, "cpu_count", lambda threads=threads: threads)
        scores.append(scoring.score_images(autoencoder, images))
    np.testing.assert_array_equal(*scores)


def test_error_of_a_file_in_any_batch_is_raised(autoencoder, images):
    class Broken:
        shape = (500, 5, 7, 3)

        def __len__(self):
            return 500

        def __getitem__(self, indices):
            if 400 in indices:
                raise InputError("gone")
            return np.zeros((len(indices), 5, 7, 3), np.float32)

    with pytest.raises(InputError, match="gone"):
        scoring.score_images(autoencoder, Broken())


def code_batches(rng, n=400, k=3):
    """Codes from a stretched Gaussian, and two batches of images, residuals and these codes."""
    codes = (rng.standard_normal((n, k)) * [1, 5, 0.2] + [3, 0, -1]).astype(np.float32)
    residuals = rng.standard_normal((n, 4, 4, 1)).astype(np.float32) / 10
    images = np.ones_like(residuals)
    return codes, [
        (images[part], residuals[part], codes[part])
        for part in (slice(0, n // 2), slice(n // 2, n))
    ]


def test_code_distance_is_mahalanobis_of_codes_energies_errors_and_knn_distances(rng):
    codes, batches = code_batches(rng, n=1500)
    reference = mahalanobis.fit_code_distance(batches)
    maps = np.concatenate([np.square(residuals[..., 0]) for _, residuals, _ in batches])
    found = mahalanobis.code_distance(maps, np.ones((1500, 4, 4, 1), np.float32), codes, reference)
    vectors = np.column_stack([codes, np.zeros(1500), np.log(maps.mean(axis=(1, 2)))])
    far = np.sqrt(np.sort(cdist(vectors, reference["bank"]), axis=1)[:, 1:] ** 2 + 0.01)
    # Of 1,200 inliers, a five-hundredth, a fiftieth, a fifth.
    distances = np.stack([np.log(far[:, :k].mean(axis=1)) for k in (2, 24, 240)], axis=1)
    away = np.concatenate([vectors, distances], axis=1) - reference["mean"]
    expected = np.einsum("nk,kl,nl->n", away, reference["precision"], away)
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_code_distance_of_an_unusual_brightness_with_a_usual_code_is_large(rng):
    codes, batches = code_batches(rng)
    for images, *_ in batches:
        images *= rng.uniform(0.9, 1.1, (len(images), 1, 1, 1))
    reference = mahalanobis.fit_code_distance(batches)
    images = np.ones((2, 4, 4, 1), np.float32)
    images[1] /= 2
    maps = np.full((2, 4, 4), 0.01, np.float32)
    found = mahalanobis.code_distance(maps, images, codes[[0, 0]], reference).numpy()
    assert found[1] > found[0] + 50


def batch_with_error(images, error):
    """A batch of images, residuals and no codes, with the same squared error at every pixel."""
    return images, np.full_like(images, np.sqrt(error)), None


def test_knn_score_grows_with_the_error_and_with_the_distance(rng):
    normal = rng.random((30, 8, 8, 1)).astype(np.float32)
    reference = neighbors.fit_knn_score(
        [batch_with_error(batch, 0.01) for batch in (normal[:20], normal[20:])]
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
    assert neighbors.fit_knn_score([batch_with_error(one, 0.01)]) == {}


@pytest.mark.slow
def test_memory_bank_of_many_images_is_sampled_from_all_of_them(rng):
    n = 3 * neighbors.MAX_BANK // 2
    images = np.arange(1, n + 1, dtype=np.float32)[:, np.newaxis, np.newaxis, np.newaxis]
    bank = neighbors.fit_knn_score([batch_with_error(images / n, 0.01)])["bank"]
    assert len(bank) == neighbors.MAX_BANK
    assert bank[0, 0] < 0.2
    assert bank[-1, 0] > 0.99


@pytest.mark.parametrize(
    "score", [name for name in scores.SCORES if scores.SCORES[name].needs_codes]
)
def test_score_that_needs_codes_is_refused_for_a_network_without(score):
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=None, seed=0)[2]
    assert Autoencoder(network).code_length is None
    with pytest.raises(InputError, match="take --score mse"):
        scoring.score_images(network, np.zeros((2, 8, 8, 1), np.float32), score, {})


@pytest.mark.parametrize("score", [name for name in scores.SCORES if scores.SCORES[name].fit])
def test_reference_of_another_network_is_refused(score, rng):
    images = rng.random((30, 8, 8, 1), np.float32)
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=3, seed=0)[2]
    other = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    reference = scoring.fit_reference(network, images, np.arange(30), score)
    assert np.isfinite(scoring.score_images(network, images, score, reference)).all()
    broken = {name: array[..., :-1] if array.ndim else array for name, array in reference.items()}
    with pytest.raises(InputError, match="does not fit it"):
        scoring.score_images(network, images, score, broken)
    if scores.SCORES[score].needs_codes:
        with pytest.raises(InputError, match="does not fit it"):
            scoring.score_images(other, images, score, reference)
