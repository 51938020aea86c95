import io

import cv2
import numpy as np
from PIL import Image

from pyimagesearch.data import image_quality


def noted(images, sizes=None):
    """What is noted of images."""
    sizes = sizes or [image.shape[:2] for image in images]
    notes = [image_quality.note(*pair) for pair in zip(images, sizes, strict=True)]
    return np.array(notes, image_quality.NOTES)


def scenes(rng, n=30, shape=(60, 80)):
    """Color images of smooth blobs with some fine detail, none like another."""
    images = []
    for _ in range(n):
        blobs = cv2.GaussianBlur(rng.integers(0, 256, (*shape, 3), np.uint8), (0, 0), 8)
        blobs = cv2.normalize(blobs, None, 60, 200, cv2.NORM_MINMAX)
        images.append(np.uint8(blobs + rng.integers(0, 20, (*shape, 3))))
    return images


def test_bad_images_are_named_and_usual_ones_are_not(rng):
    images = scenes(rng)
    images[3] = np.full((60, 80, 3), 255, np.uint8)
    images[5] = cv2.GaussianBlur(images[5], (0, 0), 3)
    images[8] = images[8] // 8
    images[13] = np.uint8(218 + images[13] // 6)
    issues = image_quality.find_issues(noted(images))
    assert {i: issue for i, issue in enumerate(issues) if issue} == {
        3: "blank bright",
        5: "blurred",
        8: "dark",
        13: "bright",
    }


def test_odd_size_and_aspect_are_those_of_the_files_before_reduction(rng):
    images = scenes(rng)
    sizes = [(600, 800)] * len(images)
    sizes[2], sizes[4] = (6000, 8000), (900, 500)
    issues = image_quality.find_issues(noted(images, sizes))
    assert {i: issue for i, issue in enumerate(issues) if issue} == {2: "odd-size", 4: "odd-aspect"}


def test_what_many_images_have_is_no_issue_but_blank_is(rng):
    images = [image // 4 for image in scenes(rng)]
    for i in range(10):
        images[i] = np.zeros((60, 80, 3), np.uint8)
    issues = image_quality.find_issues(noted(images))
    assert issues == ["blank"] * 10 + [""] * 20


def test_duplicates_are_found_after_saving_and_resizing_again(rng):
    images = scenes(rng)
    data = io.BytesIO()
    Image.fromarray(images[4]).save(data, "JPEG", quality=70)
    images.append(np.asarray(Image.open(data)))
    images.append(np.asarray(Image.fromarray(images[9]).resize((160, 120))))
    images.append(images[4])
    images += [np.full((60, 80, 3), value, np.uint8) for value in (0, 0)]  # blank, not alike
    expected = [*range(30), 4, 9, 4, 33, 34]
    assert image_quality.find_duplicates(noted(images)).tolist() == expected


def test_duplicates_are_found_however_many_there_are(rng):
    first, second = scenes(rng, 2)
    assert image_quality.find_duplicates(noted([first, *[second] * 40])).tolist() == [0] + [1] * 40


def test_duplicates_among_some_of_the_images_refer_to_these(rng):
    a, b = scenes(rng, 2)
    quality = image_quality.Quality.of(noted([a, b, a, a]))
    assert quality.columns("abcd")["duplicate_of"] == ["", "", "a", "a"]
    some = quality.select([3, 1, 2])
    assert some.columns("dbc")["duplicate_of"] == ["", "", "d"]


def test_12_bits_are_judged_by_their_own_range(rng):
    gray = np.uint16(scenes(rng, 1)[0][..., 0]) * 16
    notes = noted([gray])
    assert notes["highest"][0] == gray.max()
    assert 60 < notes["high"][0] < 230
    assert image_quality.white_level(notes) == 4095


def test_notes_are_of_a_copy_of_at_most_256_pixels_a_side():
    for size, expected in (
        ((1024, 512), (256, 128)),
        ((300, 100), (256, 85)),
        ((100, 3), (100, 3)),
        ((5120, 1), (256, 1)),
    ):
        assert image_quality._fit(size) == expected


def test_image_without_inner_pixels_has_no_sharpness():
    notes = noted([np.uint8([[0, 255], [255, 0]])])
    assert notes["sharpness"].item() == 0


def test_white_is_the_next_power_of_2_of_deep_images_and_all_16_bits_without():
    for pixels, expected in (
        (np.full((4, 4), 200, np.uint8), 65535),
        (np.full((4, 4), 3, np.uint16), 255),
        (np.full((4, 4), 912, np.uint16), 1023),
    ):
        assert image_quality.white_level(noted([pixels])) == expected
