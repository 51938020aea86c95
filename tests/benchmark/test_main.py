import csv
import json

import numpy as np
import pytest

from pyimagesearch.benchmark import __main__ as benchmark
from pyimagesearch.benchmark import common, detection, rotation
from pyimagesearch.benchmark import speed as benchmark_speed
from pyimagesearch.data.corruptions import CORRUPTIONS
from pyimagesearch.detection import metrics
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES, make_recipe
from tests.conftest import ROOT, answers_without_packages

QUICK = ["--source", "digits", "--epochs", "2", "--limit", "120"]


def run(table, folder, *flags):
    """Make a table; return its rows as dicts of text, as saved."""
    assert benchmark.main([table, *QUICK, "--output", str(folder), *flags]) == 0
    with (folder / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("table", benchmark.TABLES)
@pytest.mark.parametrize("flags", [["--help"], ["--no-such-flag"], ["--seed", "x"]])
def test_command_line_when_no_package_is_installed_answers(table, flags):
    run = "runpy.run_module('pyimagesearch.benchmark', run_name='__main__')"
    answers_without_packages(run, ["", table, *flags], f"python -m pyimagesearch.benchmark {table}")


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
        ["detection", "--protocols", "easy"],
        ["detection", "--methods", "magic"],
        ["detection", "--source", str(ROOT)],
    ],
)
def test_main_when_flags_or_sources_are_invalid_prints_one_line_and_returns_2(
    flags, tmp_path, capsys
):
    output = ["--output", str(tmp_path)] if flags else []
    assert benchmark.main([*flags, *output]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "[INFO]" not in printed.out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_architectures_when_made_has_a_row_for_each_network_and_noise(tmp_path, capsys):
    rows = run("architectures", tmp_path, "--strengths", "0.2", "0.4")
    assert [(row["architecture"], row["noise"]) for row in rows] == [
        (arch, noise) for arch in ARCHITECTURES for noise in ("0.2", "0.4")
    ]
    # What is printed is what is saved.
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[-len(rows) - 1 :]]
    assert printed == [list(rows[0]), *(list(row.values()) for row in rows)]


@pytest.mark.slow
def test_architectures_when_the_noise_is_stronger_has_a_higher_error_and_auroc(tmp_path):
    rows = run("architectures", tmp_path, "--archs", "dense", "--strengths", "0.2", "0.4", "0.6")
    for column in ("noisy", "ratio", "auroc"):
        values = [float(row[column]) for row in rows]
        assert values == sorted(values), column
    assert len({row["normal"] for row in rows}) == 1
    assert float(rows[-1]["auroc"]) > 0.95


@pytest.mark.slow
def test_architectures_when_the_seed_is_equal_is_equal(tmp_path):
    flags = ["--archs", "dense", "--strengths", "0.3"]
    first, second = (run("architectures", tmp_path, *flags) for _ in range(2))
    for row in first + second:
        del row["seconds"]
    assert first == second


@pytest.mark.slow
def test_rotation_when_made_has_each_class_alone_and_all_together(tmp_path, capsys):
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


def test_load_train_and_test_when_digits_halves_them():
    train, test = common.load_train_and_test("digits", seed=42)
    assert len(train.images) == len(train.classes) == len(train.names) == 899
    assert len(test.images) == 898
    assert not set(train.names) & set(test.names)


def test_quarter_turn_is_among_the_corruptions():
    assert rotation.QUARTER_TURN[0] in CORRUPTIONS


def detect(folder, *flags):
    """Make the table of detection; return its rows and the single results."""
    quick = ["--source", "digits", "--protocols", "contaminated", "--seeds", "0", "1"]
    assert benchmark.main(["detection", *quick, "--output", str(folder), *flags]) == 0
    rows = []
    for name in ("detection.csv", "detection_runs.csv"):
        with (folder / name).open(newline="") as file:
            rows.append(list(csv.DictReader(file)))
    return rows


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


