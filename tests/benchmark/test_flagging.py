import csv

import pytest

from pyimagesearch.benchmark.__main__ import main


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The table of the digits, with no and with a tenth of odd images."""
    folder = tmp_path_factory.mktemp("flagging")
    flags = [
        "flagging",
        "--source",
        "digits",
        "--classes",
        "0",
        "--shares",
        "0",
        "0.1",
        "--epochs",
        "8",
    ]
    assert main([*flags, "--output", str(folder)]) == 0
    with (folder / "flagging.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_counts_what_is_flagged_of_each_pile(rows):
    assert [row["pile"] for row in rows] == ["digits 0"] * 2
    assert [row["odd share"] for row in rows] == ["0", "0.1"]
    assert [(row["images"], row["odd"], row["in place"] == "") for row in rows] == [
        ("178", "0", True),
        ("195", "17", False),
    ]
    for row in rows:
        hits, flagged = int(row["odd among flagged"]), int(row["flagged"])
        assert 0 <= hits <= min(flagged, int(row["odd"]))


def test_odd_zeros_are_flagged_and_without_any_hardly_one_is(rows):
    assert int(rows[0]["flagged"]) <= 6
    assert 8 <= int(rows[1]["flagged"]) <= 34
    assert int(rows[1]["odd among flagged"]) >= 8
