"""The one command: it trains and finds, and ends by naming the oddest."""

import json
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO

import cv2
import numpy as np
import pytest

import find_anomalies
from pyimagesearch import __main__ as command
from pyimagesearch.data import preprocessing
from pyimagesearch.data.datasets import open_dataset
from pyimagesearch.detection.trained_model import TrainedModel
from tests.conftest import ROOT, answers_without_packages
from tests.running import table_of


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """A folder of small drawings, of which one is odd."""
    folder = tmp_path_factory.mktemp("drawings") / "icons"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        icon = np.zeros((16, 16), np.uint8)
        icon[4:12, 4 : 9 + i % 4] = rng.integers(180, 220)
        if i == 7:
            icon = icon.T + rng.integers(0, 90, (16, 16), np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), icon)
    return folder


@pytest.fixture
def icons(drawings, tmp_path, monkeypatch):
    """The folder in which such a folder lies, as its user types it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(drawings, "icons")
    return tmp_path


@pytest.fixture(scope="module")
def found(drawings):
    """The folder in which the one command has run on the drawings, and what it said."""
    with pytest.MonkeyPatch.context() as patch, StringIO() as said, redirect_stdout(said):
        patch.chdir(drawings.parent)
        assert command.main(["icons", "--epochs", "3", "--contamination", "0.03"]) == 0
        return drawings.parent, said.getvalue()


def test_one_command_trains_finds_and_names_the_oddest(found, icons):
    root, said = found
    folder = root / "output" / "icons"
    assert table_of(folder)[0]["name"] == "icons/07.png"
    assert (folder / "flagged.txt").read_text() == "icons/07.png\n"
    assert json.loads((folder / "model.json").read_text())["command"]["epochs"] == 3
    assert "the 5 oddest:" in said
    assert "output/icons/report.html" in said
    # What it printed to move the flagged images is what moves them.
    shutil.copytree(root / "output", "output")
    move = said.splitlines()[-1].partition("] ")[2]
    subprocess.run(["sh", "-c", move], check=True)
    assert sorted(path.name for path in (icons / "odd").iterdir()) == ["07.png"]
    assert len(list((icons / "icons").iterdir())) == 39


def test_flags_go_to_the_script_that_has_them(icons):
    flags = "icons --output o --seed 7 --score local --threshold -1 --top 3 --corrupt blur:1 --split all"
    train, find = command.commands(flags.split())
    assert "--seed 7 --corrupt blur:1 --split all" in shlex.join(train)
    assert "--score" not in train
    assert shlex.join(find).endswith("--output o --score local --threshold -1 --top 3 --split all")


def status_of(flags):
    """The exit status of the command."""
    try:
        return command.main(flags)
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["nowhere"], "expected a folder of images, received nowhere"),
        (["icons", "--nonsense", "3"], "unrecognized arguments: --nonsense 3"),
        (["icons", "--epochs", "many"], "--epochs"),
        (["icons", "--model", "m"], "unrecognized arguments: --model m"),
    ],
)
def test_wrong_words_end_in_one_line_and_write_nothing(icons, capfd, flags, reason):
    assert status_of(flags) == 2
    error = capfd.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
    assert not (icons / "output").exists()


@pytest.mark.parametrize("flags", [["--help"], ["--no-such-flag"]])
def test_command_line_when_no_package_is_installed_answers(flags):
    run = "runpy.run_module('pyimagesearch', run_name='__main__')"
    answers_without_packages(run, ["pyimagesearch", *flags], "python -m pyimagesearch")


def test_command_is_found_from_the_repository():
    ran = subprocess.run(
        [sys.executable, "-m", "pyimagesearch", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0
    assert "PHOTOS" in ran.stdout


def test_rule_is_that_of_the_training_for_its_own_images_and_trained_for_others(found, icons):
    shutil.copytree(found[0] / "output", "output")
    find = ["--model", "output/icons/model.keras", "--output", "new", "--quiet"]
    for dataset, rule in [
        ([str(icons / "icons")], "quantile 0.999"),
        (["icons/07.png", "icons/08.png"], "threshold trained"),
    ]:
        assert find_anomalies.main(["--dataset", *dataset, *find]) == 0
        report = json.loads((icons / "new" / "report.json").read_text())
        assert report["threshold_rule"] == rule, dataset
    model = TrainedModel.load("output/icons/model.keras")
    reading = preprocessing.reading_for(model.image_shape, model.settings["preprocessing"])
    for own in ("icons", "output/icons/images.pickle", "output/icons/images.csv"):
        assert model.was_trained_on(open_dataset(own, reading=reading))
