import numpy as np
import pytest

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import calibration, scores, scoring, thresholds
from pyimagesearch.training import train, trainer
from pyimagesearch.training.recipes import make_recipe


@pytest.mark.parametrize("score", [name for name in scores.SCORES if scores.SCORES[name].fit])
def test_outliers_are_left_out_of_the_reference_of_a_score_that_is_fit_on_inliers(score, rng):
    images = rng.random((30, 8, 8, 1)).astype(np.float32)
    images[:10] /= 3
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    trained, outliers = np.arange(25), np.arange(10)
    history = trainer.History([1.0], [], 0.0, outliers)
    result = train.TrainingResult(network, trained, np.arange(25, 30), history, make_recipe())
    reference = calibration.fit_reference(result, images, score)
    by_all = scoring.fit_reference(network, images, trained, score)
    by_inliers = scoring.fit_reference(network, images, trained[10:], score)
    expected, other = (by_inliers, by_all) if score == "local" else (by_all, by_inliers)
    for name, array in reference.items():
        np.testing.assert_array_equal(array, expected[name])
    assert any(not np.array_equal(reference[name], other[name]) for name in reference)


def trained_on_noise(rng, latent_dim=2, n_held_out=20):
    """A `TrainingResult` of a network that has learned nothing, on 80 images, and the images."""
    images = rng.random((80, 8, 8, 1), np.float32)
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=latent_dim, seed=0)[2]
    trained, held_out = np.split(rng.permutation(80), [80 - n_held_out])
    history = trainer.History([1.0], [], 0.0, trained[:3])
    return train.TrainingResult(network, trained, held_out, history, make_recipe()), images


def test_calibration_has_thresholds_of_the_held_out_images(rng):
    result, images = trained_on_noise(rng)
    found, references = calibration.calibrate(result, images)
    assert list(found) == list(scores.SCORES)
    for score, of_score in found.items():
        values = scoring.score_images(
            result.autoencoder, images, score, references.get(score), result.held_out
        )
        assert of_score["held_out"] == scoring.summarize(values)
        assert of_score["trained"]["n"] == 60
        assert of_score["threshold"] == thresholds.fdr_controlled(True, values)
    *_, maps = scoring.reconstruct(result.autoencoder, images, result.held_out)
    # Of 1,280 pixels, a thousandth.
    assert np.count_nonzero(maps > found["mse"]["pixel_threshold"]) == 2


def test_calibration_without_held_out_images_is_that_of_the_trained_ones(rng):
    result, images = trained_on_noise(rng, n_held_out=0)
    found, _ = calibration.calibrate(result, images)
    values = scoring.score_images(result.autoencoder, images, order=result.trained)
    assert found["mse"]["held_out"] == {"n": 0}
    assert found["mse"]["threshold"] == thresholds.fdr_controlled(True, values)


def test_calibration_of_a_network_without_codes_leaves_out_scores_that_need_them(rng):
    result, images = trained_on_noise(rng, latent_dim=None)
    found, references = calibration.calibrate(result, images)
    assert sorted(found) == ["local", "mse", "neighbours"]
    assert sorted(references) == ["local", "neighbours"]
