import keras
import numpy as np
import pytest

from pyimagesearch.models import normalization
from pyimagesearch.models.normalization import (
    MIN_DISTANCE_TO_BOUNDS,
    blur,
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


def test_fit_normalization_of_black_images_neither_divides_by_0_nor_saturates():
    black = np.zeros((3, 4, 4, 1), np.float32)
    fitted = fit_normalization(black)
    assert fitted.deviation == 1
    pixels = apply(to_pixels, black[:1], fitted)
    np.testing.assert_allclose(pixels, MIN_DISTANCE_TO_BOUNDS, rtol=1e-2)


def test_fit_normalization_of_very_many_pixels_takes_the_mean_of_each_channel(images, monkeypatch):
    monkeypatch.setattr(normalization, "MAX_NUMBERS", 100)
    fitted = fit_normalization(images)
    np.testing.assert_allclose(fitted.mean, images.mean(axis=(0, 1, 2)), atol=1e-4)


def test_contrast_of_an_image_twice_as_bright_is_half_as_much_brighter(images):
    model = contrast_normalization(images.shape[1:], norm=1.0)
    unit = images[:1] / np.linalg.norm(apply(blur, images[:1]))
    usual, bright = model(unit).numpy(), model(2 * unit).numpy()
    np.testing.assert_allclose(bright, 1.5 * usual, rtol=1e-4)
    np.testing.assert_allclose(usual, apply(blur, unit), rtol=1e-4, atol=1e-6)
    assert np.isfinite(model(np.zeros_like(unit)).numpy()).all()
