"""`sample_weight` of the scikit-learn detector: how many times each image counts in `fit`."""

import numpy as np
import pytest
import sklearn
from PIL import Image
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from pyimagesearch import InputError
from pyimagesearch.detection import calibration, thresholds
from pyimagesearch.detector import AutoencoderDetector
from pyimagesearch.training.train import train
from tests.detectors import ones_and_threes, quick


@pytest.fixture(scope="module")
def images():
    return ones_and_threes()


def scattered(images, strange):
    """Images with strange ones between them, and weights that leave these out."""
    places = np.arange(len(strange)) * 11 + 4
    weights = np.ones(len(images))
    return np.insert(images, places, strange, axis=0), np.insert(weights, places, 0)


SETTINGS = {"epochs": 1, "trim": 0.3, "scored_by": "local", "contamination": 0.2}


@pytest.fixture(scope="module")
def unweighted(images):
    """A detector of all images, and the arguments and the result of its training."""
    with pytest.MonkeyPatch.context() as patch:
        results = []

        def record(*arguments, **named):
            results.append(train(*arguments, **named))
            return results[-1]

        patch.setattr("pyimagesearch.detector.train", record)
        return quick(**SETTINGS).fit(images), *results


def test_images_of_weight_0_make_no_difference_and_are_scored(images, unweighted):
    """Though they are the brightest by far: those that count are in [0, 1] as without them."""
    everything, weights = scattered(images, np.full((9, 8, 8), 1.9))
    found = quick(**SETTINGS).fit(everything, sample_weight=weights)
    expected, _ = unweighted
    for a, b in zip(found.model_.get_weights(), expected.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, array in expected.reference_.items():
        np.testing.assert_array_equal(found.reference_[name], array)
    assert found.threshold_ == expected.threshold_
    used = np.flatnonzero(weights)
    np.testing.assert_array_equal(found.decision_scores_[used], expected.decision_scores_)
    strange = found.anomaly_score(everything[weights == 0])
    np.testing.assert_array_equal(found.decision_scores_[weights == 0], strange)
    assert strange.min() > expected.decision_scores_.max()
    # Which of the images trained on were outliers, by where they lie in X.
    assert len(expected.history_.outliers) > 5
    assert found.history_.outliers.tolist() == used[expected.history_.outliers].tolist()


def test_rows_of_weight_0_do_not_move_the_scale_of_a_table(rng):
    table = rng.normal(size=(40, 3))
    everything, weights = scattered(table, np.full((2, 3), 1e6))
    detector = quick()
    given = detector._fit_input(everything.tolist(), weights.astype(bool))
    np.testing.assert_array_equal(detector.scaler_.data_max_, table.max(axis=0))
    assert given.images.shape == (40, 1, 3, 1)
    assert given.ignored.shape == (2, 1, 3, 1)
    assert given.images.max() == 1
    assert given.ignored.min() > 1e4
    assert given.weights is None


@pytest.mark.parametrize("as_folder", [False, True])
def test_files_of_weight_0_make_no_difference(tmp_path, rng, as_folder):
    """Not even to the size of the others, which differs."""
    for number in range(8):
        shape = (4, 9, 3) if number in (2, 5) else (6, 5)
        pixels = rng.integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    paths = sorted(tmp_path.glob("*.png"))
    weights = np.where(np.isin(np.arange(8), (2, 5)), 0, np.arange(8))
    used = np.arange(8)[[1, 3, 4, 6, 7]]  # the first has a weight of 0 too
    detector, expected = quick(), quick()
    given = detector._fit_input(tmp_path if as_folder else paths, weights)
    of_used = expected._fit_input([paths[i] for i in used], None)
    assert detector.image_shape_ == expected.image_shape_ == (6, 5, 1)
    np.testing.assert_array_equal(given.images[np.arange(5)], of_used.images[np.arange(5)])
    assert given.ignored[np.arange(3)].shape == (3, 6, 5, 1)
    assert given.used.tolist() == used.tolist()
    np.testing.assert_allclose(given.weights, used / 7)
    assert detector.names_ == [str(path) for path in paths]


def test_equal_weights_are_none_and_others_count_by_their_ratios(images):
    for equal in (np.full(124, 0.1), 3):
        given = quick()._fit_input(images, equal)
        assert given.weights is None
        assert given.ignored is None
        np.testing.assert_array_equal(given.images, quick()._fit_input(images, None).images)
    weights = np.linspace(2, 4, 124)
    np.testing.assert_allclose(quick()._fit_input(images, weights).weights, weights / 4)


def test_weights_count_in_training_reference_and_threshold(images, unweighted, monkeypatch):
    expected, result = unweighted
    weights = np.linspace(1, 4, 124)
    received = []

    def train(*arguments, frequency_weights, **named):
        received.append(frequency_weights)
        return result

    monkeypatch.setattr("pyimagesearch.detector.train", train)
    detector = quick(**SETTINGS).fit(images, sample_weight=weights)
    np.testing.assert_allclose(received, [weights / 4])
    seed = detector.random_state
    pixels = images[..., np.newaxis].astype(np.float32)
    reference = calibration.fit_reference(result, pixels, "local", seed, weights)
    np.testing.assert_allclose(detector.reference_["mean"], reference["mean"], atol=1e-6)
    assert np.abs(detector.reference_["mean"] - expected.reference_["mean"]).max() > 1e-3
    # By hand: the lowest score above which there is no more than a fifth of the weight.
    scores = detector.decision_scores_
    above = np.array([weights[scores > score].sum() / weights.sum() for score in scores])
    assert detector.threshold_ == scores[above <= 0.2].min()
    assert detector.offset_ == -detector.threshold_
    seen = []
    monkeypatch.setattr(
        thresholds, "fdr_controlled", lambda _, s, weights: seen.append(weights) or 7
    )
    automatic = quick(**{**SETTINGS, "contamination": "auto"}).fit(images, sample_weight=weights)
    assert automatic.threshold_ == 7
    np.testing.assert_allclose(seen, [weights / 4])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(123), r"for each of 124 images, shape \(124,\), received shape \(123,\)"),
        (np.ones((124, 1)), r"received shape \(124, 1\)"),
        (np.append(np.ones(123), -1), "expected each sample_weight from 0, received -1"),
        (-2, "expected each sample_weight from 0, received -2"),
        (np.append(np.ones(123), np.nan), "sample_weight contains NaN"),
        (np.append(np.ones(123), np.inf), "sample_weight contains infinity"),
        (np.zeros(124), "a sample_weight above 0 for some image, received zero for all"),
        (0, "received zero for all"),
    ],
)
def test_weights_that_are_none_are_refused(images, weights, message):
    with pytest.raises(ValueError, match=message):
        quick().fit(images, sample_weight=weights)


