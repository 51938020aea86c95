import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch import InputError, datasets
from pyimagesearch.datasets import as_images, build_unsupervised_dataset

LABELS = np.repeat([0, 1, 3, 7], [50, 100, 40, 60])


def pick(**settings):
    return build_unsupervised_dataset(np.arange(len(LABELS)), LABELS, **settings)


def test_contaminated_set_has_all_normal_images_and_the_share_of_anomalies():
    picked = pick(contam=0.05)
    assert np.bincount(LABELS[picked]).tolist() == [0, 100, 0, 5]
    assert len(set(picked.tolist())) == 105


def test_contaminated_set_is_shuffled():
    assert (np.flatnonzero(LABELS[pick(contam=0.05)] == 3) < 90).any()


def test_contaminated_set_depends_on_the_seed_alone():
    np.testing.assert_array_equal(pick(contam=0.1, seed=5), pick(contam=0.1, seed=5))
    one, other = set(pick(contam=0.1, seed=5).tolist()), set(pick(contam=0.1, seed=6).tolist())
    assert one != other


def test_contamination_is_rounded_down_but_not_below_what_was_meant():
    assert (LABELS[pick(contam=0.29)] == 3).sum() == 29  # 100 * 0.29 is 28.999999999999996
    assert (LABELS[pick(contam=0.059)] == 3).sum() == 5


def test_several_labels_and_others_are_taken_together():
    picked = pick(validLabel=[0, 1], anomalyLabel=[3, 7], contam=0.5)
    assert np.isin(LABELS[picked], [0, 1]).sum() == 150
    assert np.isin(LABELS[picked], [3, 7]).sum() == 75
    picked = pick(validLabel=1, anomalyLabel="others", contam=1.5)
    assert sorted(set(LABELS[picked].tolist())) == [0, 1, 3, 7]
    assert len(picked) == 250


def test_without_contamination_the_anomalies_label_does_not_matter():
    assert len(pick(validLabel=[0, 1, 3, 7], contam=0)) == 250


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validLabel": 2}, "no image has the label 2: choose among 0, 1, 3, 7"),
        ({"anomalyLabel": 9}, "label 9"),
        ({"anomalyLabel": [1, 3]}, "label 1 can't be normal and an anomaly"),
        ({"contam": 0.5}, "50 anomalies and there are 40: ask for at most 0.4000"),
        ({"contam": -0.1}, "received -0.1"),
        ({"contam": float("nan")}, "received nan"),
    ],
)
def test_contaminating_in_an_impossible_way_says_why(settings, message):
    with pytest.raises(InputError, match=message):
        pick(**settings)


def test_contaminated_source_keeps_images_names_and_labels_together():
    source = datasets.load("digits")
    dataset = datasets.contaminated(source, contam=0.05, seed=1)
    assert dataset.labels.sum() == 9
    for image, name, label in zip(dataset.images, dataset.names, dataset.labels, strict=True):
        index = int(name.removeprefix("digits/"))
        np.testing.assert_array_equal(image, source.images[index])
        assert label == (source.classes[index] == 3)


def test_default_contamination_is_the_tutorials_and_more_for_the_few_digits():
    digits = datasets.load("digits")
    assert datasets.contaminated(digits).labels.sum() == int(0.05 * (digits.classes == 1).sum())
    other = SimpleNamespace(**{**vars(digits), "name": "other"})
    assert datasets.contaminated(other).labels.sum() == int(0.01 * (digits.classes == 1).sum())


def test_images_judged_without_known_classes_have_unknown_labels():
    assert set(datasets.judged(datasets.load("digits"), None).labels.tolist()) == {-1}


def test_digits_are_scaled_and_enlarged():
    images = datasets.load("digits").images
    assert images.shape == (1797, 28, 28, 1)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1


@pytest.fixture
def npz(tmp_path, rng):
    """A small file in the layout of Keras's MNIST, and its arrays."""
    arrays = {
        "x_train": rng.integers(0, 256, (30, 6, 5), np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (12, 6, 5), np.uint8),
        "y_test": np.arange(12) % 3,
    }
    np.savez(tmp_path / "small.npz", **arrays)
    return str(tmp_path / "small.npz"), arrays


def test_npz_gives_the_split_that_was_asked_for(npz):
    path, arrays = npz
    test = datasets.load(path, "test")
    np.testing.assert_allclose(test.images[..., 0], arrays["x_test"] / 255, atol=1e-7)
    np.testing.assert_array_equal(test.classes, arrays["y_test"])
    both = datasets.load(path, "all")
    assert len(both.images) == len(both.names) == 42
    assert both.names[29:31] == ["train/29", "test/0"]


