import functools

import numpy as np
import pytest

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.data import batches
from pyimagesearch.detection import calibration, fitting, scores, scoring, thresholds
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.training import train, trainer
from pyimagesearch.training.recipes import make_recipe


def test_outliers_are_left_out_of_the_reference_of_a_score_that_is_fit_on_inliers(rng):
    images = rng.random((30, 8, 6, 1)).astype(np.float32)
    network = ConvAutoencoder.build(6, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    trained = np.sort(rng.permutation(30)[:25])
    held_out = np.setdiff1d(np.arange(30), trained)
    outliers = trained[1::3]
    images[outliers] /= 3
    history = trainer.History([1.0], [], 0.0, outliers)
    result = train.TrainingResult(network, trained, held_out, history, make_recipe())
    inliers = np.setdiff1d(trained, outliers)
    expected = fitting.fit_references(network, images, {"local": inliers, "code": trained})
    other = fitting.fit_references(network, images, {"local": trained, "code": inliers})
    for score, arrays in expected.items():
        reference = calibration.fit_reference(result, images, score)
        for name, array in reference.items():
            np.testing.assert_array_equal(array, arrays[name])
        assert any(not np.array_equal(reference[name], other[score][name]) for name in reference)


def trained_on_noise(rng, latent_dim=2, n_held_out=20):
    """A `TrainingResult` of a network that has learned nothing, on 80 images, and the images."""
    images = rng.random((80, 8, 8, 1), np.float32)
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=latent_dim, seed=0)[2]
    trained, held_out = np.split(rng.permutation(80), [80 - n_held_out])
    history = trainer.History([1.0], [], 0.0, trained[:3])
    return train.TrainingResult(network, trained, held_out, history, make_recipe()), images


class Counted:
    """Images that count how often each is read, and how many at once."""

    def __init__(self, images):
        self.images, self.shape = images, images.shape
        self.reads, self.sizes = np.zeros(len(images), int), set()

    def __getitem__(self, indices):
        self.reads[indices] += 1
        self.sizes.add(len(indices))
        return self.images[indices]


def test_calibration_is_of_some_images_and_equal_to_that_of_each_score_by_itself(rng, monkeypatch):
    """With NaN in the place of all others; thresholds are of the held-out images.

    The network is compiled once to fit and once to score, and runs twice for some maps. For each of
    these, an image is read once, and no more at a time than are scored at once.
    """
    monkeypatch.setattr(scoring, "MAX_BATCH_NUMBERS", 9 * 64)
    monkeypatch.setattr(calibration, "subsample", functools.partial(batches.subsample, n=21))
    monkeypatch.setattr(calibration, "MAX_PIXEL_IMAGES", 10)
    result, images = trained_on_noise(rng, n_held_out=29)
    result.trained.sort(), result.held_out.sort()
    images[result.held_out] = images[result.held_out] ** 2
    trained, held_out = (
        batches.subsample(some, 3, 21) for some in (result.trained, result.held_out)
    )
    images[np.setdiff1d(np.arange(80), [*trained, *held_out])] = np.nan
    images[trained[::2]] = rng.random((11, 8, 8, 1)) < 0.5  # with errors above those of all others
    forward, calls, counted = Autoencoder.forward, [], Counted(images)
    with monkeypatch.context() as patched:
        patched.setattr(Autoencoder, "forward", lambda *a: calls.append(a) or forward(*a))
        found, references = calibration.calibrate(result, counted, seed=3)
    assert len(calls) == 4
    assert max(counted.sizes) == 9
    assert counted.reads[trained].tolist() == [2] * 21
    assert counted.reads[held_out].tolist() == [2] * 10 + [1] * 11
    assert list(found) == list(scores.SCORES)
    network = result.autoencoder
    for score, of_score in found.items():
        reference, order = references.get(score), [*trained, *held_out]
        values = scoring.score_images(network, images, score, reference, order)
        assert of_score["trained"] == scoring.summarize(values[:21])
        assert of_score["held_out"] == scoring.summarize(values[21:])
        assert of_score["threshold"] == thresholds.fdr_controlled(True, values[21:])
        maps = scoring.reconstruct(network, images, held_out[:10], score, reference).maps
        # Of 640 pixels, a thousandth lies 0.639 below the highest.
        second, first = np.sort(maps, axis=None)[-2:].astype(float)
        assert of_score["pixel_threshold"] == pytest.approx(first - 0.639 * (first - second))


def test_calibration_without_held_out_images_or_codes_is_of_the_trained_ones_by_other_scores(rng):
    result, images = trained_on_noise(rng, latent_dim=None, n_held_out=0)
    found, references = calibration.calibrate(result, images)
    assert sorted(found) == ["local", "mse", "neighbours"]
    assert sorted(references) == ["local", "neighbours"]
    values = scoring.score_images(result.autoencoder, images, order=result.trained)
    assert found["mse"]["held_out"] == {"n": 0}
    assert found["mse"]["threshold"] == thresholds.fdr_controlled(True, values)
