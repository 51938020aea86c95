import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import fitting, scores, scoring
from pyimagesearch.models import architectures
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.models.normalization import fit_normalization
from pyimagesearch.training.recipes import make_recipe
from tests.detection.fitted import fitted


@pytest.fixture(scope="module")
def autoencoder():
    return ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2, seed=0)[2]


@pytest.fixture
def images(rng):
    return rng.random((23, 5, 7, 3), np.float32)


def test_mse_agrees_with_numpy_on_keras_reconstructions(autoencoder, images):
    reconstructions = autoencoder.predict(images, verbose=0)
    expected = np.mean((images - reconstructions) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(scoring.score_images(autoencoder, images), expected, rtol=1e-5)


def test_scores_of_permuted_images_are_permuted(autoencoder, images, rng):
    order = rng.permutation(len(images))
    scores = scoring.score_images(autoencoder, images)
    np.testing.assert_allclose(
        scoring.score_images(autoencoder, images[order]), scores[order], rtol=1e-6
    )


def test_on_batch_is_called_up_to_the_last_image(autoencoder, images):
    done = []
    scoring.score_images(autoencoder, images, batch_size=10, on_batch=done.append)
    assert done == [10, 20, 23]


def test_images_of_another_shape_are_refused_with_both_shapes(autoencoder):
    with pytest.raises(InputError, match=r"\(5, 7, 3\) and these are of shape \(7, 5, 3\)"):
        scoring.score_images(autoencoder, np.zeros((2, 7, 5, 3), np.float32))


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_one_score_among_many_that_is_not_finite_is_refused(autoencoder, images, value):
    images[7, 2, 3, 1] = value  # the square of which is infinite
    with pytest.raises(InputError, match="not finite"):
        scoring.score_images(autoencoder, images)


@pytest.mark.parametrize(("score", "expected"), [("mse", [2, 2.5]), ("local", [12, 10])])
def test_pixels_are_pooled_by_their_mean_or_by_their_maximum(score, expected):
    maps = np.float32([[[0, 12, 0], [0, 0, 0]], [[0, 0, 5], [0, 10, 0]]])
    assert scores.SCORES[score].pool(maps, None, None, {}).numpy().tolist() == expected


@pytest.fixture(scope="module")
def contrasted():
    """60 images, faint and bright, and the parts of a network that normalizes their contrast."""
    images = np.random.default_rng(0).random((60, 6, 7, 2), np.float32)
    images = images * np.linspace(0.3, 1, 60, dtype=np.float32)[:, None, None, None]
    recipe = make_recipe("shapes", filters=(5,), latent_dim=2)
    fitted = fit_normalization(images, normalize_contrast=True)
    return images, Autoencoder(architectures.build(recipe, (6, 7, 2), 0, fitted))


@pytest.mark.parametrize("score", scores.SCORES)
def test_every_score_is_of_what_the_network_sees_of_the_images(score, contrasted):
    """Put together by hand: contrast, code, reconstruction, residual, reference, map, pooling."""
    images, network = contrasted
    order, of = np.arange(0, 50, 2), scores.SCORES[score]
    seen = network.preprocess(images).numpy()
    codes = network.encoder(seen).numpy()
    reconstructed = network.decoder(codes).numpy()
    parts = seen, seen - reconstructed, codes
    expected = fitted(of.fit(), [[part[order] for part in parts]]) if of.fit else {}
    reference = fitting.fit_references(network.model, images, {score: order}, 13)[score]
    assert reference.keys() == expected.keys()
    maps = of.anomaly_map(seen, reconstructed, expected)
    np.testing.assert_allclose(
        scoring.score_images(network.model, images, score, reference),
        of.pool(maps, seen, codes, expected),
        rtol=1e-3,
    )
    shown = scoring.reconstruct(network.model, images, [3, 1], score, reference)
    np.testing.assert_allclose(shown.maps, maps.numpy()[[3, 1]], rtol=1e-3, atol=1e-6)


def test_reconstructions_that_are_shown_are_clipped(contrasted):
    images, network = contrasted
    model = architectures.clone_with_precision(network.model)
    model.set_weights([8 * weights for weights in model.get_weights()])
    raw = model(images).numpy()
    assert raw.min() < 0
    assert raw.max() > 1
    shown = scoring.reconstruct(model, images, np.arange(60), "mse")
    np.testing.assert_allclose(shown.reconstructions, raw.clip(0, 1), atol=1e-5)


def test_reconstruct_returns_the_images_in_order_with_maps_whose_mean_is_the_score(
    autoencoder, images
):
    order = np.array([5, 0, 22])
    originals, _, reconstructions, maps = scoring.reconstruct(
        autoencoder, images, order, batch_size=2
    )
    np.testing.assert_array_equal(originals, images[order])
    np.testing.assert_allclose(reconstructions, autoencoder(images[order]), rtol=1e-5)
    scores = scoring.score_images(autoencoder, images, order=order)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), scores, rtol=1e-5)
    np.testing.assert_allclose(scores, scoring.score_images(autoencoder, images)[order], rtol=1e-5)


