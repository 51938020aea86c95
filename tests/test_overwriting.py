"""No command writes over what it reads, or over a file that the suite has not written."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import find_anomalies
import train_unsupervised_autoencoder as train
from pyimagesearch import InputError
from pyimagesearch.benchmark import __main__ as benchmark
from pyimagesearch.benchmark import detection
from pyimagesearch.data import dataset_files, datasets, image_files
from pyimagesearch.detection import trained_model
from pyimagesearch.reporting import results
from pyimagesearch.torture import __main__ as torture
from pyimagesearch.torture import trials
from pyimagesearch.training import checkpoint
from tests.running import WRITTEN, detection_flags, error_line, training_flags

CHECKPOINT = ".autoencoder.model.resume"
TRAINED = [CHECKPOINT, *(name for name in WRITTEN if name not in results.FILES)]
REFUSAL = "earlier results of this suite, found"
UNMARKED = b"a file of unknown origin"


def contents(folder):
    """All that is in a folder and below it: bytes by path, and where links lead."""
    things = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    return {
        path: str(path.readlink()) if path.is_symlink() else path.read_bytes() for path in things
    }


def too_late(*args, **kwargs):
    """Replaces work that must not begin."""
    raise AssertionError("expected the error before the work began")


@pytest.mark.parametrize("name", TRAINED)
def test_training_does_not_write_over_an_unmarked_file(tmp_path, capfd, monkeypatch, name):
    monkeypatch.setattr(datasets, "load", too_late)
    (tmp_path / name).write_bytes(UNMARKED)
    flags = training_flags(tmp_path, "--logdir", str(tmp_path / "new" / "log"))
    error = error_line(train.main, flags, capfd)
    assert f"{REFUSAL} {tmp_path / name}, which it has not written" in error
    assert contents(tmp_path) == {tmp_path / name: UNMARKED}
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", results.FILES)
def test_detection_does_not_write_over_an_unmarked_file(
    trained, tmp_path, capfd, monkeypatch, name
):
    monkeypatch.setattr(trained_model.TrainedModel, "load", too_late)
    (tmp_path / name).write_bytes(UNMARKED)
    error = error_line(find_anomalies.main, detection_flags(trained, tmp_path), capfd)
    assert f"{REFUSAL} {tmp_path / name}, which it has not written" in error
    assert contents(tmp_path) == {tmp_path / name: UNMARKED}


def test_several_unmarked_files_are_reported_in_one_line(trained, tmp_path, capfd):
    for name in results.FILES:
        (tmp_path / name).write_bytes(UNMARKED)
    error = error_line(find_anomalies.main, detection_flags(trained, tmp_path), capfd)
    listed = ", ".join(str(tmp_path / name) for name in results.FILES[:3])
    assert f"found {listed} and 4 more, which it has not written" in error
    assert "move them away" in error


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("rotation", "rotation.csv"),
        ("detection", "detection.csv"),
        *(("detection", name) for name in detection.FILES),
    ],
)
def test_benchmark_does_not_write_over_an_unmarked_file(tmp_path, capfd, monkeypatch, table, name):
    monkeypatch.setattr(benchmark.TABLES[table], "table", too_late)
    (tmp_path / name).write_bytes(UNMARKED)
    flags = [table, "--source", "digits", "--output", str(tmp_path)]
    assert f"{REFUSAL} {tmp_path / name}" in error_line(benchmark.main, flags, capfd)
    assert contents(tmp_path) == {tmp_path / name: UNMARKED}


def test_torture_does_not_write_over_an_unmarked_file(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(torture, "prepare", too_late)
    (tmp_path / "torture.csv").write_bytes(UNMARKED)
    error = error_line(torture.main, ["--output", str(tmp_path)], capfd)
    assert f"{REFUSAL} {tmp_path / 'torture.csv'}" in error
    assert contents(tmp_path) == {tmp_path / "torture.csv": UNMARKED}


def test_files_that_torture_keeps_take_free_names(tmp_path):
    (tmp_path / "0-arrays.npy").write_bytes(UNMARKED)
    (tmp_path / "harm.npy").write_bytes(b"harm")
    trials.keep_copy(tmp_path / "harm.npy", tmp_path, "arrays")
    trials.keep_copy(tmp_path / "harm.npy", tmp_path, "arrays")
    found = {path.name: data for path, data in contents(tmp_path).items()}
    del found["harm.npy"]
    assert found == {"0-arrays.npy": UNMARKED, "1-arrays.npy": b"harm", "2-arrays.npy": b"harm"}


def test_reference_of_a_model_does_not_replace_the_source(tmp_path, capfd):
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((2, 28, 28)), y_train=[1, 3])
    before = contents(tmp_path)
    flags = [*training_flags(tmp_path), "-m", str(tmp_path / "mnist.model")]
    flags += ["--source", str(tmp_path / "mnist.npz")]
    error = error_line(train.main, flags, capfd)
    assert f"received {tmp_path / 'mnist.npz'} as both" in error
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("dataset", "model", "read"),
    [
        ("images.pickle", "report.model", "report.json"),
        ("anomalies.pickle", "autoencoder.model", "anomalies.csv"),
        ("anomalies.csv", "autoencoder.model", "anomalies.csv"),
        ("images.pickle", "errors.png", "errors.png"),
    ],
)
def test_detection_does_not_write_over_what_it_reads(
    trained, tmp_path, capfd, dataset, model, read
):
    """Although it is a file of the suite itself."""
    copies = {"images.pickle": dataset, "images.csv": Path(dataset).with_suffix(".csv")}
    copies |= {"autoencoder.model": model, "autoencoder.json": Path(model).with_suffix(".json")}
    for name, copy in copies.items():
        shutil.copy(trained / name, tmp_path / copy)
    before = contents(tmp_path)
    flags = ["-d", str(tmp_path / dataset), "-m", str(tmp_path / model), "--output", str(tmp_path)]
    error = error_line(find_anomalies.main, flags, capfd)
    assert f"received {tmp_path / read} as both" in error
    assert contents(tmp_path) == before


def test_array_has_no_manifest_among_the_inputs(trained, tmp_path):
    """An array has no manifest: the table may have the name that it would have."""
    images = dataset_files.load_images(trained / "images.pickle")
    np.save(tmp_path / "anomalies.npy", images[:9])
    files = ["-d", str(tmp_path / "anomalies.npy"), "-m", str(trained / "autoencoder.model")]
    assert find_anomalies.main([*files, "--output", str(tmp_path), "--quiet"]) == 0


def test_link_to_an_unmarked_file_is_not_replaced(tmp_path, capfd):
    (tmp_path / "unmarked").mkdir()
    (tmp_path / "unmarked" / "a.pickle").write_bytes(UNMARKED)
    (tmp_path / "images.pickle").symlink_to(tmp_path / "unmarked" / "a.pickle")
    before = contents(tmp_path)
    error = error_line(train.main, training_flags(tmp_path), capfd)
    assert f"{REFUSAL} {tmp_path / 'images.pickle'}" in error
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_same_commands_run_again_over_their_own_results(trained, tmp_path):
    for name in WRITTEN:
        shutil.copy(trained / name, tmp_path)
    checkpoint.save_checkpoint(tmp_path / CHECKPOINT, {}, {})
    before = contents(tmp_path)
    assert train.main(training_flags(tmp_path, "--quiet")) == 0
    assert find_anomalies.main(detection_flags(tmp_path, tmp_path, "--quiet")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITTEN
    assert contents(tmp_path)[tmp_path / "report.json"] != before[tmp_path / "report.json"]


def test_file_that_appears_during_a_detection_stays_and_so_do_earlier_results(
    trained, tmp_path, capfd, monkeypatch
):
    for name in results.FILES:
        if (trained / name).exists():
            shutil.copy(trained / name, tmp_path)
    (tmp_path / "anomalies.csv").unlink()
    before, page = contents(tmp_path), results.html_report

    def meanwhile(*args, **kwargs):
        (tmp_path / "anomalies.csv").write_bytes(UNMARKED)
        return page(*args, **kwargs)

    monkeypatch.setattr(results, "html_report", meanwhile)
    error = error_line(find_anomalies.main, detection_flags(trained, tmp_path, "--quiet"), capfd)
    assert f"{REFUSAL} {tmp_path / 'anomalies.csv'}" in error
    assert contents(tmp_path) == {**before, tmp_path / "anomalies.csv": UNMARKED}


@pytest.fixture
def photos(trained, tmp_path):
    """A folder of three photos, with a picture of the suite in it and one below."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for i in range(3):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((9, 9, 3), 60 * i, np.uint8))
    shutil.copy(trained / "plot.png", folder / "plot.png")
    shutil.copy(trained / "recon_vis.png", folder / "below" / "HOLIDAY.PNG")
    return folder


