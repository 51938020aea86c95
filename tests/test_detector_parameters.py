"""The parameters of the scikit-learn detector: what is no parameter is refused before any work."""

import ast
import inspect

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from pyimagesearch.detector import AutoencoderDetector
from pyimagesearch.detector_parameters import check_parameters
from pyimagesearch.training.losses import LOSSES
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES
from tests.detectors import ones_and_threes, quick, section


@pytest.fixture(scope="module")
def images():
    return ones_and_threes()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"recipe": "secret"},
            "expected recipe to be one of 'robust', 'shapes', 'tutorial', 'photos', received",
        ),
        ({"arch": "gan"}, "expected arch to be one of None, 'conv'"),
        ({"loss": "mae"}, "expected loss"),
        ({"scored_by": "ssim"}, "expected scored_by"),
        (
            {"scored_by": "code", "arch": "cnn"},
            "expected a latent_dim for scored_by='code' with arch='cnn'",
        ),
        ({"epochs": 0}, "epochs == 0"),
        ({"trim": 1.0}, "trim == 1"),
        ({"learning_rate": -1.0}, "learning_rate == -1"),
        ({"contamination": 0.6}, "contamination == 0.6"),
        ({"contamination": 0.0}, "contamination == 0"),
        ({"image_shape": (64,)}, "expected image_shape as .H, W. or"),
        ({"filters": (0,)}, r"expected filters as .8, 16., .* received .0,."),
        ({"filters": 8}, "expected filters as .8, 16., whole numbers from 1, received 8"),
        ({"filters": (8.0,)}, "expected filters"),
        ({"image_shape": 8}, "expected image_shape as .* received 8"),
        ({"image_shape": (8, True)}, "expected image_shape as"),
        ({"batch_norm": 1}, "expected batch_norm to be one of None, False, True, received 1"),
        ({"trim": float("nan")}, "expected trim to be a finite number, received nan"),
        ({"learning_rate": float("nan")}, "expected learning_rate to be a finite"),
        ({"learning_rate": float("inf")}, "expected learning_rate to be a finite"),
        ({"contamination": np.nan}, "expected contamination to be a finite"),
        ({"random_state": -1}, "random_state == -1, must be >= 0"),
        ({"random_state": 2**32}, "random_state == 4294967296, must be <= 4294967295"),
        ({"verbose": 3}, "verbose == 3, must be <= 2"),
        ({"recipe": "photos"}, "expected filters=None with recipe='photos', .* received .4,.: "),
    ],
)
def test_fit_with_a_parameter_out_of_range_is_refused(parameters, message):
    """Before X is read, which is none here."""
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit("no/folder")


@pytest.mark.parametrize(
    "parameters",
    [{"random_state": 0.5}, {"random_state": "0"}, {"verbose": None}, {"verbose": 1.0}],
)
def test_fit_with_a_parameter_of_another_type_is_refused(parameters):
    with pytest.raises(TypeError, match=f"{next(iter(parameters))} must be an instance of"):
        quick(**parameters).fit("no/folder")


@pytest.mark.parametrize(
    "parameters",
    [{"random_state": np.random.RandomState(0)}, {"random_state": np.int64(3)}, {"verbose": True}],
)
def test_parameters_may_be_generators_and_whole_numbers_of_numpy_and_true_is_a_verbosity(
    parameters,
):
    with pytest.raises(ValueError, match="there is no no/folder"):
        quick(**parameters).fit("no/folder")


def test_fit_with_images_of_another_shape_is_refused(images):
    with pytest.raises(ValueError, match=r"expected images of shape .4, 4, 1., received .8, 8, 1."):
        quick(image_shape=(4, 4)).fit(images)


@pytest.mark.parametrize(
    "name", ["latent_dim", "epochs", "batch_size", "trim", "contamination", "random_state"]
)
def test_truth_values_are_no_numbers(name):
    with pytest.raises(TypeError, match=f"{name} must be a number, not True"):
        quick(**{name: True}).fit("no/folder")


def test_predict_after_a_failed_fit_is_refused(images):
    detector = quick(contamination=None)
    with pytest.raises(TypeError, match="contamination must be"):
        detector.fit(images)
    detector.set_params(contamination=0.1, filters=(0,))
    with pytest.raises(ValueError, match="filters"):
        detector.fit(images)
    with pytest.raises(NotFittedError):
        detector.predict(images)


def test_parameters_are_documented_with_their_defaults_and_choices():
    documented = section(AutoencoderDetector, "Parameters")
    defaults = inspect.signature(AutoencoderDetector).parameters
    assert list(documented) == list(defaults)
    for name, (kind, _) in documented.items():
        _, default = kind.rsplit(", default=", 1)
        assert ast.literal_eval(default) == defaults[name].default, name
    for name, choices in (("recipe", RECIPES), ("arch", ARCHITECTURES), ("loss", LOSSES)):
        named = documented[name][0].rsplit(", default=", 1)[0]
        assert ast.literal_eval(f"[{named.strip('{}')}]") == list(choices)


@pytest.mark.parametrize(
    "name", ["fit", "predict", "decision_function", "score_samples", "anomaly_score"]
)
def test_arguments_of_public_methods_are_documented(name):
    method = getattr(AutoencoderDetector, name)
    documented = section(method, "Parameters")
    assert ["self", *documented] == list(inspect.signature(method).parameters)
    assert len(section(method, "Returns")) == 1
    assert "Raises\n------\n" in inspect.getdoc(method)


@pytest.mark.parametrize(
    "parameters",
    [
        {"scored_by": "code"},
        {"scored_by": "code", "arch": "dense"},
        {"scored_by": "code", "arch": "cnn", "latent_dim": 4},
        {"scored_by": "mse", "arch": "cnn"},
    ],
)
def test_score_of_the_code_is_taken_where_there_is_one(parameters):
    check_parameters(quick(**parameters))
