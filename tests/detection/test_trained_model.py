import copy
from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files, datasets
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.detection import fitting, scoring
from pyimagesearch.detection.trained_model import (
    TrainedModel,
    parse_calibration,
    resolve_score,
    try_blank_image,
)
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


def with_held_out(**summary):
    """A model, without its network, that was calibrated on such held-out scores."""
    calibration = {**CALIBRATION, "held_out": summary}
    return TrainedModel(None, "mse", calibration, {}, None, {})


def test_z_scores_are_in_robust_deviations_from_the_median_of_the_held_out_scores():
    held_out = {"n": 9, "mean": 7.0, "std": 3.0, "median": 2.0, "mad": 0.5}
    scores = [2.0, 2.0 + 0.5 * 1.4826, 0.0]
    found = with_held_out(**held_out).z_scores(scores)
    np.testing.assert_allclose(found, [0, 1, -2 / (0.5 * 1.4826)], rtol=1e-4)
    # Where most scores are equal, in standard deviations from the mean.
    found = with_held_out(**{**held_out, "mad": 0.0}).z_scores(scores)
    np.testing.assert_allclose(found, (np.array(scores) - 7) / 3)
    assert with_held_out(**{**held_out, "mad": 0.0, "std": 0.0}).z_scores(scores) is None
    assert with_held_out(n=0).z_scores(scores) is None


def test_images_in_memory_are_known_by_their_pixels_and_files_by_their_names():
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1) / 24
    settings = {
        "fingerprint": dataset_files.fingerprint(pixels),
        "names": dataset_files.names_digest(["a.png", "b.png"]),
    }
    model = TrainedModel(None, "mse", {}, {}, None, settings)

    def dataset(images, names):
        return datasets.Dataset(images, names, np.zeros(2, np.int8))

    files_read = ImageFiles(["a.png", "b.png"], (3, 4))
    assert model.was_trained_on(dataset(pixels, ["c", "d"]))
    assert not model.was_trained_on(dataset(pixels[::-1], ["a.png", "b.png"]))
    assert model.was_trained_on(dataset(files_read, ["a.png", "b.png"]))
    assert not model.was_trained_on(dataset(files_read, ["b.png", "a.png"]))


def test_score_auto_is_what_training_has_noted_if_it_is_a_score():
    for noted, expected in (("code", "code"), ("combined", "combined"), ("../x", "mse")):
        assert resolve_score("auto", {"recommended_score": noted}) == expected
    assert resolve_score("auto", {}) == "mse"
    assert resolve_score("local", {"recommended_score": "code"}) == "local"


@pytest.mark.parametrize("wrong", ["map", "score"])
def test_map_or_score_of_a_blank_image_that_is_not_finite_is_refused(monkeypatch, wrong):
    found = {"map": np.zeros((1, 4, 5)), "score": np.zeros(1)}
    monkeypatch.setattr(scoring, "make_scorer", lambda *given: lambda image: tuple(found.values()))
    network = SimpleNamespace(input_shape=(None, 4, 5, 1))
    try_blank_image(network, "mse", {}, "a.model")
    found[wrong].flat[-1] = np.nan
    with pytest.raises(InputError, match="a score that is not finite"):
        try_blank_image(network, "mse", {}, "a.model")
