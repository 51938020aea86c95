"""Exported models give the scores of the model, and contain what is needed to use them."""

import dataclasses
import importlib.util
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files, datasets, preprocessing
from pyimagesearch.detection import anomaly_maps, feature_scores, scores, thresholds, trained_model
from pyimagesearch.detection.calibration import calibrate
from pyimagesearch.export import __main__ as command
from pyimagesearch.export import exporter, formats
from pyimagesearch.storage import files, model_files, ownership
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import train
from tests.conftest import ROOT

SHAPE = (9, 12, 3)
QUICKEST = ("savedmodel", "mse")


@pytest.fixture(scope="module")
def images():
    """Blots of color, of odd sizes, so that the decoder has to crop."""
    rng = np.random.default_rng(0)
    small = rng.random((60, 3, 4, 3)).astype(np.float32)
    return np.asarray(tf.image.resize(small, SHAPE[:2]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, images):
    """A model with the files that training writes beside it."""
    folder = tmp_path_factory.mktemp("model")
    recipe = make_recipe(filters=(4,), epochs=2, min_steps=0)
    result = train(images, recipe)
    calibration, references = calibrate(result, images)
    dataset_files.save_images(folder / "images.pickle", images)
    model_files.save_model(folder / "a.keras", result.autoencoder)
    (folder / "a.keras").rename(folder / "a.model")
    model_files.save_references(folder / "a.npz", references)
    dataset = str(folder / "images.pickle")
    settings = {
        "command": {"dataset": dataset},
        "recipe": recipe.as_dict(),
        "image_shape": SHAPE,
        "scores": calibration,
    }
    files.save_json(folder / "a.json", settings)
    return folder


def export(folder, to, path, *more):
    """Run the command; return its exit status."""
    model = str(folder / "a.model")
    return command.main(["--model", model, "--to", to, "--output", str(path), *more])


def error_line(capfd):
    """The error message, once it is known to be of one line."""
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def skip_without_packages(to):
    """Skip the test, with a reason that stands out, where a package is missing."""
    for name in formats.FORMATS[to].packages:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"EXPORT TO {to.upper()} NOT TESTED: {name} is not installed")


def read_about(to, path):
    """The description in an exported model, read by the means of its format."""
    if to == "savedmodel":
        return json.loads((path / "assets.extra" / "about.json").read_text())
    if to == "tflite":
        return json.loads(zipfile.ZipFile(path).read("about.json"))
    import onnxruntime

    return json.loads(
        onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["about"]
    )


@pytest.mark.parametrize(
    ("to", "score"),
    [
        pytest.param(to, score, marks=[] if (to, score) == QUICKEST else pytest.mark.slow)
        for to in formats.FORMATS
        for score in scores.SCORES
    ],
)
def test_exported_model_gives_the_outputs_of_the_model(folder, images, tmp_path, capfd, to, score):
    skip_without_packages(to)
    assert export(folder, to, tmp_path / "it", "--score", score) == 0
    printed = capfd.readouterr()
    assert f"largest relative difference of a score, {score}, over 60 images: " in printed.out
    assert printed.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["it"]

    model = trained_model.TrainedModel.load(folder / "a.model", score)
    run = formats.FORMATS[to].read(tmp_path / "it")
    for order in ([5], [3, 1, 4, 1, 5]):
        outputs = run(images[order])
        reconstructions, maps = model.reconstruct(images, order)[2:]
        scores = model.score_images(images[order])
        np.testing.assert_allclose(outputs["reconstruction"], reconstructions, atol=1e-5)
        np.testing.assert_allclose(outputs["error_map"], maps, rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(outputs["score"], scores, rtol=1e-4)
        flagged = thresholds.flag(scores, model.calibration["threshold"])
        np.testing.assert_array_equal(outputs["flagged"], flagged)

    about = read_about(to, tmp_path / "it")
    assert about["score"] == score
    assert about["threshold"] == model.calibration["threshold"]
    assert "Benjamini-Hochberg" in about["threshold_rule"]
    assert about["image_shape"] == [9, 12, 3]
    assert "R, G, B" in about["preprocessing"][2]
    assert "height min(9, own height) and width min(12, own width)" in about["preprocessing"][4]
    assert about["preprocessing"][4].endswith("to 9 and 12")
    shapes = about["input"] | about["outputs"]
    n = "N" if to != "tflite" else 1
    for name in ("images", "reconstruction"):
        assert shapes[name].startswith(f"float32, [{n}, 9, 12, 3], "), name
    assert shapes["error_map"].startswith(f"float32, [{n}, 9, 12], ")
    assert set(about["outputs"]) == set(outputs)


@pytest.mark.slow
def test_exported_model_flags_scores_above_the_threshold(folder, images, tmp_path):
    model = trained_model.TrainedModel.load(folder / "a.model")
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


def test_export_with_other_scores_is_refused_and_an_earlier_one_stays(
    folder, images, tmp_path, monkeypatch
):
    def by_the_clock(images, reconstructions, reference=None):
        # Not random: another test may have set the global seed.
        return tf.fill(tf.shape(images)[:3], tf.cast(1 + tf.timestamp() % 1, tf.float32))

    unsteady = scores.AnomalyScore(by_the_clock, lambda maps, *_: anomaly_maps.mean_of_map(maps))
    monkeypatch.setitem(scores.SCORES, "unsteady", unsteady)
    model = trained_model.TrainedModel.load(folder / "a.model", "unsteady")
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "saved_model.pb").write_text("earlier")
    with pytest.raises(InputError, match="differ from the model's by at most 0.0001, found 0"):
        exporter.export(model, "savedmodel", tmp_path / "it", images)
    assert [path.name for path in tmp_path.rglob("*")] == ["it", "saved_model.pb"]
    assert (tmp_path / "it" / "saved_model.pb").read_text() == "earlier"


