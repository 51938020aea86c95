import keras
import numpy as np
import pytest

from pyimagesearch.models import architectures
from pyimagesearch.models import normalization as models_normalization
from pyimagesearch.training.recipes import ARCHITECTURES, make_recipe


@pytest.fixture
def images(rng):
    return rng.random((20, 12, 9, 3)).astype(np.float32) * np.linspace(0.2, 1, 20)[
        :, np.newaxis, np.newaxis, np.newaxis
    ].astype(np.float32)


def test_standardised_images_have_mean_0_and_deviation_1(images):
    image = keras.Input(images.shape[1:])
    centre = models_normalization.fit_normalization(images)
    given = keras.Model(image, models_normalization.standardize(image, centre))(images).numpy()
    np.testing.assert_allclose(given.mean(axis=0), 0, atol=1e-3)
    assert given.std() == pytest.approx(1, abs=1e-3)


def test_pixels_given_0_are_those_of_the_mean_image(images):
    x = keras.Input(images.shape[1:])
    for even_contrast in (False, True):
        centre = models_normalization.fit_normalization(images, even_contrast)
        given = keras.Model(x, models_normalization.to_pixels(x, centre))(
            np.zeros_like(images[:1])
        ).numpy()
        np.testing.assert_allclose(given[0], centre.mean, atol=1e-3)


def test_centre_of_black_images_neither_divides_by_nothing_nor_saturates():
    centre = models_normalization.fit_normalization(np.zeros((3, 4, 4, 1), np.float32))
    assert centre.deviation == 1
    x = keras.Input((4, 4, 1))
    given = keras.Model(x, models_normalization.to_pixels(x, centre))(
        np.zeros((1, 4, 4, 1))
    ).numpy()
    np.testing.assert_allclose(given, models_normalization.MIN_DISTANCE_TO_BOUNDS, rtol=1e-2)


def test_centre_of_very_many_pixels_is_the_mean_of_each_channel(images, monkeypatch):
    monkeypatch.setattr(models_normalization, "MAX_NUMBERS", 100)
    centre = models_normalization.fit_normalization(images)
    np.testing.assert_allclose(centre.mean, images.mean(axis=(0, 1, 2)), atol=1e-4)


def test_contrast_given_images_twice_as_bright_makes_them_half_as_much_brighter(images):
    even = models_normalization.contrast_normalization(images.shape[1:], norm=1.0)
    once = even(images[:1]).numpy()
    length = np.linalg.norm(keras.ops.convert_to_numpy(blurred(images[:1])))
    usual, twice = (even(images[:1] * factor / length).numpy() for factor in (1, 2))
    np.testing.assert_allclose(twice, 1.5 * usual, rtol=1e-4)
    np.testing.assert_allclose(usual, blurred(images[:1]) / length, rtol=1e-4, atol=1e-6)
    assert np.isfinite(once).all()
    assert np.isfinite(even(np.zeros_like(images[:1])).numpy()).all()


def blurred(images):
    x = keras.Input(images.shape[1:])
    return keras.Model(x, models_normalization.blur(x))(images)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("even_contrast", [False, True])
def test_networks_of_any_kind_can_be_centred_and_are_from_images_to_images(
    images, arch, even_contrast
):
    chosen = make_recipe("shapes", arch, filters=(4,), even_contrast=even_contrast)
    normalization = models_normalization.fit_normalization(images, even_contrast)
    network = architectures.build(chosen, images.shape[1:], 0, normalization)
    assert network(images).shape == images.shape
    parts = architectures.Autoencoder(network)
    assert parts.normalizes_contrast == even_contrast
    preprocessed = parts.preprocess(images)
    assert (np.asarray(preprocessed) == images).all() != even_contrast
    np.testing.assert_array_equal(parts.reconstruct(preprocessed), network(images))
