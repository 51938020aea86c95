"""Every invalid input of the tables, given to its script."""

import shutil

import pytest

import find_anomalies
import train_unsupervised_autoencoder as train
from pyimagesearch.detection import trained_model
from pyimagesearch.torture import invalid_inputs, trials

SCRIPTS = {"train": train.main, "find": find_anomalies.main}
INPUTS = [("train", name) for name in invalid_inputs.TRAINING_INPUTS]
INPUTS += [("find", name) for name in invalid_inputs.DETECTION_INPUTS]


@pytest.fixture(scope="module", autouse=True)
def model_is_loaded_once():
    """Load a sound model once for all of these tests; one that is not is refused each time."""
    loaded, load_network = {}, trained_model.load_network

    def load(path, settings, precision):
        if path not in loaded:
            loaded[path] = load_network(path, settings, precision)
        return loaded[path]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained_model, "load_network", load)
        yield


@pytest.fixture(scope="module")
def results(trained, tmp_path_factory):
    """A copy of both scripts' results, which the tests must leave unchanged."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("results") / "earlier")


@pytest.mark.parametrize(("script", "name"), INPUTS)
def test_script_when_input_is_invalid_prints_one_line_and_writes_nothing(
    script, name, results, tmp_path, capfd
):
    table = invalid_inputs.TRAINING_INPUTS if script == "train" else invalid_inputs.DETECTION_INPUTS
    make_flags, message = table[name]
    before = trials.snapshot(results)
    names = ("images.pickle", "autoencoder.model", "recon_vis.png", "plot.png")
    flags = [str(results / name) for name in names]
    flags = [word for pair in zip(("-d", "-m", "-v", "-p"), flags, strict=True) for word in pair]
    more = ["--source", "digits"] if script == "train" else ["--output", str(results)]
    flags = flags if script == "train" else flags[:4]
    assert SCRIPTS[script]([*flags, *more, "--quiet", *make_flags(tmp_path)]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert trials.snapshot(results) == before
    assert not (tmp_path / "executed").exists()
