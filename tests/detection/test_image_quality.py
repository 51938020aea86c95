import cv2
import numpy as np
import pytest

from pyimagesearch.detection.image_quality import BANDS, N_NUMBERS, sharpness_and_exposure


@pytest.fixture
def photo(rng):
    """Texture of all sizes, `(40, 56, 3)`, neither very dark nor very bright."""
    noise = sum(
        cv2.resize(rng.random((5 * n, 7 * n, 3), np.float32), (56, 40)) for n in (1, 2, 4, 8)
    )
    return (0.2 + 0.6 * noise / 4).astype(np.float32)


def describe(image):
    return sharpness_and_exposure(image[np.newaxis]).numpy()[0]


def test_blur_takes_the_finest_band_most(photo):
    loss = describe(photo) - describe(cv2.GaussianBlur(photo, (0, 0), 2))
    assert loss[0] > loss[2] > 0
    assert loss[0] > 1


def test_shares_of_white_and_black_are_counted_by_pixel(photo):
    image = photo.copy()
    image[:10] = 1  # a fourth
    image[10:12] = 0  # a twentieth
    assert describe(image)[BANDS:] == pytest.approx(np.log([0.26, 0.06]), abs=1e-4)
    assert describe(photo)[BANDS:] == pytest.approx(np.log([0.01, 0.01]), abs=1e-4)


def test_values_of_8_bits_on_the_limit_count(photo):
    image = np.full_like(photo, 250 / 255)
    image[:20] = 5 / 255
    assert describe(image)[BANDS:] == pytest.approx(np.log([0.51, 0.51]), abs=1e-4)
    image[:20], image[20:] = 6 / 255, 249 / 255
    assert describe(image)[BANDS:] == pytest.approx(np.log([0.01, 0.01]), abs=1e-4)


def test_bands_are_of_the_brightness_each_of_half_the_size(rng):
    """By OpenCV, on an image whose sides can be halved five times."""
    image = rng.random((64, 32, 3), np.float32) * np.float32([1, 0.5, 0.2])
    x, expected = image @ [0.299, 0.587, 0.114], []
    for _ in range(BANDS):
        coarse = cv2.resize(x, (x.shape[1] // 2, x.shape[0] // 2), interpolation=cv2.INTER_AREA)
        band = x - cv2.resize(coarse, x.shape[::-1], interpolation=cv2.INTER_LINEAR)
        expected.append(np.log(band.std() + 2e-3))
        x = coarse
    assert describe(image)[:BANDS] == pytest.approx(expected, abs=1e-3)


def test_gray_and_color_of_the_same_gray_are_alike(photo):
    gray = photo[..., :1]
    np.testing.assert_allclose(describe(gray), describe(gray.repeat(3, 2)), atol=2e-3)


def test_numbers_are_as_many_as_the_reference_expects(photo):
    assert describe(photo).shape == (N_NUMBERS,) == (7,)
