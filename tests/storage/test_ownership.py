"""Marks by which the files of the suite are recognized."""

import json
import os
import pickle
import shutil
import zipfile
import zlib
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from pyimagesearch.data import dataset_files
from pyimagesearch.reporting import drawing
from pyimagesearch.storage import model_files, ownership
from pyimagesearch.training import checkpoint
from tests.running import WRITTEN, network_of

UNMARKED = b"a file of unknown origin"


@pytest.mark.parametrize("name", WRITTEN)
def test_every_file_that_the_scripts_write_is_recognized(trained, name):
    assert ownership.is_own_file(trained / name)


def test_checkpoint_and_heatmaps_are_recognized(tmp_path):
    checkpoint.save_checkpoint(tmp_path / "state", {}, {"loss": np.zeros(9)})
    drawing.save_picture(tmp_path / "heatmaps.png", np.zeros((4, 4, 3), np.uint8))
    assert ownership.is_own_file(tmp_path / "state")
    assert ownership.is_own_file(tmp_path / "heatmaps.png")


def test_large_file_is_recognized_by_its_head_or_its_tail_alone(tmp_path):
    def with_mark_at(place):
        data = bytearray(5 * ownership.SEARCHED_BYTES)
        data[place : place + len(ownership.MARK)] = ownership.MARK
        (tmp_path / "large").write_bytes(data)
        return ownership.is_own_file(tmp_path / "large")

    assert with_mark_at(0)
    assert with_mark_at(5 * ownership.SEARCHED_BYTES - len(ownership.MARK))
    assert not with_mark_at(2 * ownership.SEARCHED_BYTES)


def write_unmarked(path):
    """Write a file as others' programs do, of the kind that its suffix says."""
    kind, array = path.suffix, np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    if kind == ".npz":
        np.savez(path, x_train=array)
    elif kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", UNMARKED)
            archive.comment = b"my holidays"
    elif kind == ".keras":
        image = keras.Input((2, 2, 3))
        keras.Model(image, image).save(path)
    elif kind == ".json":
        path.write_text(json.dumps({"written_by": "me"}, indent=2))
    elif kind == ".png":
        cv2.imwrite(str(path), array)
    elif kind == ".pickle":
        path.write_bytes(pickle.dumps(array))
    elif kind == ".html":
        path.write_text('<!doctype html>\n<meta name="generator" content="Hugo">\n')
    else:
        path.write_bytes(UNMARKED)


@pytest.mark.parametrize(
    "suffix", [".npz", ".zip", ".keras", ".json", ".png", ".pickle", ".html", ".txt"]
)
def test_unmarked_file_is_not_recognized(tmp_path, suffix):
    write_unmarked(tmp_path / f"unmarked{suffix}")
    assert not ownership.is_own_file(tmp_path / f"unmarked{suffix}")
    assert not ownership.is_own_picture(tmp_path / f"unmarked{suffix}")


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"index,name,label",
        b"index,name,label\r\n",
        b"index,name,label\n0,a,0\n",
        b"index,name,label\r\n0,a,0\r\n",
        b"index,name,label\n0,a,0\r\n1,b,0\n",
        b'index,"name\r\n0,a,0\n',
        b"\r\n0,a,0\n",
        b"index,name,label\r\n0,a\n",
        b"Dear all,\r\nthis is mixed up\n",
        b"one column\r\n0\n",
        b"index,n\xe4me\r\n0,a\n",
        b"[\r\n  1,\n",
        b"%PDF-1.4\r\n%\xe2\xe3\xcf\xd3\n",
        b"\x89HDF\r\n\x1a\n\0\0",
        b"x" * ownership.MAX_HEADER_BYTES + b"y\r\n0,a,0\n",
        b'"' * 1000 + b"index\r0",
    ],
)
def test_unmarked_table_is_not_recognized(tmp_path, table):
    (tmp_path / "a.csv").write_bytes(table)
    assert not ownership.is_own_file(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "name", ["a", "two\nlines", "two\r\nlines", 'a, "b"\r\n', "ö, \r\n", "a\rb"]
)
def test_table_is_recognized_and_read_whatever_its_first_name(tmp_path, name):
    dataset_files.save_manifest(tmp_path / "a.csv", [name, "b"], np.zeros(2, np.int8))
    assert ownership.is_own_file(tmp_path / "a.csv")
    assert dataset_files.load_manifest(tmp_path / "a.csv")[0] == [name, "b"]


