import pickle

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files


def test_images_come_back_to_the_bit_and_any_python_reads_them(tmp_path, rng):
    images = rng.random((3, 4, 5, 1), np.float32)
    dataset_files.save_images(tmp_path / "images.pickle", images)
    np.testing.assert_array_equal(dataset_files.load_images(tmp_path / "images.pickle"), images)
    bare = pickle.loads((tmp_path / "images.pickle").read_bytes())  # noqa: S301
    np.testing.assert_array_equal(bare, images)
    assert bare.dtype == np.float32


def test_pickle_of_the_same_images_is_the_same_file(tmp_path, rng):
    images = rng.random((3, 4, 5, 1), np.float32)
    dataset_files.save_images(tmp_path / "one", images)
    # The memory layout does not change the file.
    dataset_files.save_images(tmp_path / "two", np.asfortranarray(images))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_fingerprint_depends_on_values_and_shape_alone():
    images = np.arange(2400, dtype=np.float32).reshape(600, 2, 2, 1)
    altered = images.copy()
    altered[-1] += 1
    prints = [images, altered, images.reshape(600, 4, 1, 1), images[:-1], images[::-1]]
    assert len({dataset_files.fingerprint(a) for a in prints}) == 5
    assert dataset_files.fingerprint(np.asfortranarray(images)) == dataset_files.fingerprint(images)


def test_manifest_stands_for_itself_where_there_is_no_pickle(tmp_path):
    (tmp_path / "a.csv").write_text("index,name,label\n0,one.png,0\n1,two.png,-1\n")
    names, labels = dataset_files.load_manifest(tmp_path / "a.csv")
    assert names == ["one.png", "two.png"]
    assert labels.tolist() == [0, -1]
    (tmp_path / "a.csv").write_text("rank,score\n1,2\n")
    with pytest.raises(InputError, match="is not a manifest of image files"):
        dataset_files.load_manifest(tmp_path / "a.csv")
    with pytest.raises(InputError, match="there is no file"):
        dataset_files.load_manifest(tmp_path / "none.csv")


NAMES = [
    "plain",
    "with, comma",
    'with "quotes"',
    "two\nlines",
    "re\rturn",
    "größe/日本.png",
    " blanks ",
    "a\udce9b",
]


def test_manifest_comes_back_whatever_the_names(tmp_path):
    labels = np.resize(np.array([0, 1, -1], np.int8), len(NAMES))
    dataset_files.save_manifest(tmp_path / "images.csv", NAMES, labels)
    names, loaded = dataset_files.load_manifest(tmp_path / "images.csv", len(NAMES))
    assert names == NAMES
    np.testing.assert_array_equal(loaded, labels)
    assert (tmp_path / "images.csv").read_bytes().startswith(b"index,name,label\r\n0,plain,0\n")


def test_names_are_indices_and_labels_unknown_without_a_manifest(tmp_path):
    names, labels = dataset_files.load_manifest(tmp_path / "none.csv", 2)
    assert names == ["0", "1"]
    assert labels.tolist() == [-1, -1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "index,name,label\n0,a,0\n",  # one row for two images
        "index,name,label\n0,a,0\n1,b,0\n2,c,0\n",
        "index,name,label\n1,a,0\n0,b,0\n",
        "index,name,label\n0,a,0\n1,b,2\n",
        "index,name,label\n0,a,0\n1,b,\n",
        "index,name,label\n0,a,0\n1,b\n",
        "index,label\n0,0\n1,0\n",
        'index,name,label\n0,a,0\n1,"b,0\n',
    ],
)
def test_manifest_that_does_not_match_its_pickle_is_refused(tmp_path, text):
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(InputError, match="does not belong to the pickle"):
        dataset_files.load_manifest(tmp_path / "images.csv", 2)