def test_npz_labels_may_be_a_column(npz):
    path, arrays = npz
    np.savez(path, **{**arrays, "y_train": arrays["y_train"][:, None]})
    assert datasets.load(path).classes.shape == (30,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.arange(29)}, r"one label an image .* \(29,\)"),
        ({"x_train": np.array([{}])}, "not a whole .npz file of numeric arrays"),
        ({"x_train": np.full((30, 6, 5), np.nan)}, "finite"),
        ({"x_train": np.zeros((30, 6))}, r"\(N, H, W\)"),
    ],
)
def test_npz_that_is_not_of_the_layout_is_refused(npz, change, message):
    path, arrays = npz
    np.savez(path, **{**arrays, **change})
    with pytest.raises(InputError, match=message):
        datasets.load(path)


def test_npz_without_the_arrays_names_those_it_has(tmp_path):
    np.savez(tmp_path / "other.npz", pixels=np.zeros(3))
    with pytest.raises(InputError, match="x_train, y_train in .* found pixels"):
        datasets.load(str(tmp_path / "other.npz"))


def test_npz_that_is_missing_broken_or_a_folder_is_refused(tmp_path, npz):
    with pytest.raises(InputError, match="there is no file"):
        datasets.load(str(tmp_path / "none.npz"))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="folder"):
        datasets.load(str(tmp_path / "folder.npz"))
    path, _ = npz
    whole = Path(path).read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        Path(path).write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a whole .npz"):
            datasets.load(path)


def test_unknown_source_is_refused_with_the_choices():
    with pytest.raises(InputError, match="auto, mnist, digits or a .npz"):
        datasets.load("no/such/thing")


@pytest.mark.parametrize(
    ("array", "largest"),
    [
        (np.full((2, 3, 4), 255, np.uint8), 1),
        (np.full((2, 3, 4, 3), 51, np.int64), 0.2),
        (np.full((2, 3, 4), 255.0), 1),
        (np.full((2, 3, 4), 0.5, np.float16), 0.5),
        (np.ones((2, 3, 4), bool), 1),
        (np.ones((1, 1, 1), np.uint8), 1),
        (np.zeros((2, 3, 4), np.uint8), 0),
    ],
)
def test_images_of_any_numeric_kind_come_out_in_the_common_form(array, largest):
    images, _ = as_images(array, "these")
    assert images.dtype == np.float32
    assert images.ndim == 4
    assert images.shape[:3] == array.shape[:3]
    assert images.max() == pytest.approx(largest)


def test_rescaling_is_told():
    assert "0 to 255" in as_images(np.full((1, 2, 2), 200.0), "these")[1]
    assert as_images(np.full((1, 2, 2), 0.7), "these")[1] is None


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"found float64 of shape \(4, 4\)"),
        (np.zeros((0, 4, 4)), "at least one image"),
        (np.zeros((3, 0, 4)), "at least one image"),
        (np.full((1, 2, 2), np.inf), "NaN or infinity"),
        (np.array([[[0, np.nan]]]), "NaN or infinity"),
        (np.full((1, 2, 2), -0.1), "found -0.1 to -0.1"),
        (np.full((1, 2, 2), 1.02), "found 1.02 to 1.02"),
        (np.full((1, 2, 2), 256), "found 256 to 256"),
        (np.full((1, 2, 2), 1j), "complex128"),
        (np.full((1, 2, 2), "a"), "<U1"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        as_images(array, "these")


@pytest.fixture
def silent_server():
    """The address of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/mnist.npz"


def test_server_that_never_answers_is_given_up(silent_server):
    assert not datasets.answers(silent_server, seconds=0.2)


def test_name_look_up_that_hangs_is_given_up(monkeypatch):
    forever = threading.Event()

    def hang(*_, **__):
        forever.wait(60)
        raise socket.gaierror("at last")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    assert not datasets.answers("http://nowhere.invalid/", seconds=0.2)
    forever.set()


def test_auto_without_a_network_is_the_digits_and_mnist_says_how_to_get_it(
    monkeypatch, tmp_path, silent_server
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(datasets, "MNIST_URL", silent_server)
    monkeypatch.setattr(datasets, "PATIENCE", 0.2)
    assert datasets.load("auto").name == "digits"
    with pytest.raises(datasets.Unavailable, match=r"--source PATH/TO/mnist\.npz"):
        datasets.load("mnist")


def test_damaged_mnist_in_the_cache_does_not_stop_auto(monkeypatch, tmp_path):
    # No name can be looked up here, so that Keras cannot fetch another.
    def fail(*_, **__):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").write_bytes(b"no such thing")
    assert datasets.load("auto").name == "digits"


def test_mnist_of_kerass_cache_is_taken_as_it_is(monkeypatch, tmp_path):
    import keras

    train = np.full((3, 28, 28), 255, np.uint8), np.array([1, 2, 3])
    test = np.zeros((2, 28, 28), np.uint8), np.array([4, 5])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").touch()
    # Keras takes no file but the very one it knows by its hash, which no test may need.
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (train, test))
    source = datasets.load("auto", "all")
    assert source.name == "mnist"
    assert source.classes.tolist() == [1, 2, 3, 4, 5]
    assert source.images.mean() == pytest.approx(0.6)
