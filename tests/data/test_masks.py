import numpy as np
import pytest
from PIL import Image

from pyimagesearch import InputError
from pyimagesearch.data.masks import Mask, find_inverted, load_masks

MARKED = np.zeros((6, 9), bool)
MARKED[1:3, 4:8] = True


@pytest.fixture
def image(tmp_path):
    """Path of a photo of 6 x 9 pixels."""
    Image.new("RGB", (9, 6)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def loaded(image, mask, size=(6, 9), **options):
    """What is marked by a mask, an image of Pillow, that lies on an image file."""
    path = image.parent / "mask.png"
    mask.save(path)
    return load_masks([Mask((path,), image, **options)], size)[0]


def with_alpha(color):
    """A mask of one color that is opaque where it marks."""
    pixels = np.full((6, 9, 4), color, np.uint8)
    pixels[..., 3] = 255 * MARKED
    return Image.fromarray(pixels)


def with_palette(first, second):
    """A mask with a palette of two colors."""
    mask = Image.fromarray(MARKED.astype(np.uint8)).convert("P")
    mask.putpalette([*first, *second])
    return mask


def in_blue(value):
    """A mask in the blue channel alone."""
    pixels = np.zeros((6, 9, 3), np.uint8)
    pixels[..., 2] = value * MARKED
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(Image.fromarray(MARKED), id="1 bit"),
        pytest.param(Image.fromarray(np.uint8(MARKED)), id="0 and 1"),
        pytest.param(Image.fromarray(np.uint8(MARKED * 3)), id="a number of a class"),
        pytest.param(Image.fromarray(np.uint8(MARKED * 255)), id="0 and 255"),
        pytest.param(Image.fromarray(np.uint16(MARKED)), id="16 bits, 1"),
        pytest.param(Image.fromarray(np.uint16(MARKED * 65535)), id="16 bits, white"),
        pytest.param(Image.fromarray(np.uint8(MARKED * 215 + 20)), id="gray levels of a JPEG"),
        pytest.param(in_blue(255), id="blue"),
        pytest.param(in_blue(1), id="hardly blue"),
        pytest.param(with_palette((0, 0, 0), (128, 0, 0)), id="palette"),
        pytest.param(with_palette((255, 255, 255), (255, 0, 0)), id="palette on white"),
        pytest.param(with_palette((0, 0, 0), (255, 255, 255)), id="palette of gray"),
        pytest.param(with_alpha(0), id="black paint on nothing"),
        pytest.param(with_alpha(255), id="white paint on nothing"),
    ],
)
def test_mask_is_understood_in_every_form(image, mask):
    np.testing.assert_array_equal(loaded(image, mask), MARKED)


def test_of_soft_edges_half_counts(image):
    soft = np.zeros((6, 9), np.uint8)
    soft[0] = 127
    soft[1] = 128
    soft[2] = 255
    marked = loaded(image, Image.fromarray(soft))
    assert marked.all(axis=1).tolist() == [False, True, True, False, False, False]


def test_none_marks_nothing_and_several_masks_add_up(image):
    paths = []
    for row in (0, 5):
        pixels = np.zeros((6, 9), np.uint8)
        pixels[row] = 255
        paths.append(image.parent / f"{row}.png")
        Image.fromarray(pixels).save(paths[-1])
    masks = load_masks([None, Mask(tuple(paths), image)], (6, 9))
    assert not masks[0].any()
    assert masks[1].any(axis=1).tolist() == [True, False, False, False, False, True]


def test_masks_are_resized_to_the_nearest_pixel_and_to_height_and_width(tmp_path):
    middle = np.zeros((3, 3), np.uint8)
    middle[1, 1] = 255
    square = tmp_path / "square.png"
    Image.new("L", (3, 3)).save(square)
    assert loaded(square, Image.fromarray(middle), (1, 1)).all()
    larger = loaded(square, Image.fromarray(middle), (6, 9))
    np.testing.assert_array_equal(larger, np.kron(middle > 0, np.ones((2, 3), bool)))


def test_mask_is_padded_and_cropped_as_its_image(image):
    mask = Image.fromarray(MARKED)
    padded = loaded(image, mask, (9, 9), aspect_ratio="pad")
    np.testing.assert_array_equal(padded[1:7], MARKED)
    assert not padded[[0, 7, 8]].any()
    cropped = loaded(image, mask, (6, 6), aspect_ratio="crop")
    np.testing.assert_array_equal(cropped, MARKED[:, 1:7])


def test_mask_that_was_drawn_on_the_stored_pixels_is_turned_with_its_photo(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise shows it as the camera was held
    photo = tmp_path / "photo.jpg"
    Image.new("RGB", (9, 6)).save(photo, exif=exif)
    turned = np.rot90(MARKED, -1)
    for mask in (MARKED, turned):
        found = loaded(photo, Image.fromarray(np.ascontiguousarray(mask)), (9, 6))
        np.testing.assert_array_equal(found, turned)


def test_mask_of_another_shape_is_refused_with_both_names(image):
    with pytest.raises(InputError, match=r"9x6 pixels .*photo\.png has, found 6x9 in .*mask\.png"):
        loaded(image, Image.fromarray(MARKED.T.copy()))


def test_mask_that_cannot_be_read_is_named(image, tmp_path):
    (tmp_path / "a_mask.png").write_text("no picture")
    for name in ("a_mask.png", "none.png"):
        with pytest.raises(InputError, match=name):
            load_masks([None, Mask((tmp_path / name,), image)], (4, 4))


def test_inverted_mask_is_told_by_what_it_marks(image):
    masks = []
    for name, pixels in (("right", MARKED), ("inverted", ~MARKED)):
        Image.fromarray(pixels).save(image.parent / f"{name}.png")
        masks.append(Mask((image.parent / f"{name}.png",), image))
    masks.append(None)
    assert find_inverted(load_masks(masks, (6, 9)), masks) == [masks[1]]


def test_mask_that_cannot_be_decoded_is_named_with_its_reason(image):
    (image.parent / "mask.png").write_text("text")
    with pytest.raises(
        InputError, match=r"a mask in .*mask\.png, .*\(not an image\): get it again"
    ):
        load_masks([Mask((image.parent / "mask.png",), image)], (6, 9))


def test_mask_of_an_image_that_cannot_be_decoded_is_named_with_it(image):
    Image.fromarray(MARKED).save(image.parent / "mask.png")
    image.write_text("text")
    with pytest.raises(
        InputError, match=r"the image .*photo\.png of the mask .*, found not an image"
    ):
        load_masks([Mask((image.parent / "mask.png",), image)], (6, 9))
