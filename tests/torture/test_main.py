import csv
import subprocess
import sys

import pytest

from pyimagesearch.torture import file_trials, run_trials, trials
from tests.conftest import ROOT, answers_without_packages


@pytest.mark.parametrize(
    "flags", [["--help"], ["--no-such-flag"], ["--kills", "0"], ["--only", "x"]]
)
def test_command_line_when_no_package_is_installed_answers(flags):
    run = "runpy.run_module('pyimagesearch.torture', run_name='__main__')"
    answers_without_packages(run, ["torture", *flags], "python -m pyimagesearch.torture")


def test_trial_counts_when_trials_fail_count_each_sort_of_failure():
    counts = trials.TrialCounts("it")
    counts.count("fine")
    counts.count("run", executed=True)
    counts.count("half", "not whole", half_written=True)
    counts.count("end", "KeyError", traceback=True)
    assert counts.row() == ("it", "4", "1", "1", "1", "1")
    assert len(counts.failures) == 3


def test_audit_hook_when_a_process_is_started_records_it():
    hook = file_trials.AuditHook()
    error, events = hook.call(lambda: subprocess.run(["true"], check=True))
    assert error is None
    assert "subprocess.Popen" in events
    error, events = hook.call(lambda: 1 / 0)
    assert isinstance(error, ZeroDivisionError)
    assert events == []
    subprocess.run(["true"], check=True)
    assert hook.events == []


def test_run_forked_when_the_function_hangs_aborts_it_and_shows_where():
    """Forked from a process without TensorFlow, unlike this one."""
    code = "import time; from pyimagesearch.torture import run_trials; "
    code += "print(run_trials.run_forked(lambda: time.sleep(99), timeout=0.5))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.startswith("(-6, ")
    assert "in run_forked" in ran.stdout


def test_count_broken_outputs_when_files_are_broken_counts_them(trained, tmp_path, capsys):
    (tmp_path / "images.pickle").write_bytes((trained / "images.pickle").read_bytes())
    (tmp_path / "a.json").write_bytes((trained / "autoencoder.json").read_bytes())
    assert run_trials.count_broken_outputs(tmp_path) == 0
    (tmp_path / "a.json").write_text('{"fingerprint": "other"}')
    assert run_trials.count_broken_outputs(tmp_path) == 1
    (tmp_path / "vis.png").write_bytes((trained / "plot.png").read_bytes()[:99])
    assert run_trials.count_broken_outputs(tmp_path) == 2
    (tmp_path / "a.json").unlink()
    assert run_trials.count_broken_outputs(tmp_path) == 1
    printed = capsys.readouterr().out
    assert "settings of one run beside images of another" in printed
    assert "vis.png can't be decoded" in printed


def test_count_broken_outputs_when_report_and_table_differ_counts_one(trained, tmp_path):
    for name in ("report.json", "anomalies.csv"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    assert run_trials.count_broken_outputs(tmp_path) == 0
    with (tmp_path / "anomalies.csv").open("a") as file:
        file.write("one more row\n")
    assert run_trials.count_broken_outputs(tmp_path) == 1


@pytest.mark.slow
def test_torture_when_it_tries_a_few_of_everything_finds_all_as_promised(tmp_path):
    """In a process of its own: this one has used TensorFlow and can't be forked any more."""
    command = [sys.executable, "-m", "pyimagesearch.torture", "--kills", "1", "--seconds", "3"]
    ran = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with (tmp_path / "torture.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 19
    for row in rows:
        assert row["times"] == row["as promised"] != "0", row
        assert {row[name] for name in ("executed", "tracebacks", "half-written")} == {"0"}
