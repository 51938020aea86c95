"""Exported models score as ours do, and carry along what is needed to use them."""

import dataclasses
import importlib.util
import json
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files
from pyimagesearch.detection import anomaly_maps, scores, thresholds, trained_model
from pyimagesearch.detection.calibration import calibrate
from pyimagesearch.export import __main__ as export
from pyimagesearch.export import exporter, formats
from pyimagesearch.storage import files, model_files, ownership
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train

SHAPE = (9, 12, 3)
QUICKEST = ("savedmodel", "mse")


@pytest.fixture(scope="module")
def images():
    """Blots of colour, in odd sizes so that the decoder has to crop."""
    rng = np.random.default_rng(0)
    small = rng.random((60, 3, 4, 3)).astype(np.float32)
    return np.asarray(tf.image.resize(small, SHAPE[:2]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    """A model with all that training leaves beside it."""
    folder = tmp_path_factory.mktemp("model")
    fitted = train(images, make_recipe(filters=(4,), epochs=2, min_steps=0))
    calibration, references = calibrate(fitted, images)
    dataset_files.save_images(folder / "images.pickle", images)
    model_files.save_model(folder / "a.keras", fitted.autoencoder)
    (folder / "a.keras").rename(folder / "a.model")
    model_files.save_references(folder / "a.npz", references)
    command = {"dataset": str(folder / "images.pickle")}
    files.save_json(folder / "a.json", {"command": command, "scores": calibration})
    return folder


def exported(folder, form, path, *more):
    """The exit status of the command."""
    model = str(folder / "a.model")
    return export.main(["--model", model, "--to", form, "--output", str(path), *more])


def complaint_of(capfd):
    """The one line that is told of wrong input."""
    told = capfd.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    return told


def needs(form):
    """Skip where a package is missing; the reason is meant to be seen."""
    for name in formats.FORMATS[form].needs:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"EXPORT TO {form.upper()} NOT TESTED: {name} is not installed")


def about_in(form, path):
    """What travels with an exported model, got out of it with the format's own means."""
    if form == "savedmodel":
        return json.loads((path / "assets.extra" / "about.json").read_text())
    if form == "tflite":
        return json.loads(zipfile.ZipFile(path).read("about.json"))
    import onnxruntime

    return json.loads(
        onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["about"]
    )


@pytest.mark.parametrize(
    ("form", "score"),
    [
        pytest.param(form, score, marks=[] if (form, score) == QUICKEST else pytest.mark.slow)
        for form in formats.FORMATS
        for score in scores.SCORES
    ],
)
def test_exported_model_gives_what_ours_gives(folder, images, tmp_path, capfd, form, score):
    needs(form)
    assert exported(folder, form, tmp_path / "it", "--score", score) == 0
    said = capfd.readouterr()
    assert f"largest relative difference of a score, {score}, over 60 images: " in said.out
    assert said.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["it"]

    model = trained_model.load_trained_model(folder / "a.model", score)
    run = formats.FORMATS[form].read(tmp_path / "it")
    for order in ([5], [3, 1, 4, 1, 5]):
        theirs = run(images[order])
        _, reconstructions, maps = model.reconstruct(images, order)
        scores = model.score_images(images[order])
        np.testing.assert_allclose(theirs["reconstruction"], reconstructions, atol=1e-5)
        np.testing.assert_allclose(theirs["error_map"], maps, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(theirs["score"], scores, rtol=1e-4)
        flagged = thresholds.flag(scores, model.calibration["threshold"])
        np.testing.assert_array_equal(theirs["flagged"], flagged)

    about = about_in(form, tmp_path / "it")
    assert about["score"] == score
    assert about["threshold"] == model.calibration["threshold"]
    assert "Benjamini-Hochberg" in about["threshold_rule"]
    assert about["image_shape"] == list(SHAPE)
    assert "R, G, B" in about["preprocessing"][0]
    assert set(about["outputs"]) == set(theirs)


@pytest.mark.slow
def test_exported_model_flags_what_lies_above_the_threshold_of_training(folder, images, tmp_path):
    model = trained_model.load_trained_model(folder / "a.model")
    middle = float(np.median(model.score_images(images)))
    calibration = {**model.calibration, "threshold": middle}
    exporter.export(
        dataclasses.replace(model, calibration=calibration),
        "savedmodel",
        tmp_path / "it",
        images[:4],
    )
    flagged = formats.read_savedmodel(tmp_path / "it")(images)["flagged"].numpy()
    np.testing.assert_array_equal(flagged, thresholds.flag(model.score_images(images), middle))
    assert flagged.sum() == 30


def test_export_that_scores_otherwise_is_refused_and_the_earlier_one_stays(
    folder, images, tmp_path, monkeypatch
):
    def by_the_hour(images, reconstructions, reference=None):
        # No random number: another test may have set the seed of them all.
        return tf.fill(tf.shape(images)[:3], tf.cast(1 + tf.timestamp() % 1, tf.float32))

    fickle = scores.AnomalyScore(by_the_hour, lambda maps, *_: anomaly_maps.mean_of_map(maps))
    monkeypatch.setitem(scores.SCORES, "fickle", fickle)
    model = trained_model.load_trained_model(folder / "a.model", "fickle")
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "saved_model.pb").write_text("earlier")
    with pytest.raises(InputError, match="differ by at most 0.0001 from ours, found 0"):
        exporter.export(model, "savedmodel", tmp_path / "it", images)
    assert [path.name for path in tmp_path.rglob("*")] == ["it", "saved_model.pb"]
    assert (tmp_path / "it" / "saved_model.pb").read_text() == "earlier"


def test_folder_is_an_earlier_export_only_with_the_mark_and_nothing_else_in_it(tmp_path):
    place = tmp_path / "it"
    (place / "variables").mkdir(parents=True)
    (place / "assets.extra").mkdir()
    exporter.check_output(place, "savedmodel")  # empty
    for name in formats.IN_SAVEDMODEL[:-1]:
        (place / name).touch()
    with pytest.raises(InputError, match="expected a new folder, or one that this suite"):
        exporter.check_output(place, "savedmodel")
    files.save_json(place / "assets.extra" / "about.json", {})
    exporter.check_output(place, "savedmodel")
    (tmp_path / "link").symlink_to(place)
    for more in ("variables/notes.txt", "more/saved_model.pb"):
        (place / more).parent.mkdir(exist_ok=True)
        (place / more).touch()
        with pytest.raises(InputError, match="expected a new folder, or one that this suite"):
            exporter.check_output(place, "savedmodel")
        (place / more).unlink()
    (place / "more" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="expected a new folder"):
        exporter.check_output(place, "savedmodel")
    with pytest.raises(InputError, match="expected a new folder"):
        exporter.check_output(tmp_path / "link", "savedmodel")


@pytest.mark.parametrize("form", ["savedmodel", pytest.param("tflite", marks=pytest.mark.slow)])
def test_earlier_export_is_replaced(folder, tmp_path, capfd, form):
    assert exported(folder, form, tmp_path / "it") == 0
    about = tmp_path / "it" / "assets.extra" / "about.json" if form == "savedmodel" else None
    if about:
        files.save_json(about, {"earlier": True})
    assert exported(folder, form, tmp_path / "it") == 0
    assert "earlier" not in about_in(form, tmp_path / "it")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tflite", "onnx"])
def test_exported_file_bears_the_mark_of_the_suite(folder, tmp_path, form):
    needs(form)
    assert exported(folder, form, tmp_path / "it") == 0
    assert ownership.is_ours(tmp_path / "it")


@pytest.mark.parametrize("name", ["a.json", "a.npz", "images.pickle", "images.csv"])
def test_nothing_that_an_export_is_made_from_is_replaced(folder, capfd, name):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert exported(folder, "tflite", folder / name) == 2
    assert f"over nothing that is read, found {folder / name}" in complaint_of(capfd)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_file_that_appears_while_a_model_is_exported_stays(folder, images, tmp_path, monkeypatch):
    def write(detector, path, about):
        path.write_text("network")
        (tmp_path / "it").write_text("mine")

    model = trained_model.load_trained_model(folder / "a.model")
    form = formats.Format(write, lambda path: lambda x: {"score": model.score_images(x)}, "m")
    monkeypatch.setitem(formats.FORMATS, "tflite", form)
    with pytest.raises(InputError, match="it, which it has not written"):
        exporter.export(model, "tflite", tmp_path / "it", images)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert (tmp_path / "it").read_text() == "mine"


@pytest.mark.slow
def test_model_without_notes_is_exported_without_a_threshold(images, folder, tmp_path):
    shutil.copy(folder / "a.model", tmp_path / "b.model")
    model = trained_model.load_trained_model(tmp_path / "b.model")
    assert exporter.export(model, "savedmodel", tmp_path / "it", images) <= 1e-4
    assert "flagged" not in formats.read_savedmodel(tmp_path / "it")(images)
    about = about_in("savedmodel", tmp_path / "it")
    assert about["threshold"] is about["threshold_rule"] is None
    assert "flagged" not in about["outputs"]


def test_missing_package_is_told_in_one_line(folder, tmp_path, capfd, monkeypatch):
    form = dataclasses.replace(formats.FORMATS["onnx"], needs=("no_such_package",))
    monkeypatch.setitem(formats.FORMATS, "onnx", form)
    assert exported(folder, "onnx", tmp_path / "it") == 2
    error = capfd.readouterr().err
    assert error.startswith("error: --to onnx needs no_such_package, which this Python")
    assert "-m pip install no_such_package" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_score_without_its_reference_is_told_in_one_line(folder, images, tmp_path, capfd):
    shutil.copy(folder / "a.model", tmp_path)
    flags = ["--dataset", str(folder / "images.pickle"), "--score", "local"]
    assert exported(tmp_path, "savedmodel", tmp_path / "it", *flags) == 2
    assert "error: the score local needs" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.model"]


def test_images_of_training_are_asked_for_where_they_have_gone(folder, tmp_path):
    settings = files.load_json(folder / "a.json")
    assert export.training_dataset(folder / "a.model") == str(folder / "images.pickle")
    settings["command"]["dataset"] = str(tmp_path / "gone.pickle")
    files.save_json(tmp_path / "a.json", settings)
    with pytest.raises(InputError, match=r"at .*gone.pickle, found none: name some .*--dataset"):
        export.training_dataset(tmp_path / "a.model")
    (tmp_path / "gone.csv").write_text("index,name,label\n")
    assert export.training_dataset(tmp_path / "a.model") == str(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="at a known place"):
        export.training_dataset(tmp_path / "other.model")


@pytest.mark.parametrize("form", formats.FORMATS)
def test_what_is_no_export_is_not_replaced(folder, tmp_path, capfd, form):
    before = (folder / "a.model").read_bytes()
    assert exported(folder, form, folder / "a.model") == 2
    assert "a.model" in complaint_of(capfd)
    assert (folder / "a.model").read_bytes() == before
    (tmp_path / "mine").write_text("mine")
    assert exported(folder, form, tmp_path) == 2
    assert "expected a" in complaint_of(capfd)
    assert exported(folder, form, tmp_path / "mine") == 2
    assert str(tmp_path / "mine") in complaint_of(capfd)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="expected a new folder"):
        exporter.check_output(tmp_path / "mine", "savedmodel")


def test_difference_is_relative_and_sees_what_is_no_number():
    assert exporter.max_relative_difference([2, 0], [2, 0.5]) == 0.5
    assert exporter.max_relative_difference([100, 1], [101, 1]) == pytest.approx(0.01)
    assert np.isnan(exporter.max_relative_difference([1, 1], [1, np.nan]))


def test_formats_and_scores_are_those_of_the_tables():
    choices = {action.dest: action.choices for action in export.parser()._actions}
    assert choices["to"] == list(formats.FORMATS)
    assert set(choices["score"]) == set(scores.SCORES)
