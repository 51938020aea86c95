import json

import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.data import dataset_files
from pyimagesearch.storage import atomic, model_files, ownership
from tests.conftest import files_in


def test_references_come_back_by_score(tmp_path, rng):
    path = tmp_path / "a.npz"
    mean = rng.random((2, 3, 4), np.float32)
    model_files.save_references(path, {"local": {"mean": mean, "precision": mean + 1}})
    loaded = model_files.load_reference(path, "local", model_files.reference_bytes((2, 3, 1)))
    assert set(loaded) == {"mean", "precision"}
    np.testing.assert_array_equal(loaded["mean"], mean)
    assert model_files.load_reference(path, "mse", model_files.reference_bytes((2, 3, 1))) == {}
    assert (
        model_files.load_reference(
            tmp_path / "none.npz", "local", model_files.reference_bytes((2, 3, 1))
        )
        == {}
    )
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a whole .npz file"):
        model_files.load_reference(path, "local", model_files.reference_bytes((2, 3, 1)))


def test_reference_is_bounded_by_the_size_of_the_images(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    local = {"mean": np.zeros((2, 3, 8), np.float32), "precision": np.zeros((2, 3, 8, 8), "f4")}
    model_files.save_references(path, {"local": local, "other": {"bank": np.zeros(10_000)}})
    monkeypatch.setattr(model_files, "MAX_REFERENCE_BYTES", 2 * 128)  # their headers
    assert (
        len(model_files.load_reference(path, "local", model_files.reference_bytes((2, 3, 1)))) == 2
    )
    monkeypatch.setattr(model_files, "MAX_REFERENCE_BYTES", 2 * 128 - 1)
    with pytest.raises(InputError, match="would unpack to 1,984 bytes; at most 1,983 may be"):
        model_files.load_reference(path, "local", model_files.reference_bytes((2, 3, 1)))


@pytest.fixture(scope="module")
def autoencoder():
    return ConvAutoencoder.build(7, 5, 1, filters=(4,), latentDim=2, seed=0)[2]


def save_model(path, model):
    """Save a model under any name, as training does."""
    with atomic.Transaction() as transaction:
        model_files.save_model(transaction.stage(path, ".tmp.keras"), model)


@pytest.mark.parametrize("name", ["a.model", "a.keras", "a.h5", "no suffix", "a.keras.zip"])
def test_model_comes_back_under_any_name(tmp_path, rng, autoencoder, name):
    save_model(tmp_path / name, autoencoder)
    assert files_in(tmp_path) == [name]
    loaded = ConvAutoencoder.build(7, 5, 1, filters=(4,), latentDim=2, seed=1)[2]
    model_files.load_weights(tmp_path / name, loaded)
    images = rng.random((2, 5, 7, 1), np.float32)
    np.testing.assert_array_equal(loaded(images), autoencoder(images))


def test_model_that_can_not_be_saved_leaves_the_old_one(tmp_path, autoencoder):
    (tmp_path / "a.model").write_bytes(b"old " + ownership.MARK)

    class Broken:
        def save(self, path):
            path.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="cannot write .*a.model: No space left"):
        save_model(tmp_path / "a.model", Broken())
    assert files_in(tmp_path) == ["a.model"]
    assert (tmp_path / "a.model").read_text().startswith("old")


def test_files_beside_a_dataset_or_model_have_its_stem(tmp_path):
    assert dataset_files.manifest_path("output/images.pickle").as_posix() == "output/images.csv"
    assert (
        model_files.settings_path("output/autoencoder.model").as_posix()
        == "output/autoencoder.json"
    )


def test_versions_are_json():
    assert json.loads(json.dumps(model_files.versions()))["keras"] == keras.__version__
