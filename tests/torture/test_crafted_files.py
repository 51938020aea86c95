import io

import numpy as np

from pyimagesearch.torture import crafted_files, malicious_files


def test_each_value_of_an_object_is_wrong_or_missing():
    content = {"a": 1, "b": {"c": [2]}}
    assert dict(crafted_files.wrong_values(content)) == {
        "a: missing": {"b": {"c": [2]}},
        "b: None": {"a": 1, "b": None},
        "b.c: True": {"a": 1, "b": {"c": True}},
    }
    assert content == {"a": 1, "b": {"c": [2]}}


def test_each_array_of_an_archive_is_wrong_in_turn():
    data = malicious_files.array_archive(a=np.ones(3, np.float32), b=np.ones((2, 2)))
    made = dict(crafted_files.wrong_arrays(data, len(crafted_files.WRONG_ARRAYS)))
    assert len(made) == 2 * (len(crafted_files.WRONG_ARRAYS) + 2)
    for name, content in made.items():
        archive = np.load(io.BytesIO(content))
        untouched = "b" if name.startswith("a") else "a"
        np.testing.assert_array_equal(archive[untouched], np.load(io.BytesIO(data))[untouched])
