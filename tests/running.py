"""How tests call the scripts, and read what these write."""

import csv
import json

import pytest

from pyimagesearch.storage import model_files

# What both scripts leave in one folder.
WRITTEN = [
    "anomalies.csv",
    "anomalies.png",
    "autoencoder.json",
    "autoencoder.model",
    "autoencoder.npz",
    "errors.png",
    "images.csv",
    "images.pickle",
    "plot.png",
    "recon_vis.png",
    "report.html",
    "report.json",
]


def training_flags(folder, *more):
    """The flags of a short training on the digits, into a folder, and more flags."""
    return [
        *("--dataset", str(folder / "images.pickle"), "--model", str(folder / "autoencoder.model")),
        *("--vis", str(folder / "recon_vis.png"), "--plot", str(folder / "plot.png")),
        *("--source", "digits", "--epochs", "2", "--filters", "4", *more),
    ]


def detection_flags(trained, folder, *more):
    """The flags of a detection by what training left in one folder, into another."""
    files = ["-d", str(trained / "images.pickle"), "-m", str(trained / "autoencoder.model")]
    return [*files, "--output", str(folder), *more]


def table_of(folder):
    """The rows of `anomalies.csv` in a folder, as dicts of text."""
    with (folder / "anomalies.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def report_of(folder):
    """`report.json` in a folder; it fails where that has NaN in it."""
    return json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)


def data_of(folder):
    """What the page of a run shows, as it is embedded in it."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    data = text.split('id="data">')[1].split("</script>")[0]
    return json.loads(data, parse_constant=pytest.fail)


def weights_of(folder):
    """The weights of the model in a folder."""
    return model_files.load_model(folder / "autoencoder.model").get_weights()


def complaint(main, flags, capfd):
    """The one line that a script answers wrong input with."""
    assert main(flags) == 2
    told = capfd.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    return told