@pytest.mark.parametrize("score", scores.SCORES)
def test_every_score_finds_a_patch_that_no_other_image_has(score, rng):
    """In one image, something bright in a place where all others are dark."""
    autoencoder = ConvAutoencoder.build(16, 16, 1, filters=(4,), latentDim=2, seed=0)[2]
    images = rng.normal(0.5, 0.02, (80, 16, 16, 1)).astype(np.float32)
    images[7, 3:6, 9:12] = 1
    normal = np.delete(np.arange(80), 7)
    reference = fitting.fit_references(autoencoder, images, {score: normal})[score]
    scores = scoring.score_images(autoencoder, images, score, reference)
    assert scoring.rank(scores)[0] == 7
    *_, maps = scoring.reconstruct(autoencoder, images, [7], score, reference)
    row, column = np.unravel_index(np.argmax(maps[0]), (16, 16))
    assert 2 <= row <= 6
    assert 8 <= column <= 12


def test_score_without_the_reference_that_it_needs_is_refused(autoencoder, images):
    with pytest.raises(InputError, match="the score local needs what training has learned"):
        scoring.score_images(autoencoder, images, "local", {})


def test_rank_puts_the_highest_first_and_keeps_equal_scores_in_order():
    assert scoring.rank(np.array([1, 3, 2, 3])).tolist() == [1, 3, 2, 0]
    assert scoring.rank(np.zeros(40)).tolist() == list(range(40))


def test_summary_of_three_scores_is_as_on_paper():
    assert scoring.summarize(np.array([1.0, 2.0, 6.0], np.float32)) == {
        "n": 3,
        "mean": 3,
        "mad": 1,
        "std": pytest.approx((14 / 3) ** 0.5),
        "min": 1,
        "median": 2,
        "max": 6,
    }
    assert scoring.summarize(np.array([])) == {"n": 0}


def test_scores_of_any_batch_size_are_the_same_but_for_rounding(rng):
    images = rng.random((40, 12, 12, 1), np.float32)
    autoencoder = architectures.build(make_recipe("robust", "dense"), (12, 12, 1), 0)
    expected = scoring.score_images(autoencoder, images)
    for batch_size in (1, 2, 7, 39):
        scores = scoring.score_images(autoencoder, images, batch_size=batch_size)
        np.testing.assert_allclose(scores, expected, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 700])
def test_scores_of_any_number_of_threads_are_the_same_to_the_bit(n, rng, monkeypatch):
    autoencoder = ConvAutoencoder.build(7, 5, 3, filters=(4,), latentDim=2, seed=0)[2]
    images = rng.random((n, 5, 7, 3), np.float32)
    scores = []
    for threads in (1, 5):
        monkeypatch.setattr(scoring.os, "cpu_count", lambda threads=threads: threads)
        scores.append(scoring.score_images(autoencoder, images))
    np.testing.assert_array_equal(*scores)


def test_error_of_a_file_in_any_batch_is_raised(autoencoder, images):
    class Broken:
        shape = (500, 5, 7, 3)

        def __len__(self):
            return 500

        def __getitem__(self, indices):
            if 400 in indices:
                raise InputError("gone")
            return np.zeros((len(indices), 5, 7, 3), np.float32)

    with pytest.raises(InputError, match="gone"):
        scoring.score_images(autoencoder, Broken())


@pytest.mark.parametrize(
    "score", [name for name in scores.SCORES if scores.SCORES[name].needs_codes]
)
def test_score_that_needs_codes_is_refused_for_a_network_without(score):
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=None, seed=0)[2]
    assert Autoencoder(network).code_length is None
    with pytest.raises(InputError, match="take --score mse"):
        scoring.score_images(network, np.zeros((2, 8, 8, 1), np.float32), score, {})


@pytest.mark.parametrize("score", [name for name in scores.SCORES if scores.SCORES[name].fit])
def test_reference_of_another_network_is_refused(score, rng):
    images = rng.random((30, 8, 8, 1), np.float32)
    network = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=3, seed=0)[2]
    other = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    reference = fitting.fit_references(network, images, {score: np.arange(30)})[score]
    assert np.isfinite(scoring.score_images(network, images, score, reference)).all()
    for name, array in reference.items():
        with pytest.raises(InputError, match="does not fit it"):
            scoring.score_images(network, images, score, reference | {name: array[..., :-1]})
    if scores.SCORES[score].needs_codes:
        with pytest.raises(InputError, match="does not fit it"):
            scoring.score_images(other, images, score, reference)
