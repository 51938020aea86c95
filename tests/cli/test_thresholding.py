"""Another threshold for scores that are there already."""

import json
import shutil
import subprocess
import sys

import pytest

import find_anomalies
from pyimagesearch.cli import thresholding
from tests.conftest import ROOT
from tests.running import data_of, detection_flags, report_of, table_of


@pytest.fixture
def found(trained, tmp_path):
    """A folder of results of the digits, which a test may change."""
    for name in (*thresholding.FILES, "anomalies.png"):
        shutil.copy(trained / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("rule", [["--contamination", "0.05"], ["--threshold", "trained"]])
def test_other_threshold_gives_what_scoring_again_gives(trained, found, tmp_path, rule, capfd):
    assert find_anomalies.main(["--scores", str(found / "anomalies.csv"), *rule]) == 0
    said = capfd.readouterr().out
    again = tmp_path / "again"
    assert find_anomalies.main(detection_flags(trained, again, *rule, "--quiet")) == 0
    for name in ("anomalies.csv", "flagged.txt"):
        assert (found / name).read_bytes() == (again / name).read_bytes(), name
    reports = report_of(found), report_of(again)
    assert reports[0]["n_flagged"] > 1
    for report in reports:
        for name in ("seconds", "images_per_second", "flagged_list"):
            del report[name]
    assert reports[0] == reports[1]
    pages = data_of(found), data_of(again)
    for page in pages:
        del page["settings"], page["table"]  # that name the folder
    assert pages[0] == pages[1]
    assert f"{reports[0]['n_flagged']} outliers found" in said
    assert "the pictures still show the earlier threshold" in said


def test_other_threshold_is_set_again_and_again_without_tensorflow(found):
    """In a process in which importing TensorFlow or Keras fails."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import find_anomalies\n"
    code += "sys.modules.update(tensorflow=None, keras=None, sklearn=None, matplotlib=None)\n"
    code += f"flags = ['--scores', {str(found / 'anomalies.csv')!r}, '--threshold']\n"
    code += "sys.exit(sum(find_anomalies.main([*flags, t]) for t in ('9', '0', '0.03')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    names = (found / "flagged.txt").read_text().splitlines()
    assert names == [row["name"] for row in table_of(found) if row["flagged"] == "1"]
    assert len(names) == 9


def test_list_that_a_person_has_changed_is_theirs(found, capfd):
    path = found / "flagged.txt"
    path.write_text(path.read_text() + "mine\n")
    before = {file.name: file.read_bytes() for file in found.iterdir()}
    flags = ["--scores", str(found / "anomalies.csv"), "--threshold", "0.03"]
    assert find_anomalies.main(flags) == 2
    assert f"found {path}, which it has not written" in capfd.readouterr().err
    assert {file.name: file.read_bytes() for file in found.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text.replace("\n2,", "\n3,"), "each rank once"),
        (lambda text: text.replace("rank,", "place,"), "the columns rank"),
        (lambda text: text.replace("\n1,", "\n1,x"), "line 2: expected numbers"),
        (lambda text: text.replace("\n1,", f"\n{2**63},"), "line 2: expected numbers"),
    ],
)
def test_table_that_is_none_is_refused(found, capfd, change, reason):
    path = found / "anomalies.csv"
    path.write_bytes(change(path.read_bytes().decode()).encode())
    assert find_anomalies.main(["--scores", str(path), "--threshold", "0.03"]) == 2
    error = capfd.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


def test_page_and_report_of_a_stranger_end_in_one_line(found, capfd):
    flags = ["--scores", str(found / "anomalies.csv"), "--threshold", "0.03"]
    page = found / "report.html"
    page.write_text(page.read_text().replace('id="data">{', 'id="data">['))
    assert find_anomalies.main(flags) == 2
    assert "expected a report.html" in capfd.readouterr().err
    page.unlink()
    report = json.loads((found / "report.json").read_text())
    for bad in ({"calibration": [1]}, {"calibration": {"trained": 3}}, {"metrics": 7}):
        (found / "report.json").write_text(json.dumps({**report, **bad}))
        assert find_anomalies.main(flags) in (0, 2)
        assert "Traceback" not in capfd.readouterr().err
        flags[-1] = "0.04"


def test_scores_do_not_go_with_a_dataset(capfd):
    for flags, reason in [
        (["--scores", "a.csv", "-d", "x"], "received both"),
        (["-d", "x"], "required: --model"),
        (["--scores", "a.csv"], "expected an anomalies.csv"),
    ]:
        assert find_anomalies.main(flags) == 2
        assert reason in capfd.readouterr().err
