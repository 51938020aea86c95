import csv
import subprocess
import sys

import pytest

from pyimagesearch import benchmark, benchmark_common, benchmark_rotation
from pyimagesearch.corruptions import CORRUPTIONS
from pyimagesearch.recipes import ARCHITECTURES
from tests.conftest import ROOT

QUICK = ["--source", "digits", "--epochs", "2", "--limit", "120"]


def run(table, folder, *flags):
    """Make a table; return its rows as dicts of text, as saved."""
    assert benchmark.main([table, *QUICK, "--output", str(folder), *flags]) == 0
    with (folder / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("table", benchmark.TABLES)
@pytest.mark.parametrize("flags", [["--help"], ["--no-such-flag"], ["--epochs", "0"]])
def test_help_and_wrong_flags_need_nothing_but_python_itself(table, flags):
    """-S and -I: no installed package is in reach, so that nothing slow can be imported."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[1:] = {[table, *flags]!r}; "
    code += "import runpy; runpy.run_module('pyimagesearch.benchmark', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True)
    if flags == ["--help"]:
        assert ran.returncode == 0
        assert ran.stdout.startswith(f"usage: -m pyimagesearch.benchmark {table}")
    else:
        assert ran.returncode == 2
        assert ran.stdout == ""
        assert ran.stderr.startswith("error: ")
        assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["cakes"],
        ["architectures", "--archs", "cathedral"],
        ["architectures", "--archs"],
        ["architectures", "--strengths", "0"],
        ["architectures", "--limit", "0"],
        ["architectures", "--seed", "-1"],
        ["architectures", "--source", "no/such.npz"],
        ["architectures", "--source", "cakes"],
        ["architectures", "--source", str(ROOT)],
        ["rotation", "--source", "digits", "--classes", "2", "12"],
    ],
)
def test_wrong_flags_and_sources_are_one_line_and_status_2(flags, tmp_path, capsys):
    output = ["--output", str(tmp_path)] if flags else []
    assert benchmark.main([*flags, *output]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert "[INFO]" not in told.out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_table_of_architectures_has_a_row_for_each_and_each_strength(tmp_path, capsys):
    rows = run("architectures", tmp_path, "--strengths", "0.2", "0.4")
    assert [(row["architecture"], row["noise"]) for row in rows] == [
        (arch, noise) for arch in ARCHITECTURES for noise in ("0.2", "0.4")
    ]
    # What is printed is what is saved.
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[-len(rows) - 1 :]]
    assert printed == [list(rows[0]), *(list(row.values()) for row in rows)]


def test_stronger_noise_has_a_higher_loss_and_is_found_more_surely(tmp_path):
    rows = run("architectures", tmp_path, "--archs", "dense", "--strengths", "0.2", "0.4", "0.6")
    for column in ("noisy", "ratio", "auroc"):
        values = [float(row[column]) for row in rows]
        assert values == sorted(values), column
    assert len({row["normal"] for row in rows}) == 1
    assert float(rows[-1]["auroc"]) > 0.95


def test_same_seed_gives_the_same_table(tmp_path):
    flags = ["--archs", "dense", "--strengths", "0.3"]
    first, second = (run("architectures", tmp_path, *flags) for _ in range(2))
    for row in first + second:
        del row["seconds"]
    assert first == second


@pytest.mark.slow
def test_table_of_rotation_has_each_class_alone_and_all_together(tmp_path, capsys):
    rows = run("rotation", tmp_path, "--classes", "2", "7")
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


def test_digits_are_halved_and_no_image_is_in_both_halves():
    learnt, judged = benchmark_common.open_source("digits", seed=42)
    assert len(learnt.images) == len(learnt.classes) == len(learnt.names) == 899
    assert len(judged.images) == 898
    assert not set(learnt.names) & set(judged.names)


def test_quarter_turn_is_among_the_corruptions():
    assert benchmark_rotation.QUARTER_TURN[0] in CORRUPTIONS


@pytest.mark.slow
def test_mnist_noise_stands_out_of_what_convolutions_give_back(mnist, tmp_path):
    """A quality floor: the ratio that an earlier project had reached with 60,000 images."""
    flags = ["--source", mnist, "--limit", "8000", "--archs", "cnn", "--strengths", "0.3"]
    (row,) = run("architectures", tmp_path, *flags)
    assert float(row["ratio"]) > 3.5
    assert float(row["auroc"]) >= 0.999
