"""Both scripts from end to end, on folders of images."""

import csv
import os
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

import find_anomalies
import train_unsupervised_autoencoder as train
from pyimagesearch.data import dataset_files, decoding, image_files, pixel_store
from pyimagesearch.data.datasets import open_dataset
from tests.running import data_of, detection_flags, report_of, table_of, training_flags


def constant(folder):
    return dataset_files.save_images(folder / "x.pickle", np.full((5, 28, 28, 1), 0.5, np.float32))


def single(folder):
    return dataset_files.save_images(folder / "x.pickle", np.zeros((1, 28, 28), np.uint8))


@pytest.mark.parametrize("make", [constant, single])
@pytest.mark.parametrize(
    "rule",
    [
        ["--auto"],
        pytest.param([], marks=pytest.mark.slow),
        pytest.param(["--contamination", "0.5"], marks=pytest.mark.slow),
        pytest.param(["--std", "3"], marks=pytest.mark.slow),
    ],
)
def test_images_that_are_all_equal_or_just_one_are_scored(trained, tmp_path, make, rule):
    make(tmp_path)
    flags = ["-d", str(tmp_path / "x.pickle"), "-m", str(trained / "autoencoder.model"), *rule]
    assert find_anomalies.main([*flags, "--output", str(tmp_path), "--quiet"]) == 0
    report = report_of(tmp_path)
    # Gray images are outliers among digits, a black one is not; none is among images like itself.
    by_training = make is constant and rule in ([], ["--std", "3"])
    assert report["n_flagged"] == (5 if by_training else 0)


def test_names_that_are_not_utf_8_are_trained_on_scored_and_written_to(tmp_path, rng):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no names that are not UTF-8")
    names = [str(folder / os.fsdecode(b"%d, na\xefve.png" % i)) for i in range(8)]
    for name in names:
        pixels = rng.integers(100, 110, (8, 8, 3), np.uint8)
        Path(name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    (folder / os.fsdecode(b"broken \xff.png")).write_bytes(b"\x89PNG but no more")
    # The last of several flags counts.
    flags = training_flags(folder, "--source", str(folder), "--epochs", "1", "--quiet")
    assert train.main([*flags, "--logdir", str(folder / "log")]) == 0
    assert dataset_files.load_manifest(folder / "images.csv")[0] == names
    model = ["-m", str(folder / "autoencoder.model"), "--output", str(folder), "--quiet"]
    assert open_dataset(folder / "images.csv").names == names
    for dataset in (folder, folder / "images.pickle"):
        assert find_anomalies.main(["-d", str(dataset), *model, "--threshold", "0"]) == 0
        assert sorted(item["name"] for item in report_of(folder)["flagged"]) == names
    with (folder / "anomalies.csv").open(errors="surrogateescape", newline="") as file:
        assert sorted(row["name"] for row in csv.DictReader(file)) == names


@pytest.mark.slow
@pytest.mark.parametrize(("n", "side"), [(1, 9), (3, 1)])
def test_one_image_or_images_of_1x1_can_be_trained_on(tmp_path, rng, n, side):
    (tmp_path / "few").mkdir()
    for i in range(n):
        cv2.imwrite(str(tmp_path / "few" / f"{i}.png"), rng.integers(0, 255, (side, side, 3)))
    flags = training_flags(tmp_path, "--batch-size", "1000", "--quiet")
    flags[flags.index("digits")] = str(tmp_path / "few")
    assert train.main(flags) == 0
    assert find_anomalies.main(detection_flags(tmp_path, tmp_path, "--quiet")) == 0
    assert report_of(tmp_path)["n_images"] == n


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A made-up category in the layout of MVTec AD: gray plates, some with a bright spot."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("photos") / "plate"
    for part, n, anomalous in (("train/good", 40, 0), ("test/good", 12, 0), ("test/spot", 6, 1)):
        (folder / part).mkdir(parents=True)
        (folder / "ground_truth" / part.split("/")[1]).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            image = rng.normal(120, 3, (40, 30, 3)) + rng.normal(0, 4)
            if anomalous:
                row, column = rng.integers(4, 20, 2)
                image[row : row + 8, column : column + 6] += 90
                mask = np.zeros((40, 30), np.uint8)
                mask[row : row + 8, column : column + 6] = 255
                cv2.imwrite(str(folder / "ground_truth" / "spot" / f"{i:03}_mask.png"), mask)
            cv2.imwrite(str(folder / part / f"{i:03}.png"), np.clip(image, 0, 255).astype(np.uint8))
    return folder


@pytest.mark.slow
def test_category_with_masks_is_scored_pixel_by_pixel(photos, tmp_path, monkeypatch):
    """What the hazelnuts go through: train on good images, find the defects of the others."""
    decoded = Counter()

    def read_pixels(path, *args):
        decoded[path] += 1
        return decoding.read_pixels(path, *args)

    monkeypatch.setattr(image_files, "read_pixels", read_pixels)
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 2**14)  # four photos
    flags = [*training_flags(tmp_path), "--image-size", "40", "32", "--quiet"]
    flags[flags.index("digits")] = str(photos)
    assert train.main([*flags, "--max-pickle-mib", "0"]) == 0
    # Once to see whether it is whole, and once for its pixels, however many epochs and scores.
    assert set(decoded.values()) == {2}
    decoded.clear()
    _, labels = dataset_files.load_manifest(tmp_path / "images.csv")
    assert labels.tolist() == [0] * 40
    model = ["-m", str(tmp_path / "autoencoder.model"), "--output", str(tmp_path), "--quiet"]
    assert find_anomalies.main(["-d", str(photos), *model, "--score", "local"]) == 0
    assert set(decoded.values()) == {2}
    metrics = report_of(tmp_path)["metrics"]
    assert metrics["n_anomalies"] == 6
    assert metrics["auroc"] == 1
    assert metrics["pixel_auroc"] > 0.95
    assert metrics["aupro"] > 0.8
    assert cv2.imread(str(tmp_path / "heatmaps.png")).std() > 20
    page = data_of(tmp_path)
    assert page["columns"][-1] == "True mask"
    assert [len(parts) for parts in page["pictures"]] == [4] * 18
    assert table_of(tmp_path)[0]["name"].startswith(str(photos / "test" / "spot"))
    # The next run has no masks: no picture may be left that seems to be of it.
    assert find_anomalies.main(["-d", str(tmp_path / "images.csv"), *model]) == 0
    assert not (tmp_path / "heatmaps.png").exists()


