import numpy as np
import pytest

from pyimagesearch.benchmark import scoring_speed, speed
from pyimagesearch.training.recipes import RECIPES
from tests.benchmark.tables import make_table


def measure(folder, *parts):
    """Measure parts of the table of speed on next to nothing; return its rows."""
    flags = ["--source", "digits", "--limit", "100", "--sizes", "70", "--files", "20"]
    return make_table("speed", folder, *flags, "--parts", *parts)


@pytest.mark.slow
def test_speed_when_scoring_has_ratios_and_equal_scores(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring_speed, "RECIPES", {"robust": RECIPES["robust"]})
    rows = measure(tmp_path, "machine", "scoring")
    for row in rows:
        if row["unit"] == "images/s":
            ratio = float(row["here"]) / float(row["there"])
            assert float(row["ratio"]) == pytest.approx(ratio, rel=0.01)
        if row["unit"] == "apart":
            assert float(row["here"]) < float(row["there"]) == 1e-5
    assert {row["images"] for row in rows if row["part"] == "scoring"} == {"70"}
    assert [row["what"] for row in rows[:3]] == ["processor", "GPUs", "matrix product"]


@pytest.mark.slow
def test_speed_when_other_parts_are_measured_has_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "TURNS", 1)
    run_script = speed.run_script

    def run_briefly(script, folder, *flags):
        run_script(script, folder, *flags, *(("--epochs", "1") if "--recipe" in flags else ()))

    monkeypatch.setattr(speed, "run_script", run_briefly)
    parts = set(speed.PARTS) - {"machine", "scoring", "growth"}  # see the other tests
    rows = measure(tmp_path, *sorted(parts))
    assert {row["part"] for row in rows} == parts
    # Of so few images the times are noise, and without the start-up even below 0.
    assert all(np.isfinite(float(row["here"])) for row in rows)


@pytest.mark.slow
def test_speed_when_there_are_more_images_needs_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "TURNS", 1)
    rows = measure(tmp_path, "growth", "--counts", "20000", "120000")
    small, large = (float(row["here"]) for row in rows if row["unit"] == "MiB")
    # Of the whole program, its table and page of results included: less than the pixels alone.
    assert large - small < 100_000 * 28 * 28 / 2**20
