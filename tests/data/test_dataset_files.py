import csv
import io
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
    with pytest.raises(InputError, match=r"^there is no file"):
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
    assert (
        (tmp_path / "images.csv")
        .read_bytes()
        .startswith(b"\xef\xbb\xbfindex,name,label\r\n0,plain,0\n")
    )


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
        "index,name,label\n1,a,0\n1,b,0\n",
        "index,name,label\n1,a,0\n2,b,0\n",
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


ROWS = [(0, "größe/日本.png", 0), (1, 'a, "b"; c\t', 1), (2, "two\nlines\r", -1), (3, "12", 0)]


def as_table(rows, columns=("index", "name", "label"), **form):
    """Format a manifest as CSV, as a spreadsheet does."""
    text = io.StringIO(newline="")
    csv.writer(text, **form).writerows([columns, *rows])
    return text.getvalue()


SPREADSHEETS = {
    "UTF-8 with BOM": as_table(ROWS).encode("utf-8-sig"),
    "UTF-16 LE, tabs": b"\xff\xfe" + as_table(ROWS, delimiter="\t").encode("utf-16-le"),
    "UTF-16 BE, commas": b"\xfe\xff" + as_table(ROWS).encode("utf-16-be"),
    "semicolons": as_table(ROWS, delimiter=";").encode(),
    "semicolons, all quoted": as_table(ROWS, delimiter=";", quoting=csv.QUOTE_ALL).encode(),
    "tabs": as_table(ROWS, delimiter="\t").encode(),
    "line ends of old": as_table(ROWS, lineterminator="\r").encode(),
    "re-sorted": as_table(sorted(ROWS, key=lambda row: row[1])).encode(),
    "columns in another order": as_table(
        [(label, "; note", index, name, "") for index, name, label in ROWS],
        ("label", "see; remarks", "index", "name", "further"),
    ).encode(),
    "numbers as 1,00": as_table(
        [(f"{index},00", name, f" {label},0") for index, name, label in ROWS], delimiter=";"
    ).encode(),
    "numbers as 1.0": as_table(
        [(f" {index}.", name, f"{label}.0 ") for index, name, label in ROWS]
    ).encode(),
    "empty rows": ("\n,,\n" + as_table(ROWS).replace("\r\n3,", "\n\n , \n3,") + ",,,\n\n").encode(),
    "cells left out and added": as_table(ROWS, ("index", "name", "label", "note"))
    .replace("12,0", "12,0,a note,,")
    .encode(),
}


@pytest.mark.parametrize("table", SPREADSHEETS.values(), ids=SPREADSHEETS)
@pytest.mark.parametrize("beside_a_pickle", [False, True])
def test_manifest_that_a_spreadsheet_wrote_reads_as_it_was(tmp_path, table, beside_a_pickle):
    (tmp_path / "images.csv").write_bytes(table)
    n = len(ROWS) if beside_a_pickle else None
    names, labels = dataset_files.load_manifest(tmp_path / "images.csv", n)
    assert names == [name for _, name, _ in ROWS]
    assert labels.tolist() == [label for *_, label in ROWS]
    assert labels.dtype == np.int8


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "found ''"),
        ("rank;score\n0;1\n", "commas, semicolons or tabs, found 'rank;score'"),
        ("index|name|label\n0|a|0\n", "found 'index|name|label'"),
        ("index,name,label,label\n0,a,0,1\n", "found 'index,name,label,label'"),
        ("index,name,label\n\n,,\n", "no rows"),
        ("index,name,label\n0,a,0\n\n1,b\n", "line 4: expected 3 cells, found 2"),
        ('index,name,label\n0,"a\n\n",0\n1,b,c,0\n', "line 5: expected 3 cells, found 4"),
        (
            'index,name,label\n0,"a\r",0\n1,b,?\n',
            "line 4: expected the label 0, 1 or -1, found '?'",
        ),
        ("index,name,label\n0,a,\n", "line 2: expected the label 0, 1 or -1, found ''"),
        ("index,name,label\n0,a,0.5\n", "line 2: expected the label 0, 1 or -1, found '0.5'"),
        ("index,name,label\n0,a,1e0\n", "line 2: expected the label 0, 1 or -1, found '1e0'"),
        ("index,name,label\na,a,0\n", "line 2: expected each index from 0 once, found 'a'"),
        ("index,name,label\n0,a,0\n0.0,b,0\n", "line 3: expected each index from 0 once"),
        ("index,name,label\n2,a,0\n0,b,0\n", "line 2: expected each index from 0 to 1 once"),
        ("index,name,label\n-1,a,0\n0,b,0\n", "line 2: expected each index from 0 once"),
        (f"index,name,label\n{'9' * 10_000},a,0\n", "line 2: expected each index from 0 once"),
        ('index,name,label\n0,a,0\n1,"b,0\n', "line 3: unexpected end of data"),
    ],
)
def test_manifest_that_is_wrong_is_refused_with_the_line(tmp_path, text, fault):
    (tmp_path / "a.csv").write_text(text, newline="")
    with pytest.raises(InputError) as raised:
        dataset_files.load_manifest(tmp_path / "a.csv")
    assert fault in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path / 'a.csv'} is not a manifest of image files")
    assert len(str(raised.value)) < 400


def test_manifest_in_half_of_utf_16_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(as_table(ROWS).encode("utf-16")[:-1])
    with pytest.raises(InputError, match="is not a manifest"):
        dataset_files.load_manifest(tmp_path / "a.csv")
