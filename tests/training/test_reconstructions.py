import dataclasses

import keras
import numpy as np
import pytest

from pyimagesearch.data import corruptions
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.reporting import gallery
from pyimagesearch.training import reconstructions, train, trainer
from pyimagesearch.training.recipes import make_recipe


def result_of(autoencoder, n_held_out, corruption=("rotate", 180)):
    history = trainer.History([1.0], [], 0.0, np.arange(0))
    recipe = dataclasses.replace(make_recipe(), corruption=corruption)
    held_out = np.arange(6 - n_held_out, 6)
    return train.TrainingResult(autoencoder, np.arange(6 - n_held_out), held_out, history, recipe)


def black(images):
    """An autoencoder that reconstructs every image as black, though not in training."""
    image = keras.Input(images.shape[1:])
    return keras.Model(image, keras.layers.GaussianNoise(1.0)(keras.layers.Rescaling(0.0)(image)))


def test_restoration_is_evaluated_on_the_held_out_images_against_the_clean_ones():
    """Half of one is white, half of the other gray. Upside down, all pixels are wrong."""
    images = np.full((6, 4, 4, 1), np.nan, np.float32)
    images[4:], images[4, :2], images[5, :2] = 0, 1, 0.5
    restoration = reconstructions.evaluate_restoration(result_of(black(images), 2), images)
    # 1 and 1/4 are 0 and 6.02 dB; 1/2 and 1/8, of the black reconstructions, 3.01 and 9.03.
    assert restoration["spoilt"] == {"mse": 0.625, "psnr": pytest.approx(3.0103, abs=1e-4)}
    assert restoration["restored"] == {"mse": 0.3125, "psnr": pytest.approx(6.0206, abs=1e-4)}
    assert restoration["gain_db"] == pytest.approx(3.0103, abs=1e-4)
    assert reconstructions.format_restoration(restoration) == (
        "held-out images: corrupted mse 0.62500, psnr 3.01 dB; restored mse 0.31250, psnr 6.02 dB; "
        "+3.01 dB"
    )


def test_psnr_of_a_perfect_image_is_120_db():
    images = np.zeros((6, 4, 4, 1), np.float32)
    restoration = reconstructions.evaluate_restoration(result_of(black(images), 2), images)
    assert restoration["spoilt"] == restoration["restored"] == {"mse": 0, "psnr": 120}
    assert restoration["gain_db"] == 0


@pytest.mark.parametrize("name", ["noise", "rotate"])
def test_restoration_corrupts_each_batch_by_a_seed_of_its_own(name, rng, monkeypatch):
    images = rng.random((6, 5, 4, 3), np.float32)
    result = result_of(black(images), 5, (name, 0.4 if name == "noise" else 90))
    monkeypatch.setattr(
        reconstructions,
        "iterate_batches",
        lambda images, order, size: iterate_batches(images, order, 3),
    )
    monkeypatch.setattr(reconstructions, "MAX_CALIBRATION_IMAGES", 4)
    parts = [(images[1:4], [9, 0]), (images[4:5], [9, 1])]
    spoilt = [corruptions.corrupt(x, result.recipe.corruption, seed) for x, seed in parts]
    errors = np.mean((images[1:5] - np.concatenate(spoilt)) ** 2, (1, 2, 3))
    found = reconstructions.evaluate_restoration(result, images, seed=9)
    assert found["spoilt"]["mse"] == pytest.approx(errors.mean(), rel=1e-5)
    assert found["spoilt"]["psnr"] == pytest.approx(-10 * np.log10(errors).mean(), rel=1e-4)
    assert found["restored"]["mse"] == pytest.approx(np.mean(images[1:5] ** 2), rel=1e-5)


def test_restoration_without_held_out_images_is_not_evaluated():
    images = np.zeros((6, 4, 4, 1), np.float32)
    restoration = reconstructions.evaluate_restoration(result_of(black(images), 0), images)
    assert restoration is None
    assert "no held-out images" in reconstructions.format_restoration(restoration)


@pytest.mark.parametrize("n_held_out", [0, 2])
def test_held_out_or_else_trained_images_are_drawn_beside_their_reconstructions(
    n_held_out, rng, monkeypatch
):
    monkeypatch.setattr(reconstructions, "MAX_PICTURED", 5)
    images = rng.random((6, 4, 5, 3), np.float32)
    shown = images[4:] if n_held_out else images[:5]
    for corruption in (None, ("noise", 0.3)):
        result = result_of(black(images), n_held_out, corruption)
        picture = reconstructions.draw_reconstructions(result, images, {}, seed=7)
        corrupted = None if corruption is None else corruptions.corrupt(shown, corruption, 7)
        expected = gallery.reconstructions(shown, np.zeros_like(shown), corrupted)
        np.testing.assert_array_equal(picture, expected)


def test_reconstructions_beyond_white_and_black_are_drawn_as_white_and_black(rng):
    images = rng.random((6, 4, 5, 3), np.float32)
    image = keras.Input((4, 5, 3))
    contrast = keras.Model(image, keras.layers.Rescaling(5.0, -2.0)(image))
    picture = reconstructions.draw_reconstructions(result_of(contrast, 2, None), images, {})
    expected = gallery.reconstructions(images[4:], np.clip(5 * images[4:] - 2, 0, 1), None)
    np.testing.assert_allclose(picture.astype(int), expected, atol=1)
