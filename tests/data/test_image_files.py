import dataclasses
import functools
import os

import numpy as np
import pytest
from PIL import Image

from pyimagesearch import InputError
from pyimagesearch.data import decoding, image_files, pixel_store
from pyimagesearch.data.image_files import (
    DEFAULT_SIZE,
    ImageFiles,
    check_files,
    format_skipped,
    list_images,
    read_image,
)

RED, GRAY = (255, 0, 0), 100


def uniform(color, height=6, width=4, dtype=np.uint8):
    """An image of one color."""
    return np.full((height, width, *np.shape(color)), color, dtype)


def test_images_are_listed_from_all_folders_and_sorted(write, tmp_path):
    names = ["b/c/2.jpg", "b/1.bmp", "a.jpeg", "é ü/ß.png", "LOUD.PNG", "b/c/10.png"]
    for name in names:
        write(name, uniform(GRAY))
    (tmp_path / "notes.txt").write_text("png")
    names.append("notes.txt")  # what is no image is known by its content, later
    assert list_images(tmp_path) == (sorted(tmp_path / name for name in names), [])


def test_hidden_files_and_litter_are_not_listed(write, tmp_path):
    visible = write("visible.png", uniform(GRAY))
    for litter in ("@eaDir", "$RECYCLE.BIN", "__MACOSX", "System Volume Information"):
        write(f"{litter}/small.png", uniform(GRAY))
    (tmp_path / "Thumbs.db").touch()
    write(".hidden.png", uniform(GRAY))
    write(".thumbnails/small.png", uniform(GRAY))
    write("._visible.png", uniform(GRAY))
    assert list_images(tmp_path)[0] == [visible]


def test_listed_paths_begin_as_the_folder_was_typed(write, tmp_path, monkeypatch):
    write("photos/a/b.png", uniform(GRAY))
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in list_images("photos")[0]] == ["photos/a/b.png"]


def test_linked_folders_are_listed_and_a_loop_of_links_ends(write, tmp_path):
    write("elsewhere/1.png", uniform(GRAY))
    write("photos/2.png", uniform(GRAY))
    (tmp_path / "photos" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "up").symlink_to(tmp_path / "photos")
    names = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path / "photos")[0]]
    assert names == ["photos/2.png", "photos/more/1.png"]


def test_folder_that_is_missing_or_empty_or_a_file_is_refused(write, tmp_path):
    with pytest.raises(InputError, match="none.*No such file.*check the path"):
        list_images(tmp_path / "none")
    with pytest.raises(InputError, match=r"a\.png.*Not a directory"):
        list_images(write("a.png", uniform(GRAY)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected images in .* found none"):
        list_images(tmp_path / "empty")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.PNG", "naïve 画像.png"])
def test_lossless_image_is_read_as_it_was_written(write, rng, name):
    pixels = rng.integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(read_image(write(name, pixels)), np.float32(pixels) / 255)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(uniform(GRAY), id="gray"),
        pytest.param(uniform((GRAY,) * 3), id="rgb"),
        pytest.param(uniform((GRAY, GRAY, GRAY, 255)), id="alpha"),
        pytest.param(uniform(GRAY * 257, dtype=np.uint16), id="16-bit gray"),
        pytest.param(uniform((GRAY * 257,) * 3, dtype=np.uint16), id="16-bit rgb"),
    ],
)
@pytest.mark.parametrize(("grayscale", "depth"), [(False, 3), (True, 1)])
def test_images_of_any_depth_are_read_as_asked(write, pixels, grayscale, depth):
    image = read_image(write("a.png", pixels), grayscale=grayscale)
    assert image.dtype == np.float32
    assert image.shape == (6, 4, depth)
    np.testing.assert_allclose(image, GRAY / 255, atol=1e-5)


def test_grayscale_weighs_the_channels_by_luma(write):
    for path in (
        write("8.png", uniform(RED)),
        write("16.png", uniform((65535, 0, 0), dtype=np.uint16)),
    ):
        assert read_image(path, grayscale=True).mean() == pytest.approx(0.299, abs=0.004)


