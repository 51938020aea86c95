import subprocess
import sys

from pyimagesearch.torture import run_trials
from tests.conftest import ROOT


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
