"""The scikit-learn detector: the conventions of scikit-learn and PyOD, the numbers of the scripts."""

import copy
import io
import logging
import pickle
import re
import subprocess
import sys
from pathlib import Path

import joblib
import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, QuantileTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files
from pyimagesearch.detection import scores, trained_model
from pyimagesearch.detector import AutoencoderDetector
from pyimagesearch.training.trainer import History
from tests.conftest import ROOT
from tests.detectors import ones_and_threes, quick, section


@pytest.fixture(scope="module")
def images():
    return ones_and_threes()


@pytest.fixture(scope="module")
def fitted(images):
    return quick().fit(images)


# All others have to pass; those of array libraries other than NumPy are skipped by scikit-learn.
FAILED_CHECKS = {
    "check_sample_weight_equivalence_on_dense_data": "other images are held out, and the order of "
    "the batches is random"
}


@pytest.mark.slow
@parametrize_with_checks([quick(epochs=1)], expected_failed_checks=lambda estimator: FAILED_CHECKS)
def test_detector_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.slow
def test_anomaly_score_with_the_seed_of_the_scripts_is_theirs(trained):
    """The same images, the same seed: the same network, but for the rounding of the reference.

    The scripts fit it to other batches, together with those of all scores.
    """
    images = dataset_files.load_images(trained / "images.pickle")
    model = trained_model.TrainedModel.load(trained / "autoencoder.model", "local")
    detector = AutoencoderDetector(scored_by="local", random_state=42).fit(images)
    expected = model.score_images(images)
    np.testing.assert_allclose(detector.anomaly_score(images), expected, rtol=1e-5)
    for ours, theirs in zip(
        detector.model_.get_weights(), model.autoencoder.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_attributes_that_fit_sets_are_documented_by_their_types(fitted):
    documented = section(AutoencoderDetector, "Attributes")
    set_in_fit = {name for name in vars(fitted) if name.endswith("_")}
    # Only of tables that have names.
    assert documented.keys() == set_in_fit | {"feature_names_in_"}
    types = {"float": float, "int": int, "str": str, "tuple of int": tuple, "History": History}
    types |= {"keras.Model": keras.Model, "ndarray of shape (n_samples,), float64": np.ndarray}
    found = [name for name, (text, _) in documented.items() if text in types]
    assert len(found) == 8
    for name in found:
        assert isinstance(getattr(fitted, name), types[documented[name][0]])


def test_score_samples_of_outliers_are_lower_and_anomaly_scores_higher(fitted, images):
    scores = fitted.score_samples(images)
    assert (scores <= 0).all()
    np.testing.assert_array_equal(fitted.anomaly_score(images), -scores)
    np.testing.assert_allclose(fitted.decision_function(images), scores - fitted.offset_)
    outliers = fitted.predict(images) == -1
    assert scores[outliers].max() < fitted.offset_ <= scores[~outliers].min()


def test_anomaly_score_mse_is_the_mean_squared_error_of_the_network(fitted, images):
    pixels = images[..., np.newaxis].astype(np.float32)
    expected = np.mean((pixels - fitted.model_(pixels).numpy()) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(fitted.anomaly_score(images), expected, rtol=1e-5)


def test_decision_scores_are_those_of_the_training_images_and_outliers_lie_above_threshold(
    fitted, images
):
    np.testing.assert_array_equal(fitted.decision_scores_, fitted.anomaly_score(images))
    assert fitted.threshold_ == -fitted.offset_
    above = fitted.decision_scores_ > fitted.threshold_
    np.testing.assert_array_equal(above, fitted.predict(images) == -1)
    assert above.sum() == 2  # the highest 1% of 124, rounded up


def test_predict_of_an_image_at_the_offset_itself_is_an_inlier(fitted, images):
    scores = fitted.decision_scores_
    third = np.argsort(scores)[-3]
    at_it = copy.copy(fitted)
    at_it.offset_ = -scores[third]
    assert at_it.decision_function(images)[third] == 0
    np.testing.assert_array_equal(at_it.predict(images), np.where(scores > scores[third], -1, 1))


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_fit_predict_with_a_contamination_flags_that_share(images, share):
    """As in scikit-learn's own detectors, the percentile is interpolated, which rounds up."""
    flagged = quick(contamination=share).fit_predict(images) == -1
    assert flagged.sum() == np.ceil(share * (len(images) - 1))


@pytest.mark.slow
def test_fit_predict_with_contamination_auto_flags_what_stands_out_and_nothing_of_equal_images(
    images,
):
    ones = images[:100]
    with_negatives = np.append(ones, 1 - ones[:3], axis=0)
    detector = quick(contamination="auto", epochs=20, trim=0.05)
    flagged = detector.fit_predict(with_negatives) == -1
    assert flagged[100:].all()
    assert flagged.sum() < 20
    same = np.repeat(ones[:1], 40, axis=0)
    assert (quick(contamination="auto").fit_predict(same) == 1).all()


@pytest.mark.slow
def test_anomaly_score_of_images_as_rows_or_bytes_is_the_same(fitted, images):
    expected = fitted.anomaly_score(images)
    np.testing.assert_array_equal(fitted.anomaly_score(images[..., np.newaxis]), expected)
    np.testing.assert_array_equal(fitted.anomaly_score(images.reshape(len(images), 64)), expected)
    rows = quick(image_shape=(8, 8)).fit(images.reshape(len(images), 64))
    np.testing.assert_array_equal(rows.anomaly_score(images), expected)
    pixels = np.round(images * 255).astype(np.uint8)
    of_bytes = quick().fit(pixels).anomaly_score(pixels)
    np.testing.assert_array_equal(of_bytes, quick().fit(pixels / 255).anomaly_score(pixels / 255))


@pytest.mark.slow
def test_anomaly_score_of_dark_images_takes_white_from_fit(images):
    detector = quick().fit(np.round(images * 255).astype(np.uint8))
    assert detector.pixel_maximum_ == 255
    black, nearly_black = np.zeros((1, 8, 8), np.uint8), np.ones((1, 8, 8), np.uint8)
    assert abs(detector.anomaly_score(black) - detector.anomaly_score(nearly_black)) < 0.01


@pytest.mark.slow
def test_fit_with_color_images_takes_colors_as_channels(rng):
    images = rng.random((30, 6, 5, 3))
    detector = quick().fit(images)
    assert detector.image_shape_ == (6, 5, 3)
    assert detector.n_features_in_ == 90
    assert detector.model_.input_shape == (None, 6, 5, 3)


@pytest.fixture
def table(rng):
    """Four features that follow from one hidden number, except in the last four rows."""
    hidden = np.append(rng.normal(size=196), [2, -2, 2, -2])[:, np.newaxis]
    table = hidden * [1.0, -2.0, 3.0, 0.5] + rng.normal(size=(200, 4)) * 0.01
    # Each number alone is usual; the combination is not.
    table[-4:, 1] *= -1
    return table + [100, 0, 5, 1]


@pytest.mark.slow
def test_predict_for_a_table_finds_rows_of_unusual_combinations(table):
    detector = AutoencoderDetector(epochs=100, contamination=0.02, random_state=0).fit(table)
    assert detector.image_shape_ == (1, 4, 1)
    assert set(np.flatnonzero(detector.predict(table) < 0)) == {196, 197, 198, 199}


@pytest.mark.slow
def test_anomaly_score_of_a_table_does_not_depend_on_units(table):
    detector, other = quick().fit(table), quick().fit(table * 1024)
    scores = detector.anomaly_score(table)
    np.testing.assert_array_equal(other.anomaly_score(table * 1024), scores)
    assert detector.anomaly_score(table[:1] + 1e6) > scores.max()


@pytest.mark.slow
def test_fit_with_the_same_random_state_gives_the_same_scores_and_with_others_does_not(
    fitted, images
):
    scores = fitted.anomaly_score(images)
    np.testing.assert_array_equal(quick().fit(images).anomaly_score(images), scores)
    states = [np.random.RandomState(5), np.random.RandomState(5), None]
    one, same, other = (quick(random_state=s).fit(images).anomaly_score(images) for s in states)
    np.testing.assert_array_equal(one, same)
    assert (one != scores).any()
    assert (one != other).any()


@pytest.mark.slow
@pytest.mark.parametrize("score", scores.SCORES)
def test_copied_or_unpickled_detector_gives_the_same_scores(images, score):
    detector = quick(scored_by=score).fit(images)
    file = io.BytesIO()
    joblib.dump(detector, file)
    file.seek(0)
    for other in (joblib.load(file), copy.deepcopy(detector)):
        np.testing.assert_array_equal(
            other.decision_function(images), detector.decision_function(images)
        )
        np.testing.assert_array_equal(other.predict(images), detector.predict(images))
        assert other.history_.loss == detector.history_.loss


def test_detector_pickled_by_an_earlier_version_gives_the_same_scores(fitted, images):
    """`History` lay in the module `training`; attributes had other names, or were not there."""
    old = copy.deepcopy(fitted)
    old.white_ = vars(old).pop("pixel_maximum_")
    vars(old.history_)["suspects"] = vars(old.history_).pop("outliers")
    del old.threshold_, old.decision_scores_
    data = pickle.dumps(old, protocol=0).replace(
        b"cpyimagesearch.training.trainer\nHistory\n", b"cpyimagesearch.training\nHistory\n"
    )
    assert b"training.trainer" not in data
    loaded = pickle.loads(data)  # noqa: S301 (made above)
    np.testing.assert_array_equal(loaded.anomaly_score(images), fitted.decision_scores_)
    assert loaded.threshold_ == fitted.threshold_
    assert loaded.pixel_maximum_ == 1
    assert loaded.history_.as_dict() == fitted.history_.as_dict()


def test_clone_has_the_parameters_and_is_not_fitted(fitted):
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    assert not hasattr(other, "model_")


@pytest.mark.slow
def test_grid_search_over_parameters_finds_the_best(images):
    labels = np.where(np.arange(len(images)) < 120, 1, -1)
    search = GridSearchCV(
        quick(),
        {"scored_by": ["mse", "local"], "latent_dim": [2]},
        scoring=make_scorer(roc_auc_score, response_method="decision_function"),
        cv=2,
        error_score="raise",
    )
    order = np.r_[122:124, :122]  # some of the threes in either half
    search.fit(images[order], labels[order])
    assert search.best_params_["scored_by"] in scores.SCORES
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_pipeline_passes_rows_and_images_on(images):
    rows = images.reshape(len(images), 64)
    ranks = make_pipeline(QuantileTransformer(n_quantiles=20), quick(image_shape=(8, 8)))
    assert set(ranks.fit_predict(rows)) == {1, -1}
    half = make_pipeline(FunctionTransformer(lambda images: images[:, ::2]), quick()).fit(images)
    assert half[-1].image_shape_ == (4, 8, 1)
    assert half.score_samples(images).shape == (124,)


def test_pipeline_takes_what_min_max_scaling_puts_beyond_zero_and_one(images):
    rows = images.reshape(len(images), 64)
    pipeline = make_pipeline(MinMaxScaler(), quick(image_shape=(8, 8), epochs=1)).fit(rows)
    scaler, detector = pipeline
    scores = detector.score_samples(scaler.transform(rows))
    scaler.scale_ *= 1 + 1e-8  # rounding counts as none
    assert scaler.transform(rows).max() > 1
    np.testing.assert_allclose(pipeline.score_samples(rows), scores, rtol=1e-5)
    # The brightest of a held-out fold is odder than if it were clipped.
    brightest = scaler.transform(rows[:1]) + 0.4
    assert 1 < brightest.max() < 2
    assert detector.score_samples(brightest) < detector.score_samples(np.clip(brightest, 0, 1))
    with pytest.raises(InputError, match=r"received 1\.4 to 2\.4.*: scale them as in fit, or clip"):
        detector.predict(np.abs(brightest + 1))


@pytest.mark.slow
def test_predict_again_and_again_does_not_warn_of_retracing(fitted, images, caplog):
    caplog.set_level(logging.WARNING, logger="tensorflow")
    for _ in range(8):
        fitted.predict(images)
    assert "retracing" not in caplog.text


@pytest.mark.slow
def test_import_and_fit_in_a_new_process_print_nothing():
    code = """
import numpy as np
from pyimagesearch.detector import AutoencoderDetector
images = np.random.default_rng(0).random((20, 8, 8), np.float32)
AutoencoderDetector(epochs=1).fit(images).predict(images)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((10, 8)), "expected rows of 64 numbers"),
        (np.zeros((10, 8, 8, 1, 1)), "dim 5"),
        (np.full((10, 8, 8), np.nan), "NaN"),
        (np.full((10, 8, 8), -0.1), r"in \[0, 1\]"),
        (load_digits().images, "0 to 16: divide them by the value of white"),
        (np.zeros((0, 8, 8)), "0 sample"),
    ],
)
def test_fit_with_an_array_that_holds_no_images_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        quick(image_shape=(8, 8)).fit(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((10, 4, 16)), "expected images of shape .8, 8, 1., received .4, 16, 1."),
        (np.zeros((10, 63)), "63 features"),
        (np.full((10, 8, 8), 200, np.uint8), "up to 200: divide"),
    ],
)
def test_predict_for_images_unlike_those_of_fit_is_refused(fitted, wrong, message):
    with pytest.raises(ValueError, match=message):
        fitted.predict(wrong)


def test_fit_with_image_files_gives_the_scores_of_their_pixels(tmp_path):
    for number in range(9):
        pixels = np.full((6, 5, 3), (20 * number, 40, 0), np.uint8)
        pixels[number % 6, :2] = 255
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(tmp_path.glob("*.png"))])
    by_array, by_files = quick().fit(pixels), quick().fit(str(tmp_path))
    assert [Path(name).name for name in by_files.names_] == [f"{i}.png" for i in range(9)]
    np.testing.assert_allclose(by_files.decision_scores_, by_array.decision_scores_, rtol=1e-5)
    some = [tmp_path / "7.png", tmp_path / "2.png"]
    expected = by_array.anomaly_score(pixels[[7, 2]])
    np.testing.assert_allclose(by_files.anomaly_score(some), expected, rtol=1e-5)
    np.testing.assert_allclose(by_array.anomaly_score(some), expected, rtol=1e-5)
    copied = copy.deepcopy(by_files)
    np.testing.assert_allclose(copied.anomaly_score(some), expected, rtol=1e-5)


def test_fit_with_paths_that_are_no_images_is_refused(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("text")
    paths = [str(tmp_path / name) for name in ("a.png", "b.png")]
    # However a path is spelled: each file that is named has a score, or is refused.
    for spelled in (paths, [paths[0], f"{tmp_path}/./b.png"]):
        with pytest.raises(InputError, match=r"expected an image in .*b\.png: "):
            quick().fit(spelled)
    with pytest.warns(UserWarning, match=r"passed over .*b\.png"):
        assert quick().fit(str(tmp_path)).names_ == paths[:1]
    with pytest.raises(InputError, match=r"there is no .*c\.png"):
        quick().fit([str(tmp_path / "c.png")])
    with pytest.raises(InputError, match=r"a\.png again"):
        quick().fit([paths[0], f"{tmp_path}/./a.png"])


@pytest.mark.parametrize("one", [np.zeros((8, 8)), np.zeros((8, 8, 1))])
def test_anomaly_score_of_one_image_asks_for_an_axis(fitted, one):
    with pytest.raises(InputError, match=r"one image\? give images\[None\]"):
        fitted.anomaly_score(one)
    assert fitted.anomaly_score(one[None]).shape == (1,)


def test_fit_with_one_photo_asks_for_an_axis():
    with pytest.raises(InputError, match=r"received \(9, 12, 3\): one image\?"):
        quick().fit(np.zeros((9, 12, 3)))


def test_verbose_shows_epochs_and_images_and_without_it_nothing(images, capfd):
    detector = quick(verbose=2).fit(images)
    detector.predict(images[:3])
    shown = re.findall(r"(\d+/\d+) .*/(\w+)", capfd.readouterr().out)
    assert shown == [("2/2", "epoch"), ("124/124", "image"), ("3/3", "image")]
    quick(epochs=1).fit(images[:9]).predict(images[:3])
    assert capfd.readouterr() == ("", "")