def test_12_bits_in_a_file_of_16_keep_their_levels_by_the_range_of_the_set(write, tmp_path):
    levels = np.arange(900, 900 + 24, dtype=np.uint16).reshape(6, 4)
    write("a.png", levels)
    write("b.png", np.full((6, 4), 3000, np.uint16))
    files, _, _ = check_files(list_images(tmp_path)[0])
    assert files.maximum == 4095
    np.testing.assert_allclose(files[0][..., 0], levels / np.float32(4095))
    # Brighter ones than any of the set are white, when the set's range is kept.
    write("c.png", np.full((6, 4), 60000, np.uint16))
    brighter = dataclasses.replace(files, paths=[tmp_path / "c.png"])
    assert brighter[:].max() == 1


def test_find_readable_files_in_order_and_the_reasons_of_the_others(write):
    paths = [write(f"{i:02}.png", uniform(GRAY)) for i in range(40)]
    paths[3].write_bytes(paths[3].read_bytes()[:30])
    paths[39].write_text("notes")
    files, skipped, notes = check_files(paths)
    assert skipped == {str(paths[3]): "broken or truncated", str(paths[39]): "not an image"}
    assert files.paths == [path for path in paths if str(path) not in skipped]
    assert len(notes) == 38
    assert files.size == (6, 4)
    assert (
        format_skipped(skipped) == f"broken or truncated ({paths[3]}); not an image ({paths[39]})"
    )


def test_size_is_the_argument_or_that_of_all_files_or_the_default(write, tmp_path):
    same = [write(f"same/{i}.png", uniform(GRAY, 9, 7)) for i in range(3)]
    other = write("other.png", uniform(GRAY, 7, 9))
    (tmp_path / "broken.png").touch()
    assert check_files([*same, tmp_path / "broken.png"])[0].size == (9, 7)
    assert check_files([*same, other])[0].size == DEFAULT_SIZE
    assert check_files(same, size=(5, 3))[0].size == (5, 3)


def test_images_have_one_channel_if_all_are_gray_or_as_asked(write):
    gray = [write("a.png", uniform(GRAY)), write("b.png", uniform((GRAY,) * 3))]
    color = write("c.png", uniform((GRAY, GRAY, GRAY + 1)))
    assert check_files(gray)[0].shape == (2, 6, 4, 1)
    assert check_files([*gray, color])[0].shape == (3, 6, 4, 3)
    assert check_files(gray, grayscale=False)[0].shape == (2, 6, 4, 3)
    assert check_files([color], grayscale=True)[0].shape == (1, 6, 4, 1)


def test_check_reports_its_progress(write):
    path = write("a.png", uniform(GRAY))
    reported = []
    check_files([path] * 40, on_progress=lambda *progress: reported.append(progress))
    assert reported == sorted(set(reported))
    assert (reported[0], reported[-1]) == ((0, 40), (40, 40))
    assert len(reported) > 2


def test_no_readable_file_is_refused_with_the_reasons(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"none of 1 files .*not an image .*a\.png.*PNG, JPEG"):
        check_files([tmp_path / "a.png"])


def test_decoders_are_quiet_while_callbacks_can_still_print(write, rng, capfd):
    path = write("whole.png", uniform(GRAY))
    cut = write("a.tif", rng.integers(0, 256, (40, 40), np.uint8))
    cut.write_bytes(cut.read_bytes()[:-100])
    check_files([path, cut], on_progress=lambda done, total: os.write(2, b"line"))
    assert capfd.readouterr().err == "lineline"


@pytest.fixture
def files(write):
    """Ten files whose images are 10, 20, ... 100 all over."""
    return ImageFiles([write(f"{i:02}.png", uniform(10 * i + 10)) for i in range(10)], (6, 4))


@pytest.mark.parametrize(
    "indices",
    [
        slice(None),
        slice(2, 5),
        slice(8, 20),
        slice(None, None, -3),
        slice(4, 4),
        np.array([7, 0, 7]),
        np.array([], int),
        np.arange(10) % 2 == 0,
        [1, -1],
        3,
        np.int64(-2),
    ],
    ids=str,
)
def test_files_are_indexed_as_an_array_is(files, indices):
    array = np.broadcast_to(
        np.arange(10, 101, 10, dtype=np.float32)[:, None, None, None] / np.float32(255),
        (10, 6, 4, 3),
    )
    assert files.shape == array.shape
    assert len(files) == len(array)
    read = files[indices]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, array[indices])


