import io
import os
import threading
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, features

from pyimagesearch.data import decoding
from pyimagesearch.data.decoding import Unreadable, read_pixels

# Corners that differ, in an image that is not square: any wrong turn and any swapped channel shows.
CORNERS = np.zeros((24, 40, 3), np.uint8)
CORNERS[:12, :20], CORNERS[:12, 20:] = (250, 20, 20), (20, 250, 20)
CORNERS[12:, :20], CORNERS[12:, 20:] = (20, 20, 250), (240, 240, 240)

FORMATS = [
    ("a.png", "PNG", {}),
    ("a.jpg", "JPEG", {"quality": 95, "subsampling": 0}),
    ("a.jfif", "JPEG", {"quality": 95, "subsampling": 0, "progressive": True}),
    ("a.jpe", "MPO", {"quality": 95, "subsampling": 0}),
    ("a.bmp", "BMP", {}),
    ("a.gif", "GIF", {}),
    ("a.webp", "WEBP", {"lossless": True}),
    ("a.tif", "TIFF", {"compression": "tiff_lzw"}),
    ("a.tiff", "TIFF", {}),
    ("a.avif", "AVIF", {"quality": 95}),
]


def encoded(pixels, name, **options):
    """The bytes of an image in a format of Pillow."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, name, **options)
    return data.getvalue()


def assert_upright(pixels):
    """See that pixels are `CORNERS`, of each quarter its middle: lossy formats blur their edges."""
    np.testing.assert_allclose(pixels[6::12, 10::20].astype(int), CORNERS[6::12, 10::20], atol=14)


def reason_of(path):
    """The reason for which a file can't be read."""
    with pytest.raises(Unreadable) as caught:
        read_pixels(path)
    return str(caught.value)


@pytest.mark.parametrize(("name", "kind", "options"), FORMATS, ids=lambda value: str(value))
def test_each_format_is_read_upright_in_rgb_whatever_its_suffix(tmp_path, name, kind, options):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("AVIF NOT TESTED: this Pillow has none")
    data = encoded(CORNERS, kind, **options)
    for file in (name, "wrong.png", "no_suffix"):
        (tmp_path / file).write_bytes(data)
        pixels, size = read_pixels(tmp_path / file)
        assert size == (24, 40)
        assert_upright(pixels)


@pytest.mark.parametrize(("name", "kind", "options"), FORMATS, ids=lambda value: str(value))
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97])
def test_truncated_file_of_each_format_is_broken(tmp_path, rng, name, kind, options, share):
    data = encoded(rng.integers(0, 256, (40, 50, 3), np.uint8), kind, **options)
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    assert reason_of(tmp_path / name) == "broken or truncated"


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_a_trailer_is_whole_and_one_that_is_cut_inside_is_broken(
    tmp_path, rng, progressive
):
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (96, 96, 3), np.uint8), (0, 0), 2)
    data = encoded(pixels, "JPEG", quality=90, progressive=progressive)
    trailer = b"\0\0\0\x18ftypmp42" + rng.bytes(5000).replace(b"\xff\xd9", b"")
    (tmp_path / "motion.jpg").write_bytes(data + trailer)
    np.testing.assert_allclose(read_pixels(tmp_path / "motion.jpg")[0].astype(int), pixels, atol=40)
    half = len(data) // 2
    for cut in (data[:half] + b"\xff\xd9", data[:half] + b"\xff\xd9" + trailer):
        (tmp_path / "cut.jpg").write_bytes(cut)
        assert reason_of(tmp_path / "cut.jpg") == "broken or truncated"


def test_padding_before_the_end_of_a_jpeg_is_harmless(tmp_path):
    data = encoded(CORNERS, "JPEG", quality=95, subsampling=0)
    (tmp_path / "padded.jpg").write_bytes(data[:-2] + b"\0\0" + data[-2:])
    assert_upright(read_pixels(tmp_path / "padded.jpg")[0])