@pytest.mark.parametrize("wrong", [[0], slice(None)], ids=["one", "all"])
def test_export_of_scores_that_are_nan_is_refused_and_nothing_is_written(
    folder, images, tmp_path, monkeypatch, wrong
):
    model = trained_model.TrainedModel.load(folder / "a.model", "mse")
    scores = model.score_images(images)
    scores[wrong] = np.nan
    target = dataclasses.replace(
        formats.FORMATS["savedmodel"],
        write=lambda model, path, about: path.mkdir(),
        read=lambda path: lambda images: {"score": scores},
    )
    monkeypatch.setitem(formats.FORMATS, "savedmodel", target)
    with pytest.raises(InputError, match="at most 0.0001, found nan: nothing was written"):
        exporter.export(model, "savedmodel", tmp_path / "it", images)
    assert list(tmp_path.iterdir()) == []


def test_check_output_of_a_folder_with_other_files_or_without_the_mark_is_refused(tmp_path):
    place = tmp_path / "it"
    (place / "variables").mkdir(parents=True)
    (place / "assets.extra").mkdir()
    exporter.check_output(place, "savedmodel")  # empty
    for name in formats.SAVEDMODEL_FILES[:-1]:
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


@pytest.mark.parametrize("to", ["savedmodel", pytest.param("tflite", marks=pytest.mark.slow)])
def test_export_replaces_an_earlier_export(folder, tmp_path, capfd, to):
    assert export(folder, to, tmp_path / "it") == 0
    about = tmp_path / "it" / "assets.extra" / "about.json" if to == "savedmodel" else None
    if about:
        files.save_json(about, {"earlier": True})
    assert export(folder, to, tmp_path / "it") == 0
    assert "earlier" not in read_about(to, tmp_path / "it")
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["tflite", "onnx"])
def test_export_marks_the_file_as_written_by_the_suite(folder, tmp_path, to):
    skip_without_packages(to)
    assert export(folder, to, tmp_path / "it") == 0
    assert ownership.is_own_file(tmp_path / "it")


@pytest.mark.parametrize("name", ["a.json", "a.npz", "images.pickle", "images.csv"])
def test_export_over_a_file_that_it_reads_is_refused(folder, capfd, name):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert export(folder, "tflite", folder / name) == 2
    assert f"received {folder / name} as both" in error_line(capfd)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_export_does_not_replace_a_file_that_has_appeared_meanwhile(
    folder, images, tmp_path, monkeypatch
):
    def write(detector, path, about):
        path.write_text("network")
        (tmp_path / "it").write_text("mine")

    model = trained_model.TrainedModel.load(folder / "a.model")
    target = formats.Format(write, lambda path: lambda x: {"score": model.score_images(x)}, "m")
    monkeypatch.setitem(formats.FORMATS, "tflite", target)
    with pytest.raises(InputError, match="it, which it has not written"):
        exporter.export(model, "tflite", tmp_path / "it", images)
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    assert (tmp_path / "it").read_text() == "mine"


@pytest.mark.slow
def test_export_of_a_model_without_calibration_has_no_threshold(images, folder, tmp_path):
    shutil.copy(folder / "a.model", tmp_path / "b.model")
    settings = json.loads((folder / "a.json").read_text())
    (tmp_path / "b.json").write_text(json.dumps({**settings, "scores": {}}))
    model = trained_model.TrainedModel.load(tmp_path / "b.model")
    assert exporter.export(model, "savedmodel", tmp_path / "it", images) <= 1e-4
    assert "flagged" not in formats.read_savedmodel(tmp_path / "it")(images)
    about = read_about("savedmodel", tmp_path / "it")
    assert about["threshold"] is about["threshold_rule"] is None
    assert "flagged" not in about["outputs"]