def test_list_as_json_is_recognized_and_read(tmp_path):
    text = json.dumps([{"method": "mse", "tasks": "2"}], indent=2) + "\n"
    (tmp_path / "a.json").write_text(text)
    assert not ownership.is_own_file(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(ownership.mark_line_ends(text).encode())
    assert ownership.is_own_file(tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_bytes()) == json.loads(text)


def test_path_that_is_not_a_regular_file_is_not_recognized(trained, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, *tmp_path.iterdir(), Path("/dev/zero"), tmp_path / "missing"):
        assert not ownership.is_own_file(path)
        assert not ownership.is_own_picture(path)
    (tmp_path / "link").symlink_to(trained / "plot.png")
    assert ownership.is_own_file(tmp_path / "link")


def test_marked_archives_are_valid_for_keras_and_zipfile(trained, tmp_path):
    shutil.copy(trained / "autoencoder.model", tmp_path / "a.keras")
    images = dataset_files.load_images(trained / "images.pickle")[:3]
    expected = network_of(trained)(images)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(images), expected)
    for name in ("autoencoder.model", "autoencoder.npz"):
        with zipfile.ZipFile(trained / name) as archive:
            assert archive.comment == ownership.MARK
            assert archive.testzip() is None


def test_marked_picture_is_a_whole_png_with_the_same_pixels(tmp_path, rng):
    picture = rng.integers(0, 256, (5, 7, 3), np.uint8)
    drawing.save_picture(tmp_path / "a.png", picture)
    data = (tmp_path / "a.png").read_bytes()
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture)
    chunks, place = [], 8
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        chunk, check = (
            data[place + 4 : place + 8 + size],
            data[place + 8 + size : place + 12 + size],
        )
        assert zlib.crc32(chunk) == int.from_bytes(check, "big")
        chunks.append(chunk)
        place += 12 + size
    assert chunks[0].startswith(b"IHDR")
    assert chunks[1] == b"tEXtSoftware\0" + ownership.MARK
    assert chunks[-1] == b"IEND"


def test_same_results_are_the_same_bytes(tmp_path):
    for name in ("one", "same"):
        model_files.save_references(tmp_path / f"{name}.npz", {"mse": {"mean": np.arange(5)}})
        drawing.save_picture(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    for suffix in (".npz", ".png"):
        one, same = ((tmp_path / name).with_suffix(suffix) for name in ("one", "same"))
        assert one.read_bytes() == same.read_bytes()


def test_file_that_cannot_be_read_is_nobodys(tmp_path, monkeypatch):
    report, names = tmp_path / ownership.LIST_REPORT, tmp_path / ownership.LIST
    names.write_text("a.png")
    report.write_bytes(ownership.MARK + ownership.digest(b"a.png").encode())
    assert ownership.is_own_list(names)

    def fail(*arguments, **named):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    assert not ownership.is_own_picture(names)
    assert not ownership.is_own_file(names)
    monkeypatch.setattr(ownership, "is_own_file", lambda path: True)
    assert not ownership.is_own_list(names)


def test_table_of_very_many_columns_is_known_by_its_line_ends(tmp_path):
    row = ",".join("a" * 300)
    (tmp_path / "a.csv").write_bytes(ownership.mark_line_ends(f"{row}\n{row}\n").encode())
    assert ownership.is_own_file(tmp_path / "a.csv")
