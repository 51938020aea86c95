import copy

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.detection import scoring
from pyimagesearch.detection.trained_model import TrainedModel, parse_calibration
from pyimagesearch.storage import files, model_files

SUMMARY = {"n": 2, "mean": 1.0, "std": 0.5, "min": 0.5, "median": 1.0, "max": 1.5}
CALIBRATION = {
    "trained": SUMMARY,
    "held_out": {"n": 0},
    "threshold": 2.0,
    "pixel_threshold": 0.5,
}
SETTINGS = {"scores": {"mse": CALIBRATION}, "command": {"valid_label": [1, "cat"]}}


def test_calibration_of_a_score_is_that_which_training_wrote():
    assert parse_calibration(SETTINGS, "mse", "a.json") == (CALIBRATION, [1, "cat"])
    assert parse_calibration(SETTINGS, "local", "a.json") == ({}, [1, "cat"])
    assert parse_calibration({}, "mse", "a.json") == ({}, None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["scores"], [1]),
        (["scores", "mse"], "good"),
        (["scores", "mse", "threshold"], "2"),
        (["scores", "mse", "threshold"], True),
        (["scores", "mse", "pixel_threshold"], float("nan")),
        (["scores", "mse", "held_out"], None),
        (["scores", "mse", "held_out"], {"n": 3}),
        (["scores", "mse", "trained", "mean"], float("inf")),
        (["command", "valid_label"], 3),
        (["command", "valid_label"], [[1]]),
    ],
)
def test_settings_that_training_does_not_write_are_refused(path, value):
    settings = copy.deepcopy(SETTINGS)
    part = settings
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(InputError, match=r"a\.json is not as training writes it"):
        parse_calibration(settings, "mse", "a.json")


@pytest.mark.parametrize("missing", CALIBRATION)
def test_calibration_without_one_of_its_parts_is_refused(missing):
    part = {key: value for key, value in CALIBRATION.items() if key != missing}
    with pytest.raises(InputError, match="train again"):
        parse_calibration({"scores": {"mse": part}}, "mse", "a.json")


def test_loaded_model_scores_as_the_one_that_was_saved(tmp_path, rng):
    autoencoder = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    images = rng.random((20, 8, 8, 1), np.float32)
    reference = scoring.fit_reference(autoencoder, images, np.arange(20), "local")
    model_files.save_model(tmp_path / "a.keras", autoencoder)
    model_files.save_references(tmp_path / "a.npz", {"local": reference})
    files.save_json(tmp_path / "a.json", {"scores": {"local": CALIBRATION}})
    model = TrainedModel.load(tmp_path / "a.keras", "local")
    assert model.image_shape == (8, 8, 1)
    assert model.calibration == CALIBRATION
    expected = scoring.score_images(autoencoder, images, "local", reference)
    np.testing.assert_array_equal(model.score_images(images), expected)


def test_model_from_elsewhere_has_no_calibration(tmp_path):
    autoencoder = ConvAutoencoder.build(8, 8, 1, filters=(4,), latentDim=2, seed=0)[2]
    model_files.save_model(tmp_path / "a.keras", autoencoder)
    model = TrainedModel.load(tmp_path / "a.keras")
    assert (model.calibration, model.reference, model.valid_label, model.settings) == (
        {},
        {},
        None,
        {},
    )
