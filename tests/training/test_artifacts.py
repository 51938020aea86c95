import dataclasses
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.cli.training_arguments import training_parser
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.data import dataset_files
from pyimagesearch.data.datasets import Dataset
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.data.sources import Source
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.storage import files, model_files
from pyimagesearch.training.artifacts import TrainingArtifacts, describe
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.train import TrainingResult
from pyimagesearch.training.trainer import History
from tests.training.on_disk import OnDisk

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


def training_of(images, interrupted=False):
    """A dataset of images, and the result of a training on them that has not happened."""
    labels = np.array([0, 1, 0, -1, 0], np.int8)
    dataset = Dataset(images, [f"{n}.png" for n in range(5)], labels)
    network = ConvAutoencoder.build(5, 4, 1, filters=(2,), latentDim=2, seed=0)[2]
    history = History([0.5, 0.25], [0.75], 1.5, np.array([3]), interrupted)
    recipe = make_recipe("shapes", "dense")
    return dataset, TrainingResult(network, np.arange(4), np.array([4]), history, recipe)


@pytest.mark.parametrize("interrupted", [False, True])
def test_saved_files_hold_what_was_given_and_an_interrupted_run_keeps_its_checkpoint(
    tmp_path, interrupted, rng, caplog
):
    artifacts = artifacts_of(tmp_path, "--max-pickle-mib", "0")
    artifacts.save_checkpoint(SETTINGS, {"loss": np.array([0.5])})
    images = rng.random((5, 4, 5, 1), np.float32)
    dataset, result = training_of(images, interrupted)
    pictures = [np.full((6, 7, 3), [value, 0, 255], np.uint8) for value in (10, 200)]
    references = {"local": {"mean": np.float32([1, 2])}}
    artifacts.save(dataset, result, references, {"seed": 7}, pictures)
    np.testing.assert_array_equal(dataset_files.load_images(tmp_path / "a.pickle"), images)
    names, labels = dataset_files.load_manifest(tmp_path / "a.csv", 5)
    assert names == dataset.names
    assert labels.tolist() == dataset.labels.tolist()
    for name, picture in zip(("v.png", "p.png"), pictures, strict=True):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / name))[..., ::-1], picture)
    model = ConvAutoencoder.build(5, 4, 1, filters=(2,), latentDim=2, seed=1)[2]
    model_files.load_weights(tmp_path / "b.model", model)
    np.testing.assert_array_equal(model(images), result.autoencoder(images))
    loaded = model_files.load_reference(tmp_path / "b.npz", "local", 1000)
    assert loaded["mean"].tolist() == [1, 2]
    assert files.load_json(tmp_path / "b.json")["seed"] == 7
    assert artifacts.checkpoint.exists() == interrupted
    assert ("continue with --resume" in caplog.text) == interrupted
    # Too many files for a pickle: an earlier one is not to lie beside another manifest.
    large = dataclasses.replace(dataset, images=OnDisk(images), names=list("vwxyz"))
    artifacts.save(large, result, references, {"seed": 8}, pictures)
    assert not (tmp_path / "a.pickle").exists()
    assert dataset_files.load_manifest(tmp_path / "a.csv", 5)[0] == list("vwxyz")


def test_images_are_read_at_once_only_by_one_worker_and_for_a_pickle(tmp_path, rng):
    images = rng.random((5, 4, 5, 1), np.float32)
    dataset, _ = training_of(OnDisk(images))
    artifacts = artifacts_of(tmp_path)
    loaded = artifacts.load_into_memory(dataset)
    assert isinstance(loaded.images, np.ndarray)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.names == dataset.names
    several = dataclasses.replace(artifacts, cluster=SimpleNamespace(workers=2))
    too_large = dataclasses.replace(artifacts, max_pickle_mib=0)
    for others in (several, too_large):
        assert others.load_into_memory(dataset) is dataset


def test_description_has_what_led_to_the_model(rng):
    dataset, result = training_of(rng.random((5, 4, 6, 1), np.float32))
    source = Source("digits", dataset.images, None, dataset.names, skipped={"broken.png": "why"})
    about = describe(dataset, result, source, "abc")
    assert about["recommended_score"] == "code"
    assert about["recipe"] == {**result.recipe.as_dict(), "epochs": 2}
    assert about["skipped"] == ["broken.png"]
    assert (about["n_images"], about["image_shape"]) == (5, (4, 6, 1))
    assert (about["source"], about["fingerprint"]) == ("digits", "abc")
    assert about["training"] == {
        **{"loss": [0.5, 0.25], "val_loss": [0.75], "seconds": 1.5},
        **{"suspects": [3], "interrupted": False},
    }
    assert about["preprocessing"] is about["trained_on"] is about["names"] is None
    paths = [Path(name) for name in dataset.names]
    from_files = ImageFiles(paths, (4, 6), True, "crop", facts={"is_gray": True})
    about = describe(dataset, result, dataclasses.replace(source, images=from_files), "abc")
    assert about["preprocessing"] == from_files.preprocessing
    assert about["trained_on"] == {"is_gray": True}
    assert about["names"] == dataset_files.names_digest(dataset.names)
