import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import datasets, image_folders
from pyimagesearch.data.image_folders import Reading
from pyimagesearch.storage import ownership
from tests.data.conftest import draw


def test_folder_without_layout_is_unlabeled_and_sorted(photos):
    source = datasets.load(photos)
    assert source.name == "photos"
    assert source.names == ["photos/a/z.png", "photos/a/é.bmp", "photos/b.png"]
    assert source.skipped == {"photos/a/broken.png": "not an image"}
    assert source.labels.tolist() == [-1, -1, -1]
    assert source.labels.dtype == np.int8
    assert (source.classes, source.masks) == (None, None)
    assert source.images.shape == (3, 6, 4, 1)
    np.testing.assert_allclose(source.images[:].mean((1, 2, 3)), [0.4, 0.6, 0.2], atol=1e-6)


def test_folder_is_read_in_size_and_grayscale(photos):
    assert datasets.load(photos, size=(8, 10), grayscale=True).images[:].shape == (3, 8, 10, 1)


def test_folder_reports_the_progress_of_its_check(photos):
    reported = []
    datasets.load(photos, on_progress=lambda done, total: reported.append((done, total)))
    assert reported == [(0, 4), (4, 4)]


def test_mvtec_is_labeled_by_folder_and_split(screws):
    train = datasets.load(str(screws))
    assert [str(screws / "train" / "good" / f"00{i}.png") for i in (0, 1)] == train.names
    assert (train.labels.tolist(), train.masks) == ([0, 0], None)
    test = datasets.load(str(screws), "test")
    assert test.labels.tolist() == [1, 1, 0, 1]
    assert test.labels.dtype == np.int8
    both = datasets.load(str(screws), "all")
    assert both.labels.tolist() == [0, 0, 1, 1, 0, 1]
    assert both.names == train.names + test.names
    values = both.images[:][:, 0, 0, 0] * 255
    np.testing.assert_allclose(values, [10, 11, 30, 31, 20, 40], atol=1e-4)


def test_mvtec_masks_are_paired_by_name(screws):
    truth = screws / "ground_truth"
    test = [
        truth / "bent" / "000_mask.png",
        truth / "bent" / "001.png",
        None,
        truth / "scratch" / "000_mask.bmp",
    ]
    expected = [mask and (mask,) for mask in test]
    found = datasets.load(screws, "test").masks
    assert [mask and mask.paths for mask in found] == expected
    assert found[0].image == screws / "test" / "bent" / "000.png"
    both = datasets.load(screws, "all")
    assert [mask and mask.paths for mask in both.masks] == [None, None, *expected]
    assert datasets.label_by_class(both, None).masks == both.masks
    assert datasets.contaminate(both).masks == both.masks


def test_mvtec_image_without_its_mask_is_named_with_the_mask_expected(screws):
    (screws / "ground_truth" / "bent" / "001.png").unlink()
    with pytest.raises(InputError, match=r"test/bent/001\.png named 001_mask\.png or 001\.png"):
        datasets.load(screws, "test")
    assert datasets.load(screws, "train").masks is None


def test_mvtec_without_any_ground_truth_has_no_masks(screws):
    shutil.rmtree(screws / "ground_truth")
    test = datasets.load(screws, "test")
    assert test.masks is None
    assert test.labels.tolist() == [1, 1, 0, 1]


def test_mvtec_image_that_cannot_be_decoded_is_skipped_with_its_label_and_mask(screws):
    (screws / "test" / "bent" / "000.png").write_text("no picture")
    (screws / "ground_truth" / "bent" / "000_mask.png").unlink()
    test = datasets.load(screws, "test")
    assert list(test.skipped) == [str(screws / "test" / "bent" / "000.png")]
    assert test.labels.tolist() == [1, 0, 1]
    names = [mask and mask.paths[0].name for mask in test.masks]
    assert names == ["001.png", None, "000_mask.bmp"]


def test_mvtec_test_image_outside_of_any_defect_is_refused(screws):
    draw(screws / "test" / "stray.png", 1)
    with pytest.raises(InputError, match=r"such as good/, found .*stray\.png"):
        datasets.load(screws, "test")


