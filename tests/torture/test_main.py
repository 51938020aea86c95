import csv
import subprocess
import sys

import pytest

from tests.conftest import ROOT, answers_without_packages


@pytest.mark.parametrize(
    "flags", [["--help"], ["--no-such-flag"], ["--kills", "0"], ["--only", "x"]]
)
def test_command_line_when_no_package_is_installed_answers(flags):
    run = "runpy.run_module('pyimagesearch.torture', run_name='__main__')"
    answers_without_packages(run, ["torture", *flags], "python -m pyimagesearch.torture")


@pytest.mark.slow
def test_torture_when_it_tries_a_few_of_everything_finds_all_as_promised(tmp_path):
    """In a process of its own: this one has used TensorFlow and can't be forked any more."""
    command = [sys.executable, "-m", "pyimagesearch.torture", "--kills", "1", "--seconds", "3"]
    ran = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with (tmp_path / "torture.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["what was tried"] for row in rows}) == len(rows) == 24
    for row in rows:
        assert row["times"] == row["as promised"] != "0", row
        assert set(list(row.values())[3:]) <= {"0", "-"}, row
