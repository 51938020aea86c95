import keras
import numpy as np
import pytest

from pyimagesearch.training import reconstructions, train, trainer
from pyimagesearch.training.recipes import make_recipe


def result_of(autoencoder, n_held_out):
    history = trainer.History([1.0], [], 0.0, np.arange(0))
    recipe = make_recipe(corruption=("rotate", 180))
    held_out = np.arange(6 - n_held_out, 6)
    return train.TrainingResult(autoencoder, np.arange(6 - n_held_out), held_out, history, recipe)


def black(images):
    """An autoencoder that reconstructs every image as black."""
    image = keras.Input(images.shape[1:])
    return keras.Model(image, keras.layers.Rescaling(0.0)(image))


def test_restoration_is_evaluated_against_the_clean_images():
    """Half of each image is white. Upside down, all pixels are wrong; in black, half of them."""
    images = np.zeros((6, 4, 4, 1), np.float32)
    images[:, :2] = 1
    restoration = reconstructions.evaluate_restoration(result_of(black(images), 2), images)
    assert restoration["spoilt"] == {"mse": 1.0, "psnr": 0.0}
    assert restoration["restored"] == {"mse": 0.5, "psnr": pytest.approx(3.0103, abs=1e-4)}
    assert restoration["gain_db"] == restoration["restored"]["psnr"]
    assert "+3.01 dB" in reconstructions.format_restoration(restoration)


def test_restoration_without_held_out_images_is_not_evaluated():
    images = np.zeros((6, 4, 4, 1), np.float32)
    restoration = reconstructions.evaluate_restoration(result_of(black(images), 0), images)
    assert restoration is None
    assert "no held-out images" in reconstructions.format_restoration(restoration)


@pytest.mark.parametrize("n_held_out", [0, 2])
def test_reconstructions_are_drawn_with_or_without_held_out_images(n_held_out, rng):
    images = rng.random((6, 4, 4, 1), np.float32)
    picture = reconstructions.draw_reconstructions(result_of(black(images), n_held_out), images, {})
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
