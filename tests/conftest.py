import os
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch.silence import tensorflow_silenced

with tensorflow_silenced():
    import tensorflow  # noqa: F401  (first here, so that its start-up lines are caught)

ROOT = Path(__file__).parent.parent


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
