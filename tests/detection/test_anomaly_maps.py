import cv2
import numpy as np
import pytest
import tensorflow as tf

from pyimagesearch.detection import anomaly_maps
from tests.detection.fitted import fitted


def test_squared_error_of_a_known_difference_is_as_on_paper():
    images = np.zeros((1, 2, 2, 2), np.float32)
    reconstructions = images.copy()
    reconstructions[0, 0, 1] = [1, 0.5]
    error_map = anomaly_maps.squared_error(images, reconstructions).numpy()
    np.testing.assert_allclose(error_map, [[[0, 0.625], [0, 0]]])


def gaussian(deviation):
    return lambda image: cv2.GaussianBlur(
        image,
        (2 * int(3 * deviation + 0.5) + 1,) * 2,
        deviation,
        borderType=cv2.BORDER_REPLICATE,
    )


@pytest.mark.parametrize("deviation", [1, 2, 4])
def test_gaussian_blur_agrees_with_opencv(deviation, rng):
    planes = rng.random((6, 19, 11), np.float32)
    expected = np.stack([gaussian(deviation)(plane) for plane in planes])
    np.testing.assert_allclose(
        anomaly_maps.gaussian_blur(tf.constant(planes), deviation), expected, atol=1e-5
    )


def test_local_distance_is_a_mahalanobis_distance_at_each_pixel(rng):
    """Against NumPy, one pixel and one image at a time."""
    normal = rng.normal(0, 0.01, (60, 6, 5, 2)).astype(np.float32)
    images = rng.normal(0, 0.01, (3, 6, 5, 2)).astype(np.float32)
    reference = fitted(
        anomaly_maps.LocalDistanceFit(), [(None, normal[:20], None), (None, normal[20:], None)]
    )
    zeros = np.zeros_like(images)
    blurred = [gaussian(s) if s else (lambda image: image) for s in (0, 1, 2, 4)]

    def vectors(images):
        return np.stack([np.concatenate([f(image) for f in blurred], -1) for image in images])

    usual, scored = vectors(normal).astype(float), vectors(images).astype(float)
    distances = np.empty((3, 6, 5))
    for i, j in np.ndindex(6, 5):
        covariance = np.cov(usual[:, i, j], rowvar=False, bias=True) + 1e-5 * np.eye(8)
        away = scored[:, i, j] - usual[:, i, j].mean(axis=0)
        distances[:, i, j] = [a @ np.linalg.inv(covariance) @ a / 8 for a in away]
    expected = np.stack([np.sqrt(gaussian(3)(d)) for d in distances])
    maps = anomaly_maps.local_distance(images, zeros, reference)
    np.testing.assert_allclose(maps, expected, rtol=0.005)


def test_local_distance_with_counts_is_fitted_as_to_repeated_images(rng):
    residuals, counts = rng.normal(0, 0.1, (20, 6, 5, 2)).astype(np.float32), np.arange(20) % 4 + 1
    batches = [(None, residuals[part], None, counts[part]) for part in (slice(7), slice(7, 20))]
    found = fitted(anomaly_maps.LocalDistanceFit(), batches)
    repeated = np.repeat(residuals, counts, axis=0)
    expected = fitted(anomaly_maps.LocalDistanceFit(), [(None, repeated, None)])
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-6)


def test_local_distance_of_usual_residuals_is_one_less_what_the_ridge_takes(rng):
    residuals = rng.normal(0, 0.1, (400, 8, 8, 1)).astype(np.float32)
    reference = fitted(anomaly_maps.LocalDistanceFit(), [(None, residuals, None)])
    maps = anomaly_maps.local_distance(residuals, np.zeros_like(residuals), reference)
    assert 0.85 < np.mean(np.square(maps)) < 1.01