def test_own_pictures_are_not_listed_as_images(photos):
    images, own = image_files.list_images(photos)
    assert images == [photos / f"{i}.png" for i in range(3)]
    assert own == [photos / "below" / "HOLIDAY.PNG", photos / "plot.png"]
    with pytest.raises(InputError, match="images in .*below, found none but 1 that this suite has"):
        image_files.list_images(photos / "below")


def test_own_picture_that_another_program_saved_is_an_image(photos):
    path = str(photos / "plot.png")
    cv2.imwrite(path, cv2.imread(path))
    assert photos / "plot.png" in image_files.list_images(photos)[0]


def test_both_scripts_write_into_the_folder_that_they_read_and_report_what_they_skip(photos, capfd):
    own = "pictures that this suite has written are not read as images, such as"
    flags = training_flags(photos, "--source", str(photos), "--batch-size", "2", "--grayscale")
    assert train.main(flags) == 0
    error = capfd.readouterr().err
    assert error == f"[WARNING] 2 {own} {photos / 'below' / 'HOLIDAY.PNG'}\n"
    assert json.loads((photos / "autoencoder.json").read_text())["n_images"] == 3

    flags = ["-d", str(photos), "-m", str(photos / "autoencoder.model"), "--output", str(photos)]
    for n in (3, 5):
        assert find_anomalies.main(flags) == 0
        error = capfd.readouterr().err
        assert error == f"[WARNING] {n} {own} {photos / 'anomalies.png'}\n".replace(
            "anomalies.png", "anomalies.png" if n == 5 else "below/HOLIDAY.PNG"
        )
        assert json.loads((photos / "report.json").read_text())["n_images"] == 3

    shutil.rmtree(photos / "below")
    for name in ("plot.png", "errors.png", "recon_vis.png"):
        (photos / name).unlink()
    (photos / "anomalies.csv").unlink()
    assert find_anomalies.main(flags) == 0
    assert capfd.readouterr().err == (
        "[WARNING] 1 picture that this suite has written is not read as an image: "
        f"{photos / 'anomalies.png'}\n"
    )
