import csv
import subprocess
import sys

import pytest

from pyimagesearch.torture import file_trials, run_trials, trials
from tests.conftest import ROOT, answers_without_packages


@pytest.mark.parametrize(
    "flags", [["--help"], ["--no-such-flag"], ["--kills", "0"], ["--only", "x"]]
)
def test_help_and_wrong_flags_need_nothing_but_python_itself(flags):
    run = "runpy.run_module('pyimagesearch.torture', run_name='__main__')"
    answers_without_packages(run, ["torture", *flags], "python -m pyimagesearch.torture")


def test_tally_counts_what_went_wrong():
    tally = trials.TrialCounts("it")
    tally.count("fine")
    tally.count("run", executed=True)
    tally.count("half", "not whole", half_written=True)
    assert tally.row() == ("it", "3", "1", "1", "0", "1")
    assert len(tally.notes) == 2


def test_watch_sees_what_a_file_makes_python_do():
    watch = file_trials.AuditHook()
    fault, seen = watch.call(lambda: subprocess.run(["true"], check=True))
    assert fault is None
    assert "subprocess.Popen" in seen
    assert watch.call(lambda: 1 / 0)[1] == []
    subprocess.run(["true"], check=True)
    assert watch.seen == []


def test_process_that_hangs_is_ended_and_says_where():
    """Forked from a process without TensorFlow, as this one is not."""
    code = "import time; from pyimagesearch.torture import run_trials as forking; "
    code += "print(forking.run_forked(lambda: time.sleep(99), patience=0.5))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.startswith("(-6, ")
    assert "in run_forked" in ran.stdout


def test_results_that_are_not_whole_are_noticed(trained, tmp_path, capsys):
    (tmp_path / "images.pickle").write_bytes((trained / "images.pickle").read_bytes())
    (tmp_path / "a.json").write_bytes((trained / "autoencoder.json").read_bytes())
    assert run_trials.count_broken_outputs(tmp_path) == 0
    (tmp_path / "a.json").write_text('{"fingerprint": "other"}')
    assert run_trials.count_broken_outputs(tmp_path) == 1
    (tmp_path / "a.json").unlink()
    (tmp_path / "vis.png").write_bytes((trained / "plot.png").read_bytes()[:99])
    assert run_trials.count_broken_outputs(tmp_path) == 1
    assert "vis.png can't be decoded" in capsys.readouterr().out


@pytest.mark.slow
def test_a_few_of_everything_are_as_promised(tmp_path):
    """A process of its own: this one has used TensorFlow and can't be forked any more."""
    command = [sys.executable, "-m", "pyimagesearch.torture", "--kills", "3", "--seconds", "9"]
    ran = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with (tmp_path / "torture.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 19
    for row in rows:
        assert row["times"] == row["as promised"] != "0", row
        assert {row[name] for name in ("executed", "tracebacks", "half-written")} == {"0"}
