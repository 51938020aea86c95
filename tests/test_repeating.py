"""Repeated runs give the same results: from the start, or resumed."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import find_anomalies
import train_unsupervised_autoencoder as train
from pyimagesearch.detection import calibration
from pyimagesearch.reporting import results
from pyimagesearch.training.recipes import ARCHITECTURES
from tests.conftest import ROOT
from tests.running import (
    WRITTEN,
    detection_flags,
    error_line,
    table_of,
    training_flags,
    weights_of,
)


@pytest.mark.slow
def test_files_are_identical_with_the_same_seed_and_differ_with_another(tmp_path):
    for name, seed in (("one", "7"), ("same", "7"), ("other", "8")):
        (tmp_path / name).mkdir()
        assert train.main(training_flags(tmp_path / name, "--seed", seed, "--quiet")) == 0
        assert (
            find_anomalies.main(detection_flags(tmp_path / name, tmp_path / name, "--quiet")) == 0
        )
    for name in ("images.pickle", "images.csv", "anomalies.csv", "anomalies.png"):
        one = (tmp_path / "one" / name).read_bytes()
        assert one == (tmp_path / "same" / name).read_bytes(), name
        assert one != (tmp_path / "other" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_network_is_the_same_to_the_bit_when_trained_again(arch, tmp_path):
    for name in ("one", "same"):
        (tmp_path / name).mkdir()
        flags = training_flags(tmp_path / name, "--arch", arch, "--seed", "7", "--quiet")
        assert train.main(flags) == 0
        assert find_anomalies.main(detection_flags(tmp_path / name, tmp_path / name)) == 0
    for name in ("images.pickle", "images.csv", "anomalies.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "same" / name).read_bytes()
    for one, same in zip(weights_of(tmp_path / "one"), weights_of(tmp_path / "same"), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.slow
def test_command_in_the_json_trains_the_same_model_again(tmp_path):
    """Also where a path has a blank in it; the source is named once."""
    folder = tmp_path / "my results"
    folder.mkdir()
    assert train.main(training_flags(folder, "--corrupt", "noise:0.1", "--quiet")) == 0
    command = json.loads((folder / "autoencoder.json").read_text())["run_again"]
    assert command.count("--source") == 1
    weights, written = weights_of(folder), (folder / "images.pickle").read_bytes()
    (folder / "autoencoder.model").unlink()
    (folder / "images.pickle").unlink()
    python, script, *flags = shlex.split(command)
    assert (python, script) == ("python", "train_unsupervised_autoencoder.py")
    assert train.main(flags) == 0
    assert (folder / "images.pickle").read_bytes() == written
    for one, same in zip(weights, weights_of(folder), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.slow
def test_output_does_not_depend_on_the_number_of_threads(trained, tmp_path):
    printed = {}
    for threads in ("1", "2"):
        flags = detection_flags(trained, tmp_path / threads, "--score", "local", "--std", "3")
        environment = {
            **os.environ,
            "TF_NUM_INTRAOP_THREADS": threads,
            "TF_NUM_INTEROP_THREADS": threads,
        }
        command = [sys.executable, str(ROOT / "find_anomalies.py"), *flags]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        printed[threads] = ran.stdout.replace(str(tmp_path / threads), "")
    assert printed["1"] == printed["2"]
    # The same ranking; on some processors, the last digits of scores are those of other sums.
    for one, other in zip(table_of(tmp_path / "1"), table_of(tmp_path / "2"), strict=True):
        for name, tolerance in (("score", {"rel": 1e-4}), ("z_score", {"abs": 1e-3})):
            assert float(one.pop(name)) == pytest.approx(float(other.pop(name)), **tolerance)
        assert one == other


def assert_trained_alike(one, other):
    """The two folders hold networks that are equal to the bit, with equal settings."""
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    settings = [json.loads((folder / "autoencoder.json").read_text()) for folder in (one, other)]
    for about in settings:
        del about["command"], about["run_again"], about["training"]["seconds"]
    assert settings[0] == settings[1]
    assert not (other / ".autoencoder.model.resume").exists()


@pytest.mark.slow
def test_run_that_failed_after_training_is_resumed_without_training_again(
    tmp_path, monkeypatch, capfd
):
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    log = ["--logdir", str(tmp_path / "log")]
    assert train.main(training_flags(tmp_path / "whole", "--resume", *log)) == 0
    assert len(list((tmp_path / "log").iterdir())) == 1
    assert "[INFO] no checkpoint found; starting from scratch\n" in capfd.readouterr().out
    with monkeypatch.context() as patch:
        patch.setattr(calibration, "calibrate", lambda *_: 1 / 0)
        assert train.main(training_flags(tmp_path / "cut", "--quiet")) == 1
    assert "ZeroDivisionError" in capfd.readouterr().err
    assert "received epochs 3 where it has 2" in error_line(
        train.main, training_flags(tmp_path / "cut", "--resume", "--epochs", "3"), capfd
    )
    assert train.main(training_flags(tmp_path / "cut", "--resume")) == 0
    assert "[INFO] resuming after epoch 2\n" in capfd.readouterr().out
    assert_trained_alike(tmp_path / "whole", tmp_path / "cut")


def start_training(folder, *flags):
    """A process that trains on the digits for some seconds, and has completed an epoch."""
    folder.mkdir()
    command = [sys.executable, str(ROOT / "train_unsupervised_autoencoder.py")]
    # What a shell starts in the background ignores Ctrl-C, and so would whatever is started here.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen([*command, *training_flags(folder, *flags)], stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    while not (folder / ".autoencoder.model.resume").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.3])
def test_killed_run_when_resumed_gives_the_same_result(tmp_path, seconds):
    longer = ["--epochs", "40", "--quiet"]
    process = start_training(tmp_path / "cut", *longer)
    time.sleep(seconds)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (tmp_path / "cut" / "autoencoder.model").exists()
    assert train.main(training_flags(tmp_path / "cut", *longer, "--resume")) == 0
    (tmp_path / "whole").mkdir()
    assert train.main(training_flags(tmp_path / "whole", *longer)) == 0
    assert_trained_alike(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.slow
def test_interrupted_run_leaves_a_complete_model_and_can_be_resumed(tmp_path):
    longer = ["--epochs", "300", "--quiet"]
    process = start_training(tmp_path / "cut", *longer)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate()
    assert process.returncode == 130
    assert printed.decode().strip() == "interrupted"
    assert sorted(path.name for path in (tmp_path / "cut").iterdir() if path.name[0] != ".") == [
        name for name in WRITTEN if name not in results.FILES
    ]
    about = json.loads((tmp_path / "cut" / "autoencoder.json").read_text())
    assert 1 <= len(about["training"]["loss"]) == about["recipe"]["epochs"] < 300
    assert find_anomalies.main(detection_flags(tmp_path / "cut", tmp_path, "--quiet")) == 0
    assert train.main(training_flags(tmp_path / "cut", *longer, "--resume")) == 0
    (tmp_path / "whole").mkdir()
    assert train.main(training_flags(tmp_path / "whole", *longer)) == 0
    assert_trained_alike(tmp_path / "whole", tmp_path / "cut")
