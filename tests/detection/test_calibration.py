import numpy as np
import pytest

from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import calibration, scores, scoring
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
