import json

import numpy as np
import pytest

from pyimagesearch.benchmark import __main__ as benchmark
from pyimagesearch.benchmark import detection
from pyimagesearch.detection import metrics
from tests.benchmark.tables import make_table, read_csv


def detect(folder, *flags):
    """Make the table of detection; return its rows and the single results."""
    quick = ["--source", "digits", "--protocols", "contaminated", "--seeds", "0", "1"]
    rows = make_table("detection", folder, *quick, *flags)
    return rows, read_csv(folder / "detection_runs.csv")


def test_detection_when_run_again_reuses_single_results_and_summarizes(tmp_path, capsys):
    rows, runs = detect(tmp_path, "--methods", "pca-4")
    assert [(run["seed"], run["method"]) for run in runs] == [("0", "pca-4"), ("1", "pca-4")]
    mean = (float(runs[0]["average_precision"]) + float(runs[1]["average_precision"])) / 2
    assert [row["tasks"] for row in rows] == ["2"]
    assert float(rows[0]["average_precision"]) == pytest.approx(mean, abs=1e-4)
    # A result that is there is not measured again, whatever it says; a new method is.
    path = tmp_path / "detection_runs.csv"
    path.write_bytes(path.read_bytes().replace(runs[0]["seconds"].encode(), b"1234.5"))
    rows, runs = detect(tmp_path, "--methods", "pca-4", "pca-16")
    assert [run["seconds"] for run in runs][0] == "1234.5"
    assert [(row["method"], row["tasks"]) for row in rows] == [("pca-4", "2"), ("pca-16", "2")]
    printed = capsys.readouterr().out
    assert "1 of 1 methods to go" in printed
    assert "1 of 2 methods to go" in printed
    assert json.loads((tmp_path / "detection.json").read_text()) == rows


def test_detection_when_earlier_results_are_broken_is_an_error(tmp_path, capsys):
    (tmp_path / "detection_runs.csv").write_bytes(b"source,protocol\r\ndigits,few\n")
    flags = ["--source", "digits", "--methods", "pca-4", "--output", str(tmp_path)]
    assert benchmark.main(["detection", *flags]) == 2
    assert "detection_runs.csv is not a table of earlier results" in capsys.readouterr().err


@pytest.mark.slow
def test_detection_when_a_recipe_is_a_method_trains_it(tmp_path):
    _, runs = detect(tmp_path, "--methods", "robust mse", "tutorial mse", "--seeds", "0")
    found = {(run["method"], run["seed"]): float(run["average_precision"]) for run in runs}
    assert found["robust mse", "0"] > found["tutorial mse", "0"]


def test_evaluate_scores_when_one_score_stands_out_measures_it():
    scores = np.append(np.linspace(1, 2, 99), 30)
    measures = detection.evaluate_scores(scores, np.arange(100) == 99)
    assert set(measures) == set(detection.MEASURES)
    assert measures["clean_top"] == measures["auto_f1"] == measures["auroc"] == 1
    assert measures["auto_share"] == pytest.approx(0.01)
    measures = detection.evaluate_scores(scores, np.arange(100) == 98)
    assert measures["clean_top"] == measures["auto_f1"] == 0
    assert metrics.evaluate(scores, scores > 2, np.arange(100) == 98)["f1"] is not None