def test_mvtec_of_defects_in_nested_folders_is_paired_too(screws):
    draw(screws / "test" / "bent" / "left" / "7.png", 1)
    draw(screws / "ground_truth" / "bent" / "left" / "7_mask.png", 1)
    masks = datasets.load(screws, "test").masks
    assert (screws / "ground_truth" / "bent" / "left" / "7_mask.png",) in [
        mask.paths for mask in masks if mask
    ]


def test_set_without_the_split_that_is_asked_for_is_refused(screws):
    shutil.rmtree(screws / "test")
    with pytest.raises(InputError, match="expected images in .*screws/test, found none"):
        datasets.load(screws, "test")
    assert datasets.load(screws).labels.tolist() == [0, 0]


def test_set_without_splits_is_trained_on_its_normal_images_and_ranked_as_a_whole(tmp_path):
    for name in ("good/1.png", "good/2.png", "NG/crack/1.png", "mask/crack/1.png"):
        draw(tmp_path / name, 100)
    train, test = (datasets.load(tmp_path, split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 0]
    assert test.labels.tolist() == [1, 0, 0]
    assert test.classes.tolist() == ["NG/crack", "good", "good"]
    assert [mask and mask.paths for mask in test.masks] == [
        (tmp_path / "mask" / "crack" / "1.png",),
        None,
        None,
    ]
    (remark,) = test.remarks
    assert remark.endswith("NG/crack: 1 anomalous; crack: 1 masks; good: 2 normal")


def test_validation_images_are_loaded_with_all_splits_alone(screws):
    draw(screws / "validation" / "good" / "000.png", 50)
    counts = {split: len(datasets.load(screws, split).names) for split in ("train", "test", "all")}
    assert counts == {"train": 2, "test": 4, "all": 7}


def test_folder_of_several_sets_is_refused_with_their_names(screws):
    shutil.copytree(screws, screws.parent / "nuts")
    with pytest.raises(InputError, match=r"found 2: name one of .*/nuts, .*/screws"):
        datasets.load(screws.parent)


def test_masks_among_unlabeled_images_are_left_out(photos):
    draw(Path("photos/mask/b.png"), 255)
    source = datasets.load("photos")
    assert len(source.names) == 3
    assert source.remarks == ["left out 1 files in folders of masks or measurements"]


def test_class_folders_are_contaminated_as_labels_are(tmp_path):
    for kind, n in (("cats", 20), ("dogs", 5)):
        for i in range(n):
            draw(tmp_path / kind / f"{i}.png", 10 * i)
    source = datasets.load(tmp_path)
    assert set(source.labels.tolist()) == {-1}
    assert len(datasets.contaminate(source).names) == 25
    dataset = datasets.contaminate(source, ["cats"], contam=0.1)
    assert sorted(dataset.labels.tolist()) == [0] * 20 + [1] * 2
    assert [name.split("/")[-2] for name in dataset.names] == [
        {0: "cats", 1: "dogs"}[label] for label in dataset.labels.tolist()
    ]
    assert dataset.images.shape == (22, 6, 4, 1)
    values = (dataset.images[:][:, 0, 0, 0] * 255 / 10).round().astype(int)
    assert [f"{value}.png" for value in values] == [name.split("/")[-1] for name in dataset.names]


def test_contaminated_folder_keeps_masks_and_quality_in_step_with_its_images(screws, rng):
    odd = screws / "test" / "bent" / "000.png"
    odd.write_bytes(cv2.imencode(".png", rng.integers(0, 256, (6, 4), np.uint8))[1].tobytes())
    source = datasets.load(str(screws), "all")
    dataset = datasets.contaminate(source, "good", contam=1.0, seed=3)
    assert sorted(dataset.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert dataset.names != sorted(dataset.names)
    marked = [None if mask is None else str(mask.image) for mask in dataset.masks]
    named = zip(dataset.names, dataset.labels, strict=True)
    assert marked == [name if label else None for name, label in named]
    blank = ["blank" in text for text in dataset.quality["quality"]]
    assert blank == [name != str(odd) for name in dataset.names]


def test_label_without_class_folders_is_refused(photos):
    source = datasets.load(photos)
    for given in ({"valid_label": ["cats"]}, {"anomaly_label": ["dogs"]}, {"contam": 0.1}):
        with pytest.raises(InputError, match="expected a folder for each class in photos"):
            datasets.contaminate(source, **given)


def test_duplicates_and_quality_are_found_in_a_folder(write, rng):
    scene = rng.integers(0, 256, (20, 20), np.uint8)
    for name in ("a", "c"):
        write(f"set/{name}.png", scene)
    write("set/b.png", rng.integers(0, 256, (20, 20), np.uint8))
    blank = write("set/d.png", np.zeros((20, 20), np.uint8))
    dataset = datasets.label_by_class(datasets.load(blank.parent), None)
    assert dataset.quality["duplicate_of"] == ["", "", str(blank.parent / "a.png"), ""]
    assert dataset.quality["quality"][3].startswith("blank")
    assert dataset.groups.tolist() == [0, 1, 0, 3]


def test_files_of_a_manifest_are_taken_in_its_order_with_its_labels(photos):
    names, labels = ["photos/b.png", "photos/a/z.png"], np.array([1, 0], np.int8)
    source = image_folders.load_files(names, labels, Reading((3, 5), True))
    assert source.names == names
    assert source.images.shape == (2, 3, 5, 1)
    assert source.images[:].shape == (2, 3, 5, 1)
    np.testing.assert_allclose(source.images[:].mean((1, 2, 3)), [0.2, 0.4], atol=1e-6)
    assert datasets.label_by_class(source, None).labels.tolist() == [1, 0]


def test_files_of_a_manifest_that_are_missing_or_broken_are_named(photos):
    labels = np.zeros(3, np.int8)
    names = ["photos/b.png", "photos/gone.png", "photos/lost.png"]
    with pytest.raises(InputError, match=r"photos/gone\.png.*no such file \(nor 1 more\)"):
        image_folders.load_files(names, labels)
    with pytest.raises(InputError, match=r"can't be decoded .*photos/a/broken\.png"):
        image_folders.load_files(["photos/b.png", "photos/a/broken.png"], labels[:2])


def test_files_of_a_manifest_in_windows_1252_are_found_by_their_names(photos):
    names = ["photos/b.png", "photos/a/\udce9.bmp"]
    source = image_folders.load_files(names, np.zeros(2, np.int8), Reading((3, 3)))
    assert source.names == ["photos/b.png", "photos/a/é.bmp"]
    # The file of this very name comes first.
    draw(Path("photos/a/\udce9.bmp"), 0)
    assert image_folders.load_files(names, np.zeros(2, np.int8), Reading((3, 3))).names == names
    for name in ("photos/a/\udcf6.bmp", "photos/a/\udc81.bmp"):  # the second is in no such table
        with pytest.raises(
            InputError, match="no such file: .* or save the manifest as CSV in UTF-8"
        ):
            image_folders.load_files([name], np.zeros(1, np.int8))


def test_classes_are_several_folders_and_no_single_one(tmp_path):
    draw(tmp_path / "a" / "1.png", 10)
    assert datasets.load(str(tmp_path)).classes is None
    draw(tmp_path / "b" / "2.png", 20)
    assert datasets.load(str(tmp_path)).classes.tolist() == ["a", "b"]


def test_own_pictures_are_noted_unless_they_lie_among_masks(tmp_path):
    for name in ("good/own.png", "ground_truth/bad/own.png", "good/a.png", "bad/b.png"):
        draw(tmp_path / name, 10)
        if "own" in name:
            path = tmp_path / name
            path.write_bytes(ownership.mark_png(path.read_bytes()))
    source = datasets.load(str(tmp_path))
    assert source.own_pictures == [str(tmp_path / "good" / "own.png")]
    assert source.names == [str(tmp_path / "good" / "a.png")]


def test_ratio_of_width_to_height_is_noted_to_four_digits(tmp_path):
    draw(tmp_path / "a.png", 10, shape=(65, 81))
    assert datasets.load(str(tmp_path)).images.facts["aspect"] == 1.2462
