import cv2
import numpy as np
import pytest
from PIL import Image

from pyimagesearch.data import decoding, resizing
from pyimagesearch.data.image_files import ImageFiles


def test_shrinking_averages_areas():
    stripes = np.zeros((32, 32, 1), np.uint8)
    stripes[:, ::4] = 200
    np.testing.assert_array_equal(resizing.resize(stripes, (8, 8)), np.full((8, 8, 1), 50))


def test_enlarging_interpolates():
    image = resizing.resize(np.uint8([[[0], [200]]]), (1, 8))
    assert (np.diff(image.ravel().astype(int)) >= 0).all()
    assert len(np.unique(image)) > 3


@pytest.mark.parametrize("shape", [(4096, 120), (120, 4096), (2000, 200), (300, 200)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_pixel_is_left_out_when_one_side_shrinks_and_the_other_grows(shape, dtype):
    """A bright spot of 16 pixels adds what it is worth, wherever it lies."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        image = np.zeros((*shape, 1), dtype)
        top, left = (rng.integers(0, side - 4) for side in shape)
        image[top : top + 4, left : left + 4] = 40_000 if dtype == np.uint16 else 250
        found = resizing.resize(image, (128, 128)).astype(float)
        assert found.max() > 0
        if dtype == np.uint16:  # averages over 2 or 3 pixels, say, where the ratio is 2.3
            assert found.mean() == pytest.approx(image.mean(), rel=0.4)


def test_channels_and_sides_keep_their_order():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:2, :4, 0], image[:2, 4:, 1], image[2:, :4, 2] = 100, 150, 200
    for dtype in (np.uint8, np.uint16):
        small = resizing.resize(image.astype(dtype), (2, 2))
        assert small.tolist() == [[[100, 0, 0], [0, 150, 0]], [[0, 0, 200], [0, 0, 0]]]


def test_crop_takes_the_middle_and_pad_keeps_all():
    image = np.arange(12, dtype=np.uint8).reshape(2, 6, 1)
    white = np.float32([255, 255, 255])
    assert resizing.crop(image, (2, 2), white)[..., 0].tolist() == [[2, 3], [8, 9]]
    padded = resizing.pad(image, (6, 6), white)[..., 0]
    np.testing.assert_array_equal(padded[2:4], image[..., 0])
    assert (padded[[0, 1, 4, 5]] == 255).all()
    assert resizing.pad(image.repeat(3, 2), (4, 6), np.float32([1, 2, 3]))[0, 0].tolist() == [
        1,
        2,
        3,
    ]


def test_reduced_jpeg_is_as_exact_as_a_whole_one(tmp_path):
    """Within two gray levels on average of area averages of all pixels."""
    rng = np.random.default_rng(0)
    detail = cv2.GaussianBlur(rng.integers(0, 256, (1200, 1600, 3), np.uint8), (0, 0), 1)
    ramp = np.linspace(0, 255, 1600, dtype=np.uint8)[None, :, None]
    image = Image.fromarray((detail // 3 + ramp // 3 * 2).astype(np.uint8))
    image.save(tmp_path / "a.jpg", quality=92)
    for size in ((256, 256), (250, 190)):
        whole = resizing.resize(decoding.read_pixels(tmp_path / "a.jpg")[0], size) / 255
        fast = ImageFiles([tmp_path / "a.jpg"], size)[0]
        assert np.abs(fast - whole).mean() * 255 < 2


@pytest.mark.parametrize("shape", [(1000, 1, 1), (1, 1000, 1)])
@pytest.mark.parametrize("fit", resizing.ASPECT_RATIOS)
def test_stripe_of_one_pixel_fits_into_any_size(shape, fit):
    pixels = np.full(shape, 9, np.uint8)
    for size in ((3, 100), (100, 3)):
        found = resizing.ASPECT_RATIOS[fit](pixels, size, np.float32([0, 0, 0]))
        assert found.shape == (*size, 1)
        assert found.max() == 9
