import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.cli.training_arguments import training_parser
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training.artifacts import TrainingArtifacts

SETTINGS = {"seed": 1}


def artifacts_of(folder, *flags):
    files = ["-d", str(folder / "a.pickle"), "-m", str(folder / "b.model")]
    pictures = ["-v", str(folder / "v.png"), "-p", str(folder / "p.png")]
    args = training_parser().parse_args([*files, *pictures, *flags])
    return TrainingArtifacts.from_args(args, Cluster())


def test_paths_of_artifacts_lie_beside_the_dataset_and_the_model(tmp_path):
    artifacts = artifacts_of(tmp_path)
    assert artifacts.manifest == tmp_path / "a.csv"
    assert artifacts.settings == tmp_path / "b.json"
    assert artifacts.references == tmp_path / "b.npz"
    assert artifacts.checkpoint == tmp_path / ".b.model.resume"


@pytest.mark.parametrize("name", ["a.csv", "b.json", "b.npz", "v.png", ".b.model.resume"])
def test_artifacts_over_an_unmarked_file_are_refused(tmp_path, name):
    artifacts_of(tmp_path).check_writable()
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(InputError, match=name):
        artifacts_of(tmp_path).check_writable()


def test_artifacts_over_the_source_are_refused(tmp_path):
    with pytest.raises(InputError, match="b.npz"):
        artifacts_of(tmp_path, "--source", str(tmp_path / "b.npz")).check_writable()


def test_folder_of_images_is_pickled_up_to_its_limit_and_an_array_always(tmp_path):
    artifacts = artifacts_of(tmp_path, "--max-pickle-mib", "1")
    assert artifacts.is_pickled(SimpleNamespace(shape=(1, 512, 512, 1)))  # a MiB in float32
    assert not artifacts.is_pickled(SimpleNamespace(shape=(1, 512, 513, 1)))
    assert artifacts.is_pickled(np.zeros((1, 512, 513, 1), np.float32))


def test_checkpoint_is_loaded_only_with_resume(tmp_path):
    artifacts = artifacts_of(tmp_path)
    resumed = dataclasses.replace(artifacts, resume=True)
    assert resumed.load_checkpoint(SETTINGS) is None
    artifacts.save_checkpoint(SETTINGS, {"loss": np.array([0.5])})
    assert artifacts.load_checkpoint(SETTINGS) is None
    assert resumed.load_checkpoint(SETTINGS)["loss"].tolist() == [0.5]
