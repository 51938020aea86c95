import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import arrays
from pyimagesearch.data.arrays import as_images


@pytest.mark.parametrize(
    ("array", "largest"),
    [
        (np.full((2, 3, 4), 255, np.uint8), 1),
        (np.full((2, 3, 4, 3), 51, np.int64), 0.2),
        (np.full((2, 3, 4), 255.0), 1),
        (np.full((2, 3, 4), 0.5, np.float16), 0.5),
        (np.ones((2, 3, 4), bool), 1),
        (np.ones((1, 1, 1), np.uint8), 1),
        (np.zeros((2, 3, 4), np.uint8), 0),
    ],
)
def test_images_of_any_numeric_dtype_are_converted_to_the_common_form(array, largest):
    images, _ = as_images(array, "these")
    assert images.dtype == np.float32
    assert images.ndim == 4
    assert images.shape[:3] == array.shape[:3]
    assert images.max() == pytest.approx(largest)


def test_rescaling_is_reported():
    assert "0 to 255" in as_images(np.full((1, 2, 2), 200.0), "these")[1]
    assert as_images(np.full((1, 2, 2), 0.7), "these")[1] is None


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"found float64 of shape \(4, 4\)"),
        (np.zeros((0, 4, 4)), "at least one image"),
        (np.zeros((3, 0, 4)), "at least one image"),
        (np.full((1, 2, 2), np.inf), "NaN or infinity"),
        (np.array([[[0, np.nan]]]), "NaN or infinity"),
        (np.full((1, 2, 2), -0.1), "found -0.1 to -0.1"),
        (np.full((1, 2, 2), 1.02), "found 1.02 to 1.02"),
        (np.full((1, 2, 2), 1.00001), "found 1.00001 to 1.00001"),
        (np.full((1, 2, 2), 256), "found 256 to 256"),
        (np.full((1, 2, 2), 1j), "complex128"),
        (np.full((1, 2, 2), "a"), "<U1"),
    ],
)
def test_array_that_is_not_of_images_is_refused(array, message):
    with pytest.raises(InputError, match=message):
        as_images(array, "these")


@pytest.mark.parametrize(
    ("dtype", "white", "beyond"),
    [(np.float64, 1, 1 + 1e-7), (np.float32, 1, 1 + 2**-23), (np.float64, 255, 255 + 1e-5)],
)
def test_pixels_that_rounding_has_put_beyond_the_range_are_clipped(dtype, white, beyond):
    images, _ = as_images(np.array([[[-1e-8, beyond, white / 2]]], dtype), "these")
    assert images.ravel().tolist() == [0, 1, 0.5]


def test_whole_numbers_that_are_only_0_and_1_are_black_and_white_and_said_to_be():
    for dtype, said in ((np.uint8, True), (np.float32, False), (bool, False)):
        images, remark = as_images(np.array([[[0, 1]]], dtype), "these")
        assert images.max() == 1
        assert (remark == "these: only 0 and 1, taken as black and white") == said


def test_memmap_is_read_again_after_its_pages_are_released(tmp_path, rng):
    array = rng.integers(0, 256, (50, 4, 4, 1), np.uint8)
    np.save(tmp_path / "a.npy", array)
    mapped = arrays.MemmapImages(np.load(tmp_path / "a.npy", mmap_mode="r"), 255)
    for _ in range(2):
        np.testing.assert_array_equal(mapped[[3, 7]], array[[3, 7]] / np.float32(255))
    arrays.release_pages(array)
    assert array.sum() > 0


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_one_pixel_that_is_not_finite_is_named_as_such(wrong):
    images = np.full((3, 2, 2), 0.5)
    images[1, 0, 1] = wrong
    with pytest.raises(InputError, match="expected finite pixels in these, found NaN or infinity"):
        as_images(images, "these")


def test_rounding_beyond_white_alone_is_cut_off():
    assert arrays.to_unit(np.array([0.5, 1.0000001]), 1).max() == 1


def test_numbers_are_equal_to_lists_of_the_same_and_to_nothing_else():
    numbers = arrays.Numbers(3)
    assert numbers == ["0", "1", "2"]
    assert numbers != ["0", "1"]
    assert numbers != 3
    assert numbers != {"0": 0, "1": 1, "2": 2}
