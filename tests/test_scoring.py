import numpy as np
import pytest

from pyimagesearch import InputError, scoring
from pyimagesearch.convautoencoder import ConvAutoencoder


@pytest.fixture(scope="module")
def autoencoder():
    return ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2, seed=0)[2]


@pytest.fixture
def images(rng):
    return rng.random((23, 5, 7, 3), np.float32)


def test_mse_is_what_numpy_makes_of_kerass_reconstructions(autoencoder, images):
    reconstructions = autoencoder.predict(images, verbose=0)
    expected = np.mean((images - reconstructions) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(scoring.score_images(autoencoder, images), expected, rtol=1e-5)


def test_mse_of_a_known_difference_is_as_on_paper():
    images = np.zeros((1, 2, 2, 2), np.float32)
    reconstructions = images.copy()
    reconstructions[0, 0, 1] = [1, 0.5]
    error_map = scoring.squared_error(images, reconstructions).numpy()
    np.testing.assert_allclose(error_map, [[[0, 0.625], [0, 0]]])


@pytest.mark.parametrize("batch_size", [1, 5, 23, 64])
def test_scores_do_not_depend_on_the_batch_size(autoencoder, images, batch_size):
    expected = scoring.score_images(autoencoder, images)
    scores = scoring.score_images(autoencoder, images, batch_size=batch_size)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_scores_follow_their_images_into_any_order(autoencoder, images, rng):
    order = rng.permutation(len(images))
    scores = scoring.score_images(autoencoder, images)
    np.testing.assert_allclose(
        scoring.score_images(autoencoder, images[order]), scores[order], rtol=1e-6
    )


def test_progress_is_told_up_to_the_last_image(autoencoder, images):
    told = []
    scoring.score_images(autoencoder, images, batch_size=10, on_batch=told.append)
    assert told == [10, 20, 23]


def test_images_of_another_shape_are_refused_with_both_shapes(autoencoder):
    with pytest.raises(InputError, match=r"\(5, 7, 3\) and these are of shape \(7, 5, 3\)"):
        scoring.score_images(autoencoder, np.zeros((2, 7, 5, 3), np.float32))


def test_model_whose_scores_are_no_numbers_is_refused(images):
    broken = ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2)[2]
    broken.set_weights([np.full_like(w, np.nan) for w in broken.get_weights()])
    with pytest.raises(InputError, match="no numbers"):
        scoring.score_images(broken, images)


def test_error_maps_average_to_the_score(autoencoder, images):
    reconstructions, maps = scoring.reconstruct(autoencoder, images)
    assert reconstructions.shape == images.shape
    assert maps.shape == images.shape[:3]
    np.testing.assert_allclose(
        maps.mean(axis=(1, 2)), scoring.score_images(autoencoder, images), rtol=1e-5
    )


def test_ranking_puts_the_highest_first_and_keeps_equals_in_order():
    assert scoring.rank(np.array([1, 3, 2, 3])).tolist() == [1, 3, 2, 0]
    assert scoring.rank(np.zeros(40)).tolist() == list(range(40))


def test_summary_says_what_the_scores_are_like():
    assert scoring.summary(np.array([1.0, 2.0, 6.0], np.float32)) == {
        "n": 3,
        "mean": 3,
        "std": pytest.approx((14 / 3) ** 0.5),
        "min": 1,
        "median": 2,
        "max": 6,
    }
    assert scoring.summary(np.array([])) == {"n": 0}
