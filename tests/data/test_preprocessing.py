import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import datasets, preprocessing
from pyimagesearch.data.image_folders import Reading

PREPROCESSING = {"aspect_ratio": "pad", "background": [1, 2, 3], "maximum": 4095}


def test_what_training_notes_is_what_detection_reads(write):
    write("a.png", np.full((4, 8), 3000, np.uint16))
    source = datasets.load(
        str(write("b.png", np.full((4, 8), 200, np.uint16)).parent),
        size=(8, 6),
        aspect_ratio="pad",
        background=(1, 2, 3),
    )
    reading = preprocessing.reading_for(source.images.shape[1:], source.images.preprocessing)
    assert reading == Reading((8, 6), True, "pad", (1, 2, 3), 4095)
    # A dimmer image alone is not brightened.
    dim = datasets.open_dataset(
        str(write("new/b.png", np.full((4, 8), 200, np.uint16))), reading=reading
    )
    np.testing.assert_array_equal(dim.images[0], source.images[1])
    assert dim.images[0].max() == np.float32(200 / 4095)


@pytest.mark.parametrize(
    "change",
    [
        {"aspect_ratio": "stretched"},
        {"aspect_ratio": []},
        {"background": [1, 2]},
        {"background": [1, 2, 256]},
        {"background": 7},
        {"maximum": 254},
        {"maximum": 65536},
        {"maximum": 4095.0},
        {"maximum": True},
    ],
    ids=str,
)
def test_preprocessing_that_training_would_not_write_is_refused(change):
    assert preprocessing.reading_for((4, 4, 1), PREPROCESSING).maximum == 4095
    with pytest.raises(InputError, match="expected the preprocessing in the settings"):
        preprocessing.reading_for((4, 4, 1), {**PREPROCESSING, **change})


def test_images_unlike_those_of_the_training_are_told(write):
    gray = datasets.load(str(write("gray/a.png", np.full((8, 8), 7, np.uint8)).parent)).images
    assert preprocessing.differences(gray, gray.facts) == []
    deep = datasets.load(str(write("deep/a.png", np.full((8, 13, 3), 700, np.uint16)).parent))
    color = datasets.load(str(write("c/a.png", np.full((8, 8, 3), (1, 2, 3), np.uint8)).parent))
    assert [text.split(", and these are ")[1] for text in told(color.images, gray)] == [
        "images in color"
    ]
    assert "images of more than 8 bits" in told(deep.images, gray)[0]
    assert "is 1.00, and that of these is 1.62" in told(deep.images, gray)[1]
    assert preprocessing.differences(np.zeros((1, 8, 8, 1), np.float32), gray.facts) == []
    assert preprocessing.differences(gray, None) == []


def told(images, other):
    """The differences of images from others that a model was trained on."""
    return preprocessing.differences(images, other.facts)


def test_several_paths_are_read_in_their_order_each_file_once(photos):
    dataset = datasets.open_dataset(["photos/b.png", "photos/a", "photos/b.png"])
    assert dataset.names == ["photos/b.png", "photos/a/z.png", "photos/a/é.bmp"]
    assert dataset.labels.tolist() == [-1, -1, -1]
    assert list(dataset.skipped) == ["photos/a/broken.png"]


def test_one_image_is_a_dataset(photos):
    assert datasets.open_dataset("photos/b.png").images.shape == (1, 6, 4, 1)


def test_ratio_of_width_to_height_is_told_beyond_one_and_a_half_times(write):
    images = datasets.load(str(write("a/a.png", np.full((8, 12), 7, np.uint8)).parent)).images
    facts = {"is_gray": True, "is_deep": False}
    for aspect, told in ((1.0, 0), (0.99, 1), (2.25, 0), (2.26, 1), (0, 0), (-1.0, 0), ("1", 0)):
        assert len(preprocessing.differences(images, {**facts, "aspect": aspect})) == told
