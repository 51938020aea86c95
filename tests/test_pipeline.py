import numpy as np
import pytest

from pyimagesearch import pipeline, scoring, training
from pyimagesearch.convautoencoder import ConvAutoencoder


@pytest.mark.parametrize("score", [name for name in scoring.SCORES if scoring.SCORES[name].fit])
def test_suspects_are_not_learnt_from_by_a_score_that_wants_trusted_images(score, rng):
    images = rng.random((30, 8, 8, 1)).astype(np.float32)
    images[:10] /= 3
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    trained, suspects = np.arange(25), np.arange(10)
    history = training.History([1.0], [], 0.0, suspects)
    fitted = pipeline.Fitted(network, trained, np.arange(25, 30), history)
    found = pipeline.fit_reference(fitted, images, score)
    by_all = scoring.fit_reference(network, images, trained, score)
    by_trusted = scoring.fit_reference(network, images, trained[10:], score)
    wanted, other = (by_trusted, by_all) if score == "local" else (by_all, by_trusted)
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name])
    assert any(not np.array_equal(found[name], other[name]) for name in found)