def test_photos_have_one_weight_besides_0():
    photos, weights = np.zeros((4, 9, 12, 3)), [0, 1, 2, 2]
    with pytest.raises(InputError, match="recipe='photos', besides 0, received 2 different ones"):
        AutoencoderDetector(recipe="photos").fit(photos, sample_weight=weights)


@pytest.mark.slow
def test_ratios_of_weights_are_kept_at_the_ends_of_their_range(images):
    """No sum is infinite, and none is 0."""
    weights = np.ones(124)
    weights[::2], weights[1] = 1e308, 5e-324
    detector = quick(epochs=1).fit(images, sample_weight=weights)
    assert np.isfinite(detector.decision_scores_).all()
    assert np.isfinite(detector.history_.loss).all()


def test_pipeline_passes_weights_on_that_are_requested(images, monkeypatch):
    class Received(Exception):
        pass

    def receive(self, X, sample_weight):
        raise Received(sample_weight)

    monkeypatch.setattr(AutoencoderDetector, "_fit_input", receive)
    rows, weights = images.reshape(124, 64), np.arange(124)
    with sklearn.config_context(enable_metadata_routing=True):
        detector = quick(image_shape=(8, 8)).set_fit_request(sample_weight=True)
        with pytest.raises(Received) as received:
            make_pipeline(MinMaxScaler(), detector).fit(rows, sample_weight=weights)
        assert received.value.args[0] is weights