def test_export_without_a_package_that_it_needs_is_refused(folder, tmp_path, capfd, monkeypatch):
    target = dataclasses.replace(formats.FORMATS["onnx"], packages=("no_such_package",))
    monkeypatch.setitem(formats.FORMATS, "onnx", target)
    assert export(folder, "onnx", tmp_path / "it") == 2
    error = error_line(capfd)
    assert error.startswith("error: --to onnx needs no_such_package, which this Python")
    assert "-m pip install no_such_package" in error
    assert list(tmp_path.iterdir()) == []


def test_export_of_a_score_without_its_reference_is_refused(folder, images, tmp_path, capfd):
    for name in ("a.model", "a.json"):
        shutil.copy(folder / name, tmp_path)
    flags = ["--dataset", str(folder / "images.pickle"), "--score", "local"]
    assert export(tmp_path, "savedmodel", tmp_path / "it", *flags) == 2
    assert "error: the score local needs" in error_line(capfd)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.model"]


def test_training_dataset_that_has_gone_is_asked_for(folder, tmp_path):
    settings = files.load_json(folder / "a.json")
    assert command.training_dataset(folder / "a.model") == str(folder / "images.pickle")
    settings["command"]["dataset"] = str(tmp_path / "gone.pickle")
    files.save_json(tmp_path / "a.json", settings)
    with pytest.raises(InputError, match=r"at .*gone.pickle, found none: name some .*--dataset"):
        command.training_dataset(tmp_path / "a.model")
    (tmp_path / "gone.csv").write_text("index,name,label\n")
    assert command.training_dataset(tmp_path / "a.model") == str(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="at a known place"):
        command.training_dataset(tmp_path / "other.model")


@pytest.mark.parametrize("to", formats.FORMATS)
def test_export_over_a_file_of_another_origin_is_refused(folder, tmp_path, capfd, to):
    before = (folder / "a.model").read_bytes()
    assert export(folder, to, folder / "a.model") == 2
    assert "a.model" in error_line(capfd)
    assert (folder / "a.model").read_bytes() == before
    (tmp_path / "mine").write_text("mine")
    assert export(folder, to, tmp_path) == 2
    assert "expected a" in error_line(capfd)
    assert export(folder, to, tmp_path / "mine") == 2
    assert str(tmp_path / "mine") in error_line(capfd)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_text() == "mine"


def test_check_output_of_a_folder_over_a_file_is_refused(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(InputError, match="expected a new folder"):
        exporter.check_output(tmp_path / "mine", "savedmodel")


def test_max_relative_difference_of_scores_with_nan_is_nan():
    assert exporter.max_relative_difference([2, 0], [2, 0.5]) == 0.5
    assert exporter.max_relative_difference([100, 1], [101, 1]) == pytest.approx(0.01)
    assert np.isnan(exporter.max_relative_difference([1, 1], [1, np.nan]))


def test_parser_has_the_choices_of_the_tables():
    choices = {action.dest: action.choices for action in command.parser()._actions}
    assert choices["to"] == list(formats.FORMATS)
    assert set(choices["score"]) == {"auto", *scores.SCORES, *feature_scores.NAMES}


def readme_programs():
    """The functions that the README of exports defines."""
    text = (ROOT / "pyimagesearch" / "export" / "README.md").read_text(encoding="utf-8")
    found = {}
    for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        exec(compile(code, "README", "exec"), found)
    return found


@pytest.mark.parametrize(
    "to",
    [
        pytest.param(to, marks=[] if to == "savedmodel" else pytest.mark.slow)
        for to in formats.FORMATS
    ],
)
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_program_of_the_readme_scores_pictures_as_the_scripts_do(folder, tmp_path, capfd, to):
    skip_without_packages(to)
    assert export(folder, to, tmp_path / "it", "--score", "mse") == 0
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    # Larger in both sides, by more than 8; larger in one alone; smaller; sideways; transparent.
    for i, (height, width) in enumerate([(400, 600), (30, 8), (5, 70), (9, 12), (3, 4)]):
        small = rng.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
        image = Image.fromarray(small).resize((width, height))
        exif = Image.Exif()
        exif[0x0112] = (1, 6, 3, 8, 5)[i]
        image.save(tmp_path / "photos" / f"{i}.jpg", quality=95, exif=exif)
    clear = rng.integers(0, 256, (20, 30, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "photos" / "clear.png")

    model = trained_model.TrainedModel.load(folder / "a.model", "mse")
    reading = preprocessing.reading_for(model.image_shape)
    dataset = datasets.open_dataset(tmp_path / "photos", reading=reading)
    program = readme_programs()[f"with_{to}"]
    scores = [program(str(tmp_path / "it"), name) for name in dataset.names]
    np.testing.assert_allclose(scores, model.score_images(dataset.images), rtol=1e-3)