@pytest.fixture
def pile(tmp_path, rng):
    """An unlabeled folder of images of all kinds, one file of which is broken."""
    folder = tmp_path / "my photos"
    (folder / "below").mkdir(parents=True)
    for i in range(30):
        shade = np.full((12, 10 + i % 3, 3), 100 + i, np.uint8)
        shade += rng.integers(0, 9, shade.shape, np.uint8)
        path = folder / ("below" if i % 2 else ".") / f"{i:02}.{'jpg' if i % 5 else 'png'}"
        cv2.imwrite(str(path), shade if i % 7 else shade[..., 0])
    outlier = np.zeros((12, 12, 3), np.uint8)
    outlier[::2] = 255
    cv2.imwrite(str(folder / "an, outlier.png"), outlier)
    (folder / "broken.png").write_bytes(b"\x89PNG but no more")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("grayscale", [False, True])
def test_folder_is_trained_on_and_its_outlier_flagged(pile, tmp_path, capsys, grayscale):
    flags = [*training_flags(tmp_path), "--image-size", "12"] + ["--grayscale"] * grayscale
    flags[flags.index("digits")] = str(pile)
    assert train.main(flags) == 0
    printed = capsys.readouterr()
    assert printed.err == (f"[WARNING] passed over 1 file: not an image ({pile / 'broken.png'})\n")
    images = dataset_files.load_images(tmp_path / "images.pickle")
    assert images.shape == (31, 12, 12, 1 if grayscale else 3)
    model = ["-m", str(tmp_path / "autoencoder.model"), "--output", str(tmp_path), "--quiet"]
    for dataset in (pile, tmp_path / "images.csv", tmp_path / "images.pickle"):
        assert find_anomalies.main(["-d", str(dataset), *model, "--contamination", "0.03"]) == 0
        report = report_of(tmp_path)
        assert [item["name"] for item in report["flagged"]] == [str(pile / "an, outlier.png")]
        assert report["metrics"] is None
        assert report["skipped"] == ([str(pile / "broken.png")] if dataset == pile else [])


@pytest.mark.slow
def test_folder_too_large_to_pickle_has_its_manifest_alone(pile, tmp_path, capsys):
    # Of an earlier run, of other images.
    dataset_files.save_images(tmp_path / "images.pickle", np.zeros((2, 4, 4, 1), np.float32))
    flags = [*training_flags(tmp_path), "--max-pickle-mib", "0", "--image-size", "12"]
    flags[flags.index("digits")] = str(pile)
    assert train.main(flags) == 0
    assert "alone stands for the images" in capsys.readouterr().out
    assert not (tmp_path / "images.pickle").exists()
    files = ["-d", str(tmp_path / "images.csv"), "-m", str(tmp_path / "autoencoder.model")]
    assert find_anomalies.main([*files, "--output", str(tmp_path), "--quiet"]) == 0
    assert report_of(tmp_path)["n_images"] == 31


@pytest.mark.slow
def test_array_on_disk_is_scored_as_its_pickle_is(trained, tmp_path):
    images = dataset_files.load_images(trained / "images.pickle")
    np.save(tmp_path / "images.npy", images)
    files = ["-d", str(tmp_path / "images.npy"), "-m", str(trained / "autoencoder.model")]
    assert find_anomalies.main([*files, "--output", str(tmp_path), "--quiet"]) == 0
    scores = [[row["score"] for row in table_of(folder)] for folder in (tmp_path, trained)]
    assert scores[0] == scores[1]
