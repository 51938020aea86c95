import keras
import numpy as np
import pytest
import scipy.ndimage

from pyimagesearch.models import normalization
from pyimagesearch.models.normalization import (
    contrast_normalization,
    fit_normalization,
    standardize,
    to_pixels,
)


@pytest.fixture
def images(rng):
    """Twenty images, from faint to bright."""
    brightness = np.linspace(0.2, 1, 20, dtype=np.float32)
    return rng.random((20, 12, 9, 3), np.float32) * brightness[:, None, None, None]


def apply(function, images, *settings):
    """What a function of a Keras tensor makes of images."""
    image = keras.Input(images.shape[1:])
    return keras.Model(image, function(image, *settings))(images).numpy()


def test_standardize_gives_mean_0_and_deviation_1(images):
    standardized = apply(standardize, images, fit_normalization(images))
    np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-3)
    assert standardized.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("normalize_contrast", [False, True])
def test_to_pixels_of_0_gives_the_mean_image(images, normalize_contrast):
    fitted = fit_normalization(images, normalize_contrast)
    pixels = apply(to_pixels, np.zeros_like(images[:1]), fitted)
    np.testing.assert_allclose(pixels[0], fitted.mean, atol=1e-3)


@pytest.mark.parametrize(("value", "expected"), [(0, 0.004), (1, 0.996)])
def test_fit_normalization_of_equal_images_neither_divides_by_0_nor_saturates(value, expected):
    fitted = fit_normalization(np.full((3, 4, 4, 1), value, np.float32))
    assert fitted.deviation == 1
    pixels = apply(to_pixels, np.zeros((1, 4, 4, 1), np.float32), fitted)
    np.testing.assert_allclose(pixels, expected, atol=1e-4)


def test_fit_normalization_of_very_many_pixels_takes_the_mean_of_each_channel(images, monkeypatch):
    assert 3 * 295**2 <= normalization.MAX_NUMBERS < 3 * 296**2
    monkeypatch.setattr(normalization, "MAX_NUMBERS", 100)
    fitted = fit_normalization(images)
    np.testing.assert_allclose(fitted.mean, images.mean(axis=(0, 1, 2)), atol=1e-4)
    deviation = np.sqrt(((images - images.mean((0, 1, 2))) ** 2).mean())
    assert fitted.deviation == pytest.approx(deviation, rel=1e-4)


def blurred_by_hand(images):
    """Twice the mean over 3x3 pixels, or over as many as there are at an edge, by SciPy."""
    for _ in range(2):
        sums, counts = (
            scipy.ndimage.uniform_filter(x, (1, 3, 3, 1), mode="constant")
            for x in (images.astype(float), np.ones(images.shape))
        )
        images = sums / counts
    return images


@pytest.mark.parametrize("max_numbers", [10, 10**6])
def test_fit_normalization_with_weights_is_of_repeated_images(images, monkeypatch, max_numbers):
    """The two norms in the middle of all copies are of one image, so that no median is between."""
    monkeypatch.setattr(normalization, "MAX_NUMBERS", max_numbers)
    counts = np.arange(20) % 3 + 1
    counts[10:] += 1
    repeated = np.repeat(images, counts, axis=0)
    for contrast in (False, True):
        found = fit_normalization(images, contrast, counts / 7)
        expected = fit_normalization(repeated, contrast)
        np.testing.assert_allclose(found.mean, expected.mean, atol=1.1e-4)
        assert found.deviation == pytest.approx(expected.deviation, rel=1e-4)
        assert (found.norm or 0) == pytest.approx(expected.norm or 0)
    assert abs(found.norm - fit_normalization(images, True).norm) > 0.1


def test_fit_normalization_with_contrast_is_of_the_images_that_come_out_of_it(images):
    """Blurred, and half of each scaled to the median norm, which is not the mean one."""
    images[:3] *= 5
    blurred = blurred_by_hand(images)
    norms = np.sqrt((blurred**2).sum((1, 2, 3), keepdims=True))
    seen = 0.5 * blurred + 0.5 * np.median(norms) * blurred / norms
    fitted = fit_normalization(images, normalize_contrast=True)
    assert fitted.norm == pytest.approx(np.median(norms), rel=1e-5)
    np.testing.assert_array_equal(fitted.mean, fitted.mean.round(4))
    np.testing.assert_allclose(fitted.mean, seen.mean(0), atol=6e-5)
    deviation = np.sqrt(((seen - seen.mean(0)) ** 2).mean())
    assert fitted.deviation == pytest.approx(deviation, rel=1e-4)
    found = contrast_normalization(images.shape[1:], fitted.norm)(images)
    np.testing.assert_allclose(found, seen, rtol=1e-4, atol=1e-6)
    assert np.isfinite(contrast_normalization((4, 4, 1), 1.0)(np.zeros((1, 4, 4, 1)))).all()
