"""The parameters of the scikit-learn detector: what is no parameter is refused before any work."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from tests.detectors import ones_and_threes, quick


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
        ({"random_state": -1}, "random_state|seed|Seed"),
        ({"image_shape": (4, 4)}, "expected images of shape .4, 4, 1., received .8, 8, 1."),
    ],
)
def test_fit_with_a_parameter_out_of_range_is_refused(images, parameters, message):
    with pytest.raises(ValueError, match=message):
        quick(**parameters).fit(images)


@pytest.mark.parametrize("name", ["latent_dim", "epochs", "batch_size", "trim", "contamination"])
def test_truth_values_are_no_numbers(images, name):
    with pytest.raises(TypeError, match=f"{name} must be a number, not True"):
        quick(**{name: True}).fit(images)


def test_predict_after_a_failed_fit_is_refused(images):
    detector = quick(contamination=None)
    with pytest.raises(TypeError, match="contamination must be"):
        detector.fit(images)
    detector.set_params(contamination=0.1, filters=(0,))
    with pytest.raises(ValueError, match="filters"):
        detector.fit(images)
    with pytest.raises(NotFittedError):
        detector.predict(images)
