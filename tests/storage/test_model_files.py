import json
import pickle
import zipfile

import cv2
import keras
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.convautoencoder import ConvAutoencoder
from pyimagesearch.data import dataset_files
from pyimagesearch.reporting import drawing
from pyimagesearch.storage import atomic, files, model_files, ownership
from tests.conftest import files_in


def test_images_come_back_to_the_bit_and_any_python_reads_them(tmp_path, rng):
    images = rng.random((3, 4, 5, 1), np.float32)
    dataset_files.save_images(tmp_path / "images.pickle", images)
    np.testing.assert_array_equal(dataset_files.load_images(tmp_path / "images.pickle"), images)
    bare = pickle.loads((tmp_path / "images.pickle").read_bytes())  # noqa: S301
    np.testing.assert_array_equal(bare, images)
    assert bare.dtype == np.float32


def test_pickle_of_the_same_images_is_the_same_file(tmp_path, rng):
    images = rng.random((3, 4, 5, 1), np.float32)
    dataset_files.save_images(tmp_path / "one", images)
    # The memory layout does not change the file.
    dataset_files.save_images(tmp_path / "two", np.asfortranarray(images))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_file_that_can_not_be_opened_is_reported(tmp_path):
    for load in (dataset_files.load_images, model_files.load_model):
        with pytest.raises(InputError, match="there is no file"):
            load(tmp_path / "none")
        with pytest.raises(InputError, match="expected a file, found the folder"):
            load(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="not a whole pickle"):
        dataset_files.load_images(tmp_path / "empty")
    with pytest.raises(InputError, match="not a whole .keras archive"):
        model_files.load_model(tmp_path / "empty")


def test_fingerprint_depends_on_values_and_shape_alone():
    images = np.arange(2400, dtype=np.float32).reshape(600, 2, 2, 1)
    altered = images.copy()
    altered[-1] += 1
    prints = [images, altered, images.reshape(600, 4, 1, 1), images[:-1], images[::-1]]
    assert len({dataset_files.fingerprint(a) for a in prints}) == 5
    assert dataset_files.fingerprint(np.asfortranarray(images)) == dataset_files.fingerprint(images)


def test_references_come_back_by_score(tmp_path, rng):
    path = tmp_path / "a.npz"
    mean = rng.random((2, 3, 4), np.float32)
    model_files.save_references(path, {"local": {"mean": mean, "precision": mean + 1}})
    loaded = model_files.load_reference(path, "local", (2, 3, 1))
    assert set(loaded) == {"mean", "precision"}
    np.testing.assert_array_equal(loaded["mean"], mean)
    assert model_files.load_reference(path, "mse", (2, 3, 1)) == {}
    assert model_files.load_reference(tmp_path / "none.npz", "local", (2, 3, 1)) == {}
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a whole .npz file"):
        model_files.load_reference(path, "local", (2, 3, 1))


def test_manifest_stands_for_itself_where_there_is_no_pickle(tmp_path):
    (tmp_path / "a.csv").write_text("index,name,label\n0,one.png,0\n1,two.png,-1\n")
    names, labels = dataset_files.load_manifest(tmp_path / "a.csv")
    assert names == ["one.png", "two.png"]
    assert labels.tolist() == [0, -1]
    (tmp_path / "a.csv").write_text("rank,score\n1,2\n")
    with pytest.raises(InputError, match="is not a manifest of image files"):
        dataset_files.load_manifest(tmp_path / "a.csv")
    with pytest.raises(InputError, match="there is no file"):
        dataset_files.load_manifest(tmp_path / "none.csv")


NAMES = [
    "plain",
    "with, comma",
    'with "quotes"',
    "two\nlines",
    "re\rturn",
    "größe/日本.png",
    " blanks ",
    "a\udce9b",
]


def test_manifest_comes_back_whatever_the_names(tmp_path):
    labels = np.resize(np.array([0, 1, -1], np.int8), len(NAMES))
    dataset_files.save_manifest(tmp_path / "images.csv", NAMES, labels)
    names, loaded = dataset_files.load_manifest(tmp_path / "images.csv", len(NAMES))
    assert names == NAMES
    np.testing.assert_array_equal(loaded, labels)
    assert (tmp_path / "images.csv").read_bytes().startswith(b"index,name,label\r\n0,plain,0\n")


