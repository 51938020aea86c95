import copy

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.detection import fitting, scoring
from pyimagesearch.detection.trained_model import TrainedModel, parse_calibration
from pyimagesearch.models import architectures
from pyimagesearch.models.normalization import Normalization
from pyimagesearch.storage import files, model_files
from pyimagesearch.torture.malicious_models import with_setting
from pyimagesearch.training.recipes import make_recipe

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


def save_robust(folder, more=(), **settings):
    """Save a network of the default recipe as training does; some settings can be others."""
    recipe = make_recipe("robust", filters=(4,), latent_dim=2)
    normalization = Normalization(np.linspace(0, 1, 64).reshape(8, 8, 1).round(4), 0.3)
    autoencoder = architectures.build(recipe, (8, 8, 1), 0, normalization)
    model_files.save_model(folder / "a.keras", autoencoder)
    recipe = {**recipe.as_dict(), **settings}
    about = {"recipe": recipe, "image_shape": (8, 8, 1), **dict(more)}
    files.save_json(folder / "a.json", about)
    return autoencoder


def test_loaded_model_scores_as_the_one_that_was_saved(tmp_path, rng):
    autoencoder = save_robust(tmp_path, {"scores": {"local": CALIBRATION}})
    images = rng.random((20, 8, 8, 1), np.float32)
    references = fitting.fit_references(autoencoder, images, {"local": np.arange(20)})
    model_files.save_references(tmp_path / "a.npz", references)
    model = TrainedModel.load(tmp_path / "a.keras", "local")
    assert model.image_shape == (8, 8, 1)
    assert model.calibration == CALIBRATION
    expected = scoring.score_images(autoencoder, images, "local", references["local"])
    np.testing.assert_array_equal(model.score_images(images), expected)


def test_model_is_tried_on_a_blank_image_when_it_is_loaded(tmp_path, monkeypatch):
    save_robust(tmp_path)

    def misfit(images):
        raise RuntimeError("matrices of other sizes\nand a page more")

    monkeypatch.setattr(scoring, "make_scorer", lambda *_: misfit)
    with pytest.raises(InputError, match=r"blank image \(matrices of other sizes\): train again"):
        TrainedModel.load(tmp_path / "a.keras")
    nan = np.full((1, 8, 8), np.nan)
    monkeypatch.setattr(scoring, "make_scorer", lambda *_: lambda images: (nan, nan[:, 0, 0]))
    with pytest.raises(InputError, match="not finite"):
        TrainedModel.load(tmp_path / "a.keras")


def test_model_with_settings_is_rebuilt_and_not_read_from_its_description(tmp_path, rng):
    saved = save_robust(tmp_path)
    content = (tmp_path / "a.keras").read_bytes()
    # Read as it is described, it would be another network.
    changed = with_setting(content, "negative_slope", 0.9, class_name="LeakyReLU")
    (tmp_path / "a.keras").write_bytes(changed)
    images = rng.random((5, 8, 8, 1), np.float32)
    expected = scoring.score_images(saved, images, "mse", {})
    model = TrainedModel.load(tmp_path / "a.keras")
    np.testing.assert_array_equal(model.score_images(images), expected)


@pytest.mark.parametrize("about", [None, {}, {"source": "digits"}])
def test_model_without_its_recipe_is_refused(tmp_path, about):
    save_robust(tmp_path)
    (tmp_path / "a.json").unlink()
    if about is not None:
        files.save_json(tmp_path / "a.json", about)
    with pytest.raises(InputError, match=r"expected beside .*a\.keras its settings .*a\.json"):
        TrainedModel.load(tmp_path / "a.keras")


@pytest.mark.parametrize(
    "other", [{"filters": [5]}, {"latent_dim": 3}, {"batch_norm": True}, {"centred": False}]
)
def test_model_beside_settings_of_another_network_is_refused(tmp_path, other):
    save_robust(tmp_path, **other)
    with pytest.raises(InputError, match=r"the settings beside it describe, but /layers"):
        TrainedModel.load(tmp_path / "a.keras")


def test_broken_model_with_settings_is_refused_as_one_without(tmp_path):
    save_robust(tmp_path)
    content = (tmp_path / "a.keras").read_bytes()
    (tmp_path / "a.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a\.keras is not a whole \.keras archive"):
        TrainedModel.load(tmp_path / "a.keras")
    (tmp_path / "a.keras").unlink()
    with pytest.raises(InputError, match=r"there is no file .*a\.keras"):
        TrainedModel.load(tmp_path / "a.keras")
