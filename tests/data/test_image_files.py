import os
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import image_files
from pyimagesearch.data.image_files import (
    DEFAULT_SIZE,
    ImageFiles,
    find_readable,
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
    (tmp_path / "b" / "old.tiff").touch()
    assert list_images(tmp_path) == (sorted(tmp_path / name for name in names), [])


def test_hidden_files_and_folders_are_not_listed(write, tmp_path):
    visible = write("visible.png", uniform(GRAY))
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
    with pytest.raises(InputError, match=r"expected \.png, .* found none"):
        list_images(tmp_path / "empty")


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.PNG", "naïve 画像.png"])
def test_lossless_image_is_read_as_it_was_written(write, rng, name):
    pixels = rng.integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(read_image(write(name, pixels)), pixels)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp"])
def test_channels_are_red_green_blue(write, suffix):
    image = read_image(write(f"red{suffix}", uniform(RED, 16, 16)))
    np.testing.assert_allclose(image.mean((0, 1)), RED, atol=3)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(uniform(GRAY), id="gray"),
        pytest.param(uniform((GRAY,) * 3), id="rgb"),
        pytest.param(uniform((GRAY, GRAY, GRAY, 0)), id="transparent"),
        pytest.param(uniform(GRAY * 257, dtype=np.uint16), id="16-bit gray"),
        pytest.param(uniform((GRAY * 257,) * 3, dtype=np.uint16), id="16-bit rgb"),
        pytest.param(uniform((GRAY * 257,) * 4, dtype=np.uint16), id="16-bit alpha"),
    ],
)
@pytest.mark.parametrize(("grayscale", "depth"), [(False, 3), (True, 1)])
def test_images_of_any_depth_are_read_as_asked(write, pixels, grayscale, depth):
    image = read_image(write("a.png", pixels), grayscale=grayscale)
    assert image.dtype == np.uint8
    assert image.shape == (6, 4, depth)
    assert (image == GRAY).all()


def test_grayscale_weighs_the_channels_by_luma(write):
    image = read_image(write("a.png", uniform(RED)), grayscale=True)
    assert image.mean() == pytest.approx(0.299 * 255, abs=1)


def test_exif_orientation_rotates_the_image(write):
    pixels = uniform((0, 0, 0), 16, 32)
    pixels[:8] = 255
    path = write("a.jpg", pixels)
    # Orientation 6: a quarter turn clockwise shows it as the camera was held.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    image = read_image(path)
    assert image.shape == (32, 16, 3)
    assert image[:, 8:].mean() > 250
    assert image[:, :8].mean() < 5
    assert find_readable([path])[2] == (32, 16)


def test_shrinking_averages_areas(write):
    stripes = np.zeros((32, 32), np.uint8)
    stripes[:, ::4] = 200
    image = read_image(write("a.png", stripes), (8, 8))
    np.testing.assert_array_equal(image, np.full((8, 8, 3), 50))


def test_enlarging_interpolates(write):
    image = read_image(write("a.png", np.array([[0, 200]], np.uint8)), (1, 8), grayscale=True)
    assert image.shape == (1, 8, 1)
    assert (np.diff(image.ravel().astype(int)) >= 0).all()
    assert len(np.unique(image)) > 3


def test_size_is_height_then_width(write):
    assert read_image(write("a.png", uniform(GRAY, 20, 30)), (10, 5)).shape == (10, 5, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("share", [0, 0.02, 0.3, 0.7, 0.99])
def test_truncated_file_is_not_read(write, rng, suffix, share):
    path = write(f"a{suffix}", rng.integers(0, 256, (40, 40, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert read_image(path) is None


def test_jpeg_without_its_end_mark_is_not_read_though_its_thumbnail_has_one(
    write, rng, monkeypatch
):
    pixels = rng.integers(0, 256, (40, 40, 3), np.uint8)
    path = write("a.jpg", pixels)
    data = path.read_bytes()
    # As OpenCV 4 does, take whatever begins like an image.
    monkeypatch.setattr(image_files.cv2, "imdecode", lambda data, flags: pixels)
    exif = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    path.write_bytes(data[:2] + exif + data[2:])
    assert read_image(path).shape == (40, 40, 3)
    path.write_bytes(data[:2] + exif + data[2:-2])
    assert read_image(path) is None


def test_path_that_is_not_an_image_file_is_not_read(tmp_path):
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("text.png", "folder.png", "pipe.png", "none.png"):
        assert read_image(tmp_path / name) is None, name


def test_file_without_permission_is_not_read(write, monkeypatch):
    path = write("a.png", uniform(GRAY))

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # no permission stops root
    assert read_image(path) is None


def test_find_readable_separates_readable_files_from_others_in_order(write, tmp_path):
    paths = [write(f"{i:02}.png", uniform(GRAY)) for i in range(40)]
    for i in (3, 39):
        paths[i].write_bytes(paths[i].read_bytes()[:30])
    readable, skipped, size = find_readable(paths)
    assert skipped == [paths[3], paths[39]]
    assert readable == [path for path in paths if path not in skipped]
    assert size == (6, 4)


def test_size_is_the_argument_or_that_of_all_files_or_the_default(write):
    same = [write(f"same/{i}.png", uniform(GRAY, 9, 7)) for i in range(3)]
    other = write("other.png", uniform(GRAY, 7, 9))
    assert find_readable(same)[2] == (9, 7)
    assert find_readable([*same, other])[2] == DEFAULT_SIZE
    assert find_readable(same, size=(5, 3))[2] == (5, 3)


def test_unreadable_file_does_not_affect_the_size(write, tmp_path):
    (tmp_path / "broken.png").touch()
    assert find_readable([write("a.png", uniform(GRAY, 9, 7)), tmp_path / "broken.png"])[2] == (
        9,
        7,
    )


def test_find_readable_reports_its_progress(write):
    path = write("a.png", uniform(GRAY))
    reported = []
    find_readable([path] * 40, on_file=reported.append)
    assert reported == sorted(set(reported))
    assert len(reported) > 1
    assert reported[-1] == 40


def test_find_readable_without_any_readable_file_is_refused_and_names_some(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(InputError, match=r"none of 1 files can be decoded .*a\.png"):
        find_readable([tmp_path / "a.png"])


def test_decoders_are_quiet_while_callbacks_can_still_print(write, rng, capfd):
    path = write("whole.png", uniform(GRAY))
    cut = [
        write(f"a{suffix}", rng.integers(0, 256, (40, 40), np.uint8)) for suffix in (".png", ".bmp")
    ]
    for file in cut:
        file.write_bytes(file.read_bytes()[:-100])
    find_readable([path, *cut], on_file=lambda done: os.write(2, b"line"))
    assert capfd.readouterr().err == "line"


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
    for name in ("b.png", "a/1.png", "c.png"):
        write(name, uniform(GRAY))
    expected = list_images(tmp_path)
    walk = os.walk
    monkeypatch.setattr(
        image_files.os, "walk", lambda *a, **k: ((h, b, f[::-1]) for h, b, f in walk(*a, **k))
    )
    assert list_images(tmp_path) == expected