def test_index_beyond_the_files_is_an_index_error_so_that_loops_end(files):
    with pytest.raises(IndexError):
        files[10]
    assert len(list(files)) == 10


def test_files_are_resized_and_converted_to_grayscale(files):
    small = ImageFiles(files.paths, (3, 5), grayscale=True)
    assert small.shape == (10, 3, 5, 1)
    assert small[:].shape == small.shape


def test_pixels_of_files_range_from_0_to_1(write):
    ends = ImageFiles([write("0.png", uniform(0)), write("1.png", uniform(255))], (6, 4))[:]
    assert set(ends[0].ravel().tolist()) == {0.0}
    assert set(ends[1].ravel().tolist()) == {1.0}


def test_file_is_decoded_once_however_often_it_is_read(files, monkeypatch):
    decoded = []

    def read_pixels(path, *args):
        decoded.append(path)
        return decoding.read_pixels(path, *args)

    monkeypatch.setattr(image_files, "read_pixels", read_pixels)
    # Of ten images of 6 x 4 x 3 bytes, three are kept in memory and the others on disk.
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 3 * 72)
    once = dataclasses.replace(files)
    first = once[:]
    np.testing.assert_array_equal(once[::-1], first[::-1])
    assert decoded == files.paths
    # A copy of another size keeps nothing of this one.
    assert dataclasses.replace(once, size=(3, 2))[:].shape == (10, 3, 2, 3)
    assert len(decoded) == 20


def test_folders_behind_a_link_that_leads_back_are_listed(write, tmp_path):
    first, last = write("a/1.png", uniform(GRAY)), write("b/2.png", uniform(GRAY))
    (tmp_path / "a" / "back").symlink_to("..")
    assert list_images(tmp_path)[0] == [first, last]


def test_large_jpeg_is_reduced_to_no_less_than_twice_the_size(write):
    """And then as Pillow does it."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
    path = write("a.png", pixels).with_suffix(".jpg")
    Image.fromarray(pixels).save(path)
    draft = Image.open(path)
    draft.draft("RGB", (40, 40))
    assert draft.size == (80, 48)
    expected = np.asarray(draft.resize((20, 12), Image.Resampling.BOX)) / 255
    np.testing.assert_allclose(ImageFiles([path], (12, 20))[:][0], expected, atol=1e-6)


def test_files_are_read_as_they_are_unless_told_otherwise():
    assert ImageFiles([], None).preprocessing == {
        "aspect_ratio": "stretch",
        "background": [255, 255, 255],
        "maximum": 65535,
    }


@pytest.mark.parametrize("fate", ["gone", "broken"])
def test_file_that_is_lost_after_find_readable_is_named(files, fate):
    if fate == "gone":
        files.paths[4].unlink()
    else:
        files.paths[4].write_bytes(b"no picture")
    assert len(files[:4]) == 4
    with pytest.raises(InputError, match=r"04\.png.*missing or broken"):
        files[:]


def test_folder_is_listed_the_same_whatever_the_order_of_the_file_system(
    write, tmp_path, monkeypatch
):
    for name in ("b.png", "m/1.png", "c.png"):
        write(name, uniform(GRAY))
    # Of two paths to one folder the first in the alphabet is taken.
    (tmp_path / "a").symlink_to("m")
    expected = [tmp_path / name for name in ("a/1.png", "b.png", "c.png")]
    walk = os.walk

    def disordered(*arguments, step, **settings):
        for here, below, names in walk(*arguments, **settings):
            below.sort(reverse=step < 0)
            yield here, below, sorted(names)[::step]

    for step in (1, -1):
        monkeypatch.setattr(image_files.os, "walk", functools.partial(disordered, step=step))
        assert list_images(tmp_path) == (expected, [])
