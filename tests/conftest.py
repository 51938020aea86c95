import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch.runtime.quiet import quiet_tensorflow

with quiet_tensorflow():
    import tensorflow  # noqa: F401  (first here, so that its start-up lines are caught)

ROOT = Path(__file__).parent.parent


def answers_without_packages(run, argv, program):
    """See that a program answers --help, and a wrong flag in one line, by Python alone.

    -S and -I: no installed package is in reach, so that nothing slow can be imported.

    Args:
        run: The call of `runpy` that runs the program.
        argv: Its `sys.argv`.
        program: What it calls itself.
    """
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[:] = {argv!r}; "
    code += f"import runpy; {run}"
    ran = subprocess.run([sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True)
    if "--help" in argv:
        assert ran.returncode == 0
        assert ran.stdout.startswith(f"usage: {program}")
    else:
        assert ran.returncode == 2
        assert ran.stdout == ""
        assert ran.stderr.startswith("error: ")
        assert ran.stderr.count("\n") == 1


def files_in(folder):
    """The names of all that is in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mnist():
    """Path of a local copy of MNIST."""
    path = os.environ.get("MNIST_NPZ")
    if not path:
        pytest.skip("REAL MNIST NOT TESTED: set MNIST_NPZ to the path of a local mnist.npz")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder in which both scripts have run with their defaults, on the bundled digits."""
    import find_anomalies
    import train_unsupervised_autoencoder

    folder = tmp_path_factory.mktemp("trained")
    files = [
        "--dataset",
        str(folder / "images.pickle"),
        "--model",
        str(folder / "autoencoder.model"),
    ]
    pictures = ["--vis", str(folder / "recon_vis.png"), "--plot", str(folder / "plot.png")]
    options = ["--source", "digits", "--quiet"]
    assert train_unsupervised_autoencoder.main([*files, *pictures, *options]) == 0
    assert find_anomalies.main([*files, "--output", str(folder), "--quiet"]) == 0
    return folder
