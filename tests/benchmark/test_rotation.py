import pytest

from pyimagesearch.benchmark import rotation
from pyimagesearch.data.corruptions import CORRUPTIONS
from tests.benchmark.tables import QUICK, make_table


@pytest.mark.slow
def test_rotation_when_made_has_each_class_alone_and_all_together(tmp_path, capsys):
    rows = make_table("rotation", tmp_path, *QUICK, "--classes", "2", "7")
    assert [(row["learnt"], row["judged"]) for row in rows] == [
        ("2", "2"),
        ("7", "7"),
        ("all", "2"),
        ("all", "7"),
        ("all", "mean"),
        ("all", "all"),
    ]
    shares = [float(row[f"flagged_{how}"]) for row in rows for how in ("upright", "turned")]
    assert all(0 <= share <= 1 for share in shares)
    mean = (float(rows[2]["flagged_turned"]) + float(rows[3]["flagged_turned"])) / 2
    assert float(rows[4]["flagged_turned"]) == pytest.approx(mean, abs=2e-4)
    assert sum(int(row["images"]) for row in rows[2:4]) == int(rows[4]["images"])
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[-7:]]
    assert printed[1:] == [list(row.values()) for row in rows]


def test_quarter_turn_is_among_the_corruptions():
    assert rotation.QUARTER_TURN[0] in CORRUPTIONS
