"""Photographs from the folder to the pictures: both scripts, the estimator, exports, workers."""

import json
import pickle

import cv2
import numpy as np
import pytest

import find_anomalies
import train_unsupervised_autoencoder as train_script
from pyimagesearch import InputError
from pyimagesearch.detection.trained_model import TrainedModel
from pyimagesearch.detector import AutoencoderDetector
from pyimagesearch.export import exporter, formats
from tests.photos import photos
from tests.running import WRITTEN, report_of, table_of
from tests.runtime.test_distribution import script, start

ODD, SIZE = 7, ["--image-size", "96", "128"]


def save(folder, images):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{i:02}.png"), np.rint(image[..., ::-1] * 255).astype(np.uint8))


def read(folder):
    return np.stack([cv2.imread(str(path))[..., ::-1] for path in sorted(folder.iterdir())])


def files_in(folder):
    return [
        *("-d", str(folder / "images.pickle"), "-m", str(folder / "autoencoder.model")),
        *("-v", str(folder / "recon_vis.png"), "-p", str(folder / "plot.png"), "--quiet"),
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of 24 photos, one of them odd, trained on without a further flag but a size."""
    folder = tmp_path_factory.mktemp("photos")
    save(folder / "photos", photos(24, odd=[ODD], size=(96, 128)))
    assert train_script.main(["--source", str(folder / "photos"), *SIZE, *files_in(folder)]) == 0
    flags = [*files_in(folder)[:4], "--output", str(folder), "--quiet"]
    assert find_anomalies.main(flags) == 0
    return folder


def test_without_flags_the_odd_photo_of_a_folder_is_first(trained):
    found = sorted(path.name for path in trained.iterdir() if path.is_file())
    assert found == sorted(WRITTEN)
    first = table_of(trained)[0]
    assert (first["name"][-6:], first["flagged"]) == (f"{ODD:02}.png", "1")
    report = report_of(trained)
    assert report["score"] == "combined"
    settings = json.loads((trained / "autoencoder.json").read_text())
    assert settings["recommended_score"] == "combined"
    assert settings["recipe"]["backbone"] == "efficientnet-lite0"


def test_picture_shows_the_photo_in_color_and_the_place_of_the_disk_in_the_map(trained):
    """The first cell: original, features, reconstruction, and the map over the gray photo."""
    picture = cv2.imread(str(trained / "anomalies.png"))[..., ::-1].astype(int)
    gallery_row = picture[92 + 21 : 92 + 21 + 110, 24 : 24 + 4 * 132]
    original, overlay = gallery_row[:, :130], gallery_row[:, -130:]
    colorful = np.ptp(original[5:-5, 5:-5], axis=-1)
    assert colorful.max() > 100
    glow = np.ptp(overlay[5:-5, 5:-5], axis=-1) > 60  # colored, on a gray photo
    rows, columns = np.nonzero(glow)
    assert len(rows)
    assert np.median(columns) > 65 > np.median(rows)


def test_every_score_of_the_model_ranks_and_another_is_refused(trained, capsys):
    model = TrainedModel.load(trained / "autoencoder.model", "local")
    few = read(trained / "photos")[ODD - 1 : ODD + 2] / np.float32(255)
    assert model.score_images(few).argmax() == 1
    flags = [*files_in(trained)[:4], "--output", str(trained / "code"), "--quiet"]
    assert find_anomalies.main([*flags, "--score", "code"]) == 2
    assert "expected a score of this model (combined, local" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: s["recipe"].update(backbone="nobody"), "backbone"),
        (lambda s: s["recipe"].update(latent_dim=9), "encoder|dense|float32"),
        (lambda s: s.update(image_shape=[96, 128]), "image_shape"),
    ],
)
def test_settings_that_do_not_go_with_the_weights_are_refused(trained, tmp_path, change, reason):
    for name in ("autoencoder.model", "autoencoder.npz"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    settings = json.loads((trained / "autoencoder.json").read_text())
    change(settings)
    (tmp_path / "autoencoder.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=reason):
        TrainedModel.load(tmp_path / "autoencoder.model")


def test_reference_that_is_missing_or_of_another_model_is_refused(trained, tmp_path):
    for name in ("autoencoder.model", "autoencoder.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    images = photos(2, size=(96, 128))
    with pytest.raises(InputError, match="found none that fits it"):
        TrainedModel.load(tmp_path / "autoencoder.model").score_images(images)
    with np.load(trained / "autoencoder.npz") as arrays:
        changed = dict(arrays)
    changed["features/member_leverage"] = changed["features/member_leverage"][:-1]
    np.savez(tmp_path / "autoencoder.npz", **changed)
    with pytest.raises(InputError, match="found none that fits it"):
        TrainedModel.load(tmp_path / "autoencoder.model").score_images(images)


@pytest.mark.slow
def test_detector_scores_photos_as_the_scripts_do(trained):
    """With the same images and seed; and after pickling."""
    images = read(trained / "photos")
    detector = AutoencoderDetector(recipe="photos", random_state=42).fit(images)
    table = {int(row["index"]): float(row["score"]) for row in table_of(trained)}
    expected = [table[i] for i in range(len(images))]
    np.testing.assert_allclose(detector.decision_scores_, expected, rtol=1e-5, atol=1e-6)
    again = pickle.loads(pickle.dumps(detector))  # noqa: S301, our own
    np.testing.assert_array_equal(again.anomaly_score(images), detector.decision_scores_)
    with pytest.raises(InputError, match="expected images for recipe='photos'"):
        detector.fit(images.reshape(len(images), -1))


@pytest.mark.slow
def test_detector_leaves_out_photos_of_weight_0_and_scores_them(trained):
    images = read(trained / "photos")
    left_out = np.arange(len(images)) % 5 == 1
    weighted, without = (AutoencoderDetector(recipe="photos", random_state=42) for _ in range(2))
    weighted.fit(images, sample_weight=np.where(left_out, 0, 2))
    without.fit(images[~left_out])
    found, expected = weighted.decision_scores_, without.anomaly_score(images[left_out])
    np.testing.assert_array_equal(found[~left_out], without.decision_scores_)
    np.testing.assert_array_equal(found[left_out], expected)


@pytest.mark.slow
@pytest.mark.parametrize("format_name", formats.FORMATS)
def test_export_scores_photos_as_the_model_does(trained, tmp_path, format_name):
    try:
        formats.FORMATS[format_name].check_packages(format_name)
    except InputError as missing:
        pytest.skip(f"THE EXPORT TO {format_name} NOT TESTED: {missing}")
    model = TrainedModel.load(trained / "autoencoder.model")
    images = photos(9, odd=[3], size=(96, 128), seed=1)
    assert exporter.export(model, format_name, tmp_path / "exported", images) < 1e-4


@pytest.mark.slow
def test_two_workers_learn_and_rank_as_one_does(trained, tmp_path):
    folders = [tmp_path / "chief", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    source = ["--source", str(trained / "photos"), *SIZE, "--strategy", "multiworker"]
    workers = start(
        [
            script("train_unsupervised_autoencoder.py", *source, *files_in(folder))
            for folder in folders
        ]
    )
    for worker in workers:
        assert worker.communicate(timeout=300) == ("", "")
        assert worker.returncode == 0
    assert not list(folders[1].iterdir())
    with (
        np.load(trained / "autoencoder.npz") as one,
        np.load(folders[0] / "autoencoder.npz") as two,
    ):
        assert sorted(one) == sorted(two)
        for name in one:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-2, atol=1e-2, err_msg=name)


@pytest.mark.slow
def test_mvtec_set_of_photos_is_found_and_its_defects_are_outlined(tmp_path):
    images = photos(30, odd=range(24, 30), size=(96, 128))
    root = tmp_path / "set"
    save(root / "train/good", images[:20])
    save(root / "test/good", images[20:24])
    save(root / "test/disk", images[24:])
    y, x = np.mgrid[:96, :128]
    disk = np.hypot(y - 0.3 * 96, x - 0.75 * 128) < 0.2 * 96
    (root / "ground_truth/disk").mkdir(parents=True)
    for i in range(6):
        cv2.imwrite(str(root / f"ground_truth/disk/{i:02}_mask.png"), disk * np.uint8(255))
    out = tmp_path / "out"
    out.mkdir()
    assert train_script.main(["--source", str(root), *SIZE, *files_in(out)]) == 0
    flags = ["-d", str(root), "-m", str(out / "autoencoder.model"), "--output", str(out)]
    assert find_anomalies.main([*flags, "--quiet"]) == 0
    metrics = report_of(out)["metrics"]
    assert metrics["auroc"] == 1
    assert metrics["pixel_auroc"] > 0.95
    assert (out / "heatmaps.png").is_file()


@pytest.mark.slow
def test_half_precision_ranks_photos_alike(trained, tmp_path):
    flags = ["--source", str(trained / "photos"), *SIZE, "--precision", "bf16"]
    assert train_script.main([*flags, *files_in(tmp_path)]) == 0
    found = ["--output", str(tmp_path), "--precision", "bf16", "--quiet"]
    assert find_anomalies.main([*files_in(tmp_path)[:4], *found]) == 0
    assert table_of(tmp_path)[0]["index"] == str(ODD)
