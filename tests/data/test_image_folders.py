import shutil
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import datasets, image_folders
from pyimagesearch.data.image_folders import load_masks
from tests.data.conftest import draw


def test_folder_without_layout_is_unlabeled_and_sorted(photos):
    source = datasets.load(photos)
    assert source.name == "photos"
    assert source.names == ["photos/a/z.png", "photos/a/é.bmp", "photos/b.png"]
    assert source.skipped == ["photos/a/broken.png"]
    assert source.labels.tolist() == [-1, -1, -1]
    assert source.labels.dtype == np.int8
    assert (source.classes, source.masks) == (None, None)
    assert source.images.shape == (3, 6, 4, 3)
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
    assert (train.labels.tolist(), train.masks, train.classes) == ([0, 0], None, None)
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
    assert datasets.load(screws, "test").masks == test
    both = datasets.load(screws, "all")
    assert both.masks == [None, None, *test]
    assert datasets.label_by_class(both, None).masks == both.masks
    assert datasets.contaminate(both).masks == both.masks


def test_mvtec_image_without_its_mask_is_named_with_the_mask_expected(screws):
    (screws / "ground_truth" / "bent" / "001.png").unlink()
    with pytest.raises(
        InputError, match=r"test/bent/001\.png at .*ground_truth/bent/001_mask\.png"
    ):
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
    assert test.skipped == [str(screws / "test" / "bent" / "000.png")]
    assert test.labels.tolist() == [1, 0, 1]
    assert [mask and mask.name for mask in test.masks] == ["001.png", None, "000_mask.bmp"]


def test_mvtec_test_image_outside_of_any_defect_is_refused(screws):
    draw(screws / "test" / "stray.png", 1)
    with pytest.raises(InputError, match=r"good/, found .*stray\.png"):
        datasets.load(screws, "test")


def test_mvtec_of_defects_in_nested_folders_is_paired_too(screws):
    draw(screws / "test" / "bent" / "left" / "7.png", 1)
    draw(screws / "ground_truth" / "bent" / "left" / "7_mask.png", 1)
    masks = datasets.load(screws, "test").masks
    assert screws / "ground_truth" / "bent" / "left" / "7_mask.png" in masks


def test_half_of_the_mvtec_layout_is_an_unlabeled_folder(screws):
    shutil.rmtree(screws / "test")
    assert set(datasets.load(screws).labels.tolist()) == {-1}


def test_files_of_a_manifest_are_taken_in_its_order_with_its_labels(photos):
    names, labels = ["photos/b.png", "photos/a/z.png"], np.array([1, 0], np.int8)
    source = image_folders.load_files(names, labels, size=(3, 3), grayscale=True)
    assert source.names == names
    assert source.images.shape == (2, 3, 3, 1)
    np.testing.assert_allclose(source.images[:].mean((1, 2, 3)), [0.2, 0.4], atol=1e-6)
    assert datasets.label_by_class(source, None).labels.tolist() == [1, 0]


def test_files_of_a_manifest_that_are_missing_or_broken_are_named(photos):
    labels = np.zeros(3, np.int8)
    names = ["photos/b.png", "photos/gone.png", "photos/lost.png"]
    with pytest.raises(InputError, match=r"photos/gone\.png.*no such file \(nor 1 more\)"):
        image_folders.load_files(names, labels)
    with pytest.raises(InputError, match=r"photos/a/broken\.png.*can't be decoded:"):
        image_folders.load_files(["photos/b.png", "photos/a/broken.png"], labels[:2])


def test_files_of_a_manifest_in_windows_1252_are_found_by_their_names(photos):
    names = ["photos/b.png", "photos/a/\udce9.bmp"]
    source = image_folders.load_files(names, np.zeros(2, np.int8), size=(3, 3))
    assert source.names == ["photos/b.png", "photos/a/é.bmp"]
    # The file of this very name comes first.
    draw(Path("photos/a/\udce9.bmp"), 0)
    assert image_folders.load_files(names, np.zeros(2, np.int8), size=(3, 3)).names == names
    for name in ("photos/a/\udcf6.bmp", "photos/a/\udc81.bmp"):  # the second is in no such table
        with pytest.raises(
            InputError, match="no such file: .* or save the manifest as CSV in UTF-8"
        ):
            image_folders.load_files([name], np.zeros(1, np.int8))


def test_masks_are_true_where_not_black_and_none_is_false_everywhere(write):
    pixels = np.zeros((4, 4), np.uint8)
    pixels[0, 0], pixels[3, 3] = 255, 1
    masks = load_masks([None, write("a.png", pixels)], (4, 4))
    assert masks.dtype == bool
    assert not masks[0].any()
    np.testing.assert_array_equal(masks[1], pixels > 0)


def test_masks_of_16_bits_keep_their_low_values(write):
    path = write("a.png", np.array([[0, 1]], np.uint16))
    assert load_masks([path], (1, 2)).ravel().tolist() == [False, True]


def test_masks_are_resized_to_the_nearest_pixel_and_to_height_and_width(write):
    middle = np.zeros((3, 3), np.uint8)
    middle[1, 1] = 255
    path = write("a.png", middle)
    assert load_masks([path], (1, 1)).all()
    larger = load_masks([path], (6, 9))[0]
    np.testing.assert_array_equal(larger, np.kron(middle > 0, np.ones((2, 3), bool)))


def test_mask_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a_mask.png").write_text("no picture")
    for name in ("a_mask.png", "none.png"):
        with pytest.raises(InputError, match=name):
            load_masks([None, Path(tmp_path, name)], (4, 4))