def test_names_are_indices_and_labels_unknown_without_a_manifest(tmp_path):
    names, labels = dataset_files.load_manifest(tmp_path / "none.csv", 2)
    assert names == ["0", "1"]
    assert labels.tolist() == [-1, -1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "index,name,label\n0,a,0\n",  # one row for two images
        "index,name,label\n0,a,0\n1,b,0\n2,c,0\n",
        "index,name,label\n1,a,0\n0,b,0\n",
        "index,name,label\n0,a,0\n1,b,2\n",
        "index,name,label\n0,a,0\n1,b,\n",
        "index,name,label\n0,a,0\n1,b\n",
        "index,label\n0,0\n1,0\n",
        'index,name,label\n0,a,0\n1,"b,0\n',
    ],
)
def test_manifest_that_does_not_match_its_pickle_is_refused(tmp_path, text):
    (tmp_path / "images.csv").write_text(text)
    with pytest.raises(InputError, match="does not belong to the pickle"):
        dataset_files.load_manifest(tmp_path / "images.csv", 2)


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        files.save_json(tmp_path / "a.json", {"auroc": float("nan")})
    files.save_json(tmp_path / "a.json", {"auroc": None})
    assert files.load_json(tmp_path / "a.json") == {**ownership.WRITTEN_BY, "auroc": None}
    assert files.load_json(tmp_path / "none.json") == {}


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", "[" * 100_000])
def test_json_that_is_not_an_object_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text, "latin1")
    with pytest.raises(InputError, match="not a JSON object"):
        files.load_json(tmp_path / "a.json")


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
    loaded = model_files.load_model(tmp_path / name)
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


def test_truncated_or_altered_model_is_refused(tmp_path, autoencoder):
    save_model(tmp_path / "whole", autoencoder)
    data = (tmp_path / "whole").read_bytes()
    # Whole but for its last bytes, which are the mark of the suite, it would still be a model.
    shorter = data[: -len(ownership.MARK) - 1]
    for broken in (data[:100], data[: len(data) // 2], shorter, b"x" * 1000):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(InputError, match="broken"):
            model_files.load_model(tmp_path / "broken")
    with zipfile.ZipFile(tmp_path / "empty", "w"):
        pass
    with pytest.raises(InputError, match="can't be loaded as a Keras model"):
        model_files.load_model(tmp_path / "empty")


def test_hdf5_model_is_refused_whatever_its_name(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="HDF5 file, which can hide code"):
        model_files.load_model(tmp_path / "a.keras")


def test_model_with_code_in_it_is_refused_and_not_run(tmp_path):
    image = keras.Input((4, 4, 1))
    mark = str(tmp_path / "executed")
    hidden = keras.layers.Lambda(lambda x: [open(mark, "w"), x][1], output_shape=(4, 4, 1))  # noqa
    keras.Model(image, hidden(image)).save(tmp_path / "lambda.keras")
    (tmp_path / "executed").unlink(missing_ok=True)
    with pytest.raises(InputError, match="it asks for keras.layers.Lambda"):
        model_files.load_model(tmp_path / "lambda.keras")
    assert not (tmp_path / "executed").exists()


def test_model_that_is_not_an_autoencoder_is_refused_with_its_shapes(tmp_path):
    image = keras.Input((4, 4, 1))
    classifier = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(image)))
    save_model(tmp_path / "a.model", classifier)
    with pytest.raises(InputError, match=r"\(None, 4, 4, 1\) to \(None, 3\)"):
        model_files.load_model(tmp_path / "a.model")


def test_picture_keeps_its_colors(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 255  # red
    drawing.save_picture(tmp_path / "red.anything", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "red.anything"))[..., ::-1], picture)
    assert (tmp_path / "red.anything").read_bytes().startswith(b"\x89PNG")


def test_files_beside_a_dataset_or_model_have_its_stem(tmp_path):
    assert dataset_files.manifest_path("output/images.pickle").as_posix() == "output/images.csv"
    assert (
        model_files.settings_path("output/autoencoder.model").as_posix()
        == "output/autoencoder.json"
    )


def test_versions_are_json():
    assert json.loads(json.dumps(model_files.versions()))["keras"] == keras.__version__
