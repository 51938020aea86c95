"""Flags for the scripts, and readers of their results."""

import csv
import json

import pytest

from pyimagesearch.detection.trained_model import TrainedModel

# The files that both scripts write into one folder.
WRITTEN = [
    "anomalies.csv",
    "anomalies.png",
    "autoencoder.json",
    "autoencoder.model",
    "autoencoder.npz",
    "errors.png",
    "flagged.txt",
    "images.csv",
    "images.pickle",
    "plot.png",
    "recon_vis.png",
    "report.html",
    "report.json",
]


def training_flags(folder, *more):
    """Flags of a short training on the digits that writes into a folder, and more flags."""
    return [
        *("--dataset", str(folder / "images.pickle"), "--model", str(folder / "autoencoder.model")),
        *("--vis", str(folder / "recon_vis.png"), "--plot", str(folder / "plot.png")),
        *("--source", "digits", "--epochs", "2", "--filters", "4", *more),
    ]


def detection_flags(trained, folder, *more):
    """Flags of a detection with the results of training in one folder, into another folder."""
    files = ["-d", str(trained / "images.pickle"), "-m", str(trained / "autoencoder.model")]
    return [*files, "--output", str(folder), *more]


def table_of(folder):
    """The rows of `anomalies.csv` in a folder, as dicts of text."""
    with (folder / "anomalies.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def report_of(folder):
    """`report.json` in a folder; NaN in it fails the test."""
    return json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)


def data_of(folder):
    """The data in `report.html` in a folder."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    data = text.split('id="data">')[1].split("</script>")[0]
    return json.loads(data, parse_constant=pytest.fail)


def network_of(folder):
    """The network in a folder, as detection loads it."""
    return TrainedModel.load(folder / "autoencoder.model").autoencoder


def weights_of(folder):
    """The weights of the model in a folder."""
    return network_of(folder).get_weights()


def error_line(main, flags, capfd):
    """The one line of error that a script prints on invalid input."""
    assert main(flags) == 2
    printed = capfd.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    return printed