def test_pair_tasks_when_made_contain_no_development_pair():
    tasks = detection.pair_tasks(range(10), [0])
    pairs = {(task.normal, task.anomalous) for task in tasks}
    assert len(pairs) == detection.N_PAIRS
    assert not pairs & set(detection.DEVELOPMENT_PAIRS)


@pytest.mark.parametrize("name", detection.PROTOCOLS)
def test_load_task_when_from_digits_has_the_share_of_anomalies(name):
    make_tasks, seeds = detection.PROTOCOLS[name]
    task = make_tasks([4], seeds)[0]
    train_images, test_images, labels = detection.load_task(task, "digits")
    assert len(labels) == len(train_images if test_images is None else test_images)
    n_normal = (labels == 0).sum()
    if test_images is None:
        assert (labels == 1).sum() == pytest.approx(task.contam * n_normal, abs=1)
    else:
        assert len(train_images) == n_normal  # of the digits, which have no splits


def test_evaluate_scores_when_one_score_stands_out_measures_it():
    scores = np.append(np.linspace(1, 2, 99), 30)
    measures = detection.evaluate_scores(scores, np.arange(100) == 99)
    assert set(measures) == set(detection.MEASURES)
    assert measures["clean_top"] == measures["auto_f1"] == measures["auroc"] == 1
    assert measures["auto_share"] == pytest.approx(0.01)
    measures = detection.evaluate_scores(scores, np.arange(100) == 98)
    assert measures["clean_top"] == measures["auto_f1"] == 0
    assert metrics.evaluate(scores, scores > 2, np.arange(100) == 98)["f1"] is not None


@pytest.mark.slow
def test_architectures_when_cnn_on_mnist_separates_noise(mnist, tmp_path):
    """A quality floor: the ratio that an earlier project reached with 60,000 images."""
    flags = ["--source", mnist, "--limit", "4000", "--archs", "cnn", "--strengths", "0.3"]
    (row,) = run("architectures", tmp_path, *flags)
    assert float(row["ratio"]) > 3.5
    assert float(row["auroc"]) >= 0.999


def speed(folder, *parts):
    """Measure parts of the table on next to nothing; return its rows as dicts of text."""
    flags = ["--source", "digits", "--limit", "100", "--sizes", "70", "--counts", "200", "100"]
    command = ["speed", *flags, "--files", "20", "--output", str(folder), "--parts", *parts]
    assert benchmark.main(command) == 0
    with (folder / "speed.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_speed_when_scoring_has_ratios_and_equal_scores(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_speed, "RECIPES", {"robust": RECIPES["robust"]})
    rows = speed(tmp_path, "machine", "scoring")
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
    monkeypatch.setattr(benchmark_speed, "TURNS", 1)
    parts = set(benchmark_speed.PARTS) - {"machine", "scoring", "growth"}  # see the other tests
    rows = speed(tmp_path, *sorted(parts))
    assert {row["part"] for row in rows} == parts
    # Of so few images the times are noise, and without the start-up even below 0.
    assert all(np.isfinite(float(row["here"])) for row in rows)


def test_count_operations_when_known_on_paper_is_equal():
    from pyimagesearch.models.architectures import build

    # 784-4-2 and back, on paper.
    network = build(make_recipe(arch="dense", filters=(4,), latent_dim=2), (28, 28, 1))
    assert benchmark_speed.count_operations(network) == 2 * 2 * (784 * 4 + 4 * 2)
    # A convolution of 5 filters at 4x4 places, and back to as many channels from as many places,
    # then at 8x8 places to a single one.
    network = build(make_recipe(arch="cnn", filters=(5,), batch_norm=False), (8, 8, 1))
    assert benchmark_speed.count_operations(network) == 2 * 9 * (16 * 5 + 16 * 25 + 64 * 5)


@pytest.mark.slow
def test_speed_when_there_are_more_images_needs_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_speed, "TURNS", 1)
    rows = speed(tmp_path, "growth", "--counts", "20000", "200000")
    small, large = (float(row["here"]) for row in rows if row["unit"] == "MiB")
    # Names and scores alone: some hundred bytes an image.
    assert large - small < 100