def test_flipped_byte_in_a_png_is_noticed_by_its_checksum(tmp_path, rng):
    data = bytearray(encoded(rng.integers(0, 256, (40, 50, 3), np.uint8), "PNG"))
    data[len(data) // 2] ^= 0x55
    (tmp_path / "a.png").write_bytes(data)
    assert reason_of(tmp_path / "a.png") == "broken or truncated"


# How an image lies in a file whose EXIF names this orientation.
STORED = {
    1: CORNERS,
    2: np.fliplr(CORNERS),
    3: np.rot90(CORNERS, 2),
    4: np.flipud(CORNERS),
    5: CORNERS.transpose(1, 0, 2),
    6: np.rot90(CORNERS),
    7: np.rot90(CORNERS, 2).transpose(1, 0, 2),
    8: np.rot90(CORNERS, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_turns_the_image(tmp_path, kind, orientation):
    stored = STORED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "a"
    path.write_bytes(encoded(np.ascontiguousarray(stored), kind, exif=exif, **options))
    pixels, size = read_pixels(path)
    assert size == pixels.shape[:2] == (24, 40)
    assert_upright(pixels)
    if kind != "TIFF":
        assert decoding.turned_size(*decoding.read_shape(path)) == (24, 40)


def test_broken_exif_is_no_orientation(tmp_path):
    data = encoded(CORNERS, "JPEG", quality=95, exif=b"Exif\0\0nonsense")
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_pixels(tmp_path / "a.jpg")[1] == (24, 40)


def test_first_frame_and_first_page_are_read(tmp_path):
    frames = [Image.fromarray(np.full((4, 6, 3), value, np.uint8)) for value in (10, 200)]
    for kind in ("GIF", "WEBP", "TIFF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        path = tmp_path / kind
        frames[0].save(path, kind, save_all=True, append_images=frames[1:], **options)
        assert read_pixels(path)[0].max() == 10


def test_transparent_pixels_show_the_background_and_hide_their_colors(tmp_path, rng):
    pixels = rng.integers(0, 256, (6, 8, 4), np.uint8)
    pixels[..., 3] = 0
    pixels[0, 0] = 10, 20, 30, 255
    pixels[0, 1] = 0, 100, 200, 128
    path = tmp_path / "a.png"
    path.write_bytes(encoded(pixels, "PNG"))
    found = read_pixels(path)[0]
    assert (found[1:] == 255).all()
    assert found[0, 0].tolist() == [10, 20, 30]
    np.testing.assert_allclose(found[0, 1], [127, 177, 227], atol=1)
    assert read_pixels(path, background=(1, 2, 3))[0][3, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("mode", ["LA", "P", "L"])
def test_transparency_of_any_mode_shows_the_background(tmp_path, mode):
    image = Image.new(mode, (4, 4), 0)
    options = {} if mode == "LA" else {"transparency": 0}
    image.save(tmp_path / "a.png", **options)
    assert (read_pixels(tmp_path / "a.png", background=(9, 9, 9))[0] == 9).all()


def test_16_bits_keep_their_values_in_gray_and_in_color(tmp_path):
    gray = np.arange(912, 912 + 24, dtype=np.uint16).reshape(4, 6)
    color = np.stack([gray, gray + 100, gray + 200], axis=2)
    for suffix in (".png", ".tif"):
        for pixels in (gray, color):
            path = tmp_path / f"a{suffix}"
            assert cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
            found = read_pixels(path)[0]
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, pixels)


def test_16_bits_with_alpha_are_laid_on_the_background(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint16)
    pixels[0, 0] = 100, 200, 300, 65535  # B, G, R and alpha, as OpenCV writes them
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    found = read_pixels(tmp_path / "a.png", background=(255, 0, 0))[0]
    assert found[0, 0].tolist() == [300, 200, 100]
    assert found[0, 1].tolist() == found[1, 1].tolist() == [65535, 0, 0]


def test_cmyk_jpeg_has_the_colors_that_were_saved(tmp_path):
    image = Image.fromarray(CORNERS).convert("CMYK")
    image.save(tmp_path / "a.jpg", quality=95, subsampling=0)
    assert_upright(read_pixels(tmp_path / "a.jpg")[0])


def test_floating_point_pixels_are_refused_by_that_reason(tmp_path):
    Image.fromarray(np.float32([[0.5, 1.5]])).save(tmp_path / "a.tif")
    assert reason_of(tmp_path / "a.tif") == "of floating-point pixels, which are not supported"


def test_reasons_tell_apart_what_is_no_image(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("once upon a time")
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n")
    (tmp_path / "huge.png").touch()
    os.truncate(tmp_path / "huge.png", decoding.MAX_BYTES + 1)
    expected = {
        "pipe.png": "not a regular file",
        "folder.png": "not a regular file",
        "empty.png": "empty",
        "text.png": "not an image",
        "a.jp2": "JPEG 2000, which is not supported",
        "huge.png": "too large",
        "none.png": "missing or without permission",
    }
    assert {name: reason_of(tmp_path / name) for name in expected} == expected


def test_claims_of_size_take_no_memory(tmp_path):
    """A PNG that claims 40,000 x 40,000 pixels, and one that claims a chunk of 4 GiB."""
    data = encoded(CORNERS, "PNG")
    header = (40_000).to_bytes(4, "big") * 2 + data[24:29]
    check = zlib.crc32(b"IHDR" + header).to_bytes(4, "big")
    (tmp_path / "wide.png").write_bytes(data[:16] + header + check + data[33:])
    assert reason_of(tmp_path / "wide.png") == "too large"
    (tmp_path / "chunk.png").write_bytes(data[:33] + b"\xff\xff\xff\xf0IDAT" + data[41:])
    assert reason_of(tmp_path / "chunk.png") == "broken or truncated"


def test_large_jpeg_is_reduced_but_not_below_the_size_asked_for(tmp_path):
    large = np.repeat(np.repeat(CORNERS, 20, axis=0), 20, axis=1)  # 480 x 800
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(large, "JPEG", quality=95))
    (tmp_path / "turned.jpg").write_bytes(encoded(large, "JPEG", quality=95, exif=exif))
    for at_least, shape in (
        (60, (60, 100)),
        (61, (120, 200)),
        (115, (120, 200)),
        (240, (240, 400)),
        (241, (480, 800)),
    ):
        pixels, size = read_pixels(tmp_path / "a.jpg", at_least)
        assert (pixels.shape[:2], size) == (shape, (480, 800))
        draft = Image.open(tmp_path / "a.jpg")
        draft.draft("RGB", (at_least, at_least))
        np.testing.assert_array_equal(pixels, np.asarray(draft))  # so that others can do the same
    pixels, size = read_pixels(tmp_path / "turned.jpg", at_least=61)
    assert (pixels.shape[:2], size) == ((200, 120), (800, 480))


def test_files_are_decoded_in_threads_at_the_same_time(tmp_path):
    """None of them keeps Python's lock: that of another thread goes on while one decodes."""
    large = np.random.default_rng(0).integers(0, 256, (3000, 3000, 3), np.uint8)
    (tmp_path / "a.jpg").write_bytes(encoded(large, "JPEG", quality=95))
    steps, done = [], threading.Event()

    def count():
        while not done.is_set():
            steps.append(None)
            done.wait(0.002)

    counter = threading.Thread(target=count)
    counter.start()
    read_pixels(tmp_path / "a.jpg")
    done.set()
    counter.join()
    assert len(steps) > 10


@pytest.mark.parametrize(
    ("mode", "options", "side"),
    [
        ("RGB", {"format": "PNG"}, 6860),
        ("RGBA", {"format": "PNG"}, 6860),
        ("L", {"format": "PNG"}, 10_840),
        ("RGB", {"format": "JPEG", "progressive": True}, 7670),
        ("RGB", {"format": "JPEG"}, 21_670),
        ("RGB", {"format": "TIFF", "compression": "tiff_deflate"}, 6860),
    ],
)
def test_image_of_too_many_pixels_for_its_bytes_is_refused_before_it_is_decoded(
    tmp_path, monkeypatch, mode, options, side
):
    """A pixel of it takes 10 bytes, of gray 4, of a JPEG 1 or 8: at most 448 MiB or 24 each."""
    # In the header alone, a few pixels less or more.
    monkeypatch.setattr(decoding, "MAX_DECODED_BYTES", decoding.MAX_DECODED_BYTES // 100)
    monkeypatch.setattr(decoding, "MAX_GROWTH", 0)
    path, side = tmp_path / "a", side // 10
    Image.new(mode, (side - 5, side - 5)).save(path, **options)
    assert decoding.read_pixels(path)[1] == (side - 5, side - 5)
    Image.new(mode, (side + 5, side + 5)).save(path, **options)
    with pytest.raises(decoding.Unreadable, match="of too many pixels for so small a file"):
        decoding.read_pixels(path)
    monkeypatch.setattr(decoding, "MAX_GROWTH", 10**4)
    assert decoding.read_pixels(path)[1] == (side + 5, side + 5)


def test_color_of_16_bits_takes_24_bytes_a_pixel(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((10, 10, 3), np.uint16))
    cv2.imwrite(str(tmp_path / "gray.png"), np.zeros((10, 10), np.uint16))
    monkeypatch.setattr(decoding, "MAX_GROWTH", 0)
    for most, reason in ((2400, None), (2399, "of too many pixels for so small a file")):
        monkeypatch.setattr(decoding, "MAX_DECODED_BYTES", most)
        if reason is None:
            assert read_pixels(tmp_path / "a.png")[1] == (10, 10)
        else:
            assert reason_of(tmp_path / "a.png") == reason
        assert read_pixels(tmp_path / "gray.png")[1] == (10, 10)


@pytest.mark.parametrize(
    ("values", "fits"), [((0, 65535), True), ((-1, 5), False), ((5, 65536), False)]
)
def test_gray_of_32_bits_is_read_where_16_hold_it(tmp_path, values, fits):
    Image.fromarray(np.int32([values])).save(tmp_path / "a.tif")
    if fits:
        assert read_pixels(tmp_path / "a.tif")[0].tolist() == [list(values)]
    else:
        assert reason_of(tmp_path / "a.tif") == "of a depth that is not supported"


@pytest.mark.parametrize("decoded", [None, np.zeros((4, 6, 3), np.uint8)], ids=["none", "8 bits"])
def test_deep_image_that_opencv_cannot_decode_is_of_an_unsupported_depth(
    tmp_path, monkeypatch, decoded
):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 6, 3), np.uint16))
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: decoded)
    assert reason_of(tmp_path / "a.png") == "of a depth that is not supported"


def test_transparent_image_of_several_strips_is_laid_on_the_background(tmp_path):
    pixels = np.zeros((2 * decoding.ROWS + 3, 2, 4), np.uint8)
    pixels[:, 0] = [10, 20, 30, 255]
    pixels[::2, 1] = [200, 0, 0, 255]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found, _ = decoding.read_pixels(tmp_path / "a.png", background=(7, 8, 9))
    assert (found[:, 0] == [10, 20, 30]).all()
    assert (found[::2, 1] == [200, 0, 0]).all()
    assert (found[1::2, 1] == [7, 8, 9]).all()
