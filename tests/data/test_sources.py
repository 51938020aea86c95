import contextlib
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import arrays, datasets, sources
from pyimagesearch.data.arrays import as_images


def test_digits_are_scaled_and_enlarged():
    images = datasets.load("digits").images
    assert images.shape == (1797, 28, 28, 1)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1


def test_npz_is_loaded_by_split(npz):
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
        ({"y_train": np.arange(29)}, r"one label per image .* \(29,\)"),
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
    with pytest.raises(InputError, match=r"no file or folder at .*none\.npz: check the path"):
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


@pytest.mark.parametrize(
    "array",
    [
        np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3),
        np.arange(5 * 4 * 3 * 3, dtype=np.uint8).reshape(5, 4, 3, 3),
        np.linspace(0, 1, 60).reshape(5, 4, 3),
        np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 4, 3, 1),
        np.linspace(0, 255, 60, dtype=">f4").reshape(5, 4, 3, 1),
        np.arange(60).reshape(5, 4, 3) % 2 == 0,
    ],
    ids=lambda array: f"{array.dtype}-{array.ndim}d",
)
def test_npy_is_indexed_as_its_array_in_the_common_form(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    source = sources.load_npy(tmp_path / "a.npy")
    expected, _ = as_images(array, "these")
    assert isinstance(source.images.array, np.memmap)
    assert source.images.shape == expected.shape
    assert len(source.images) == len(source.names) == 5
    assert source.labels.tolist() == [-1] * 5
    for indices in (slice(None), slice(1, 3), np.array([4, 0]), 2):
        pixels = source.images[indices]
        assert type(pixels) is np.ndarray
        assert pixels.dtype == np.float32
        assert pixels.flags.writeable
        np.testing.assert_array_equal(pixels, expected[indices])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"found float64 of shape \(4, 4\)"),
        (np.array([[[{}]]]), "not a whole .npy file of numbers"),
        (np.full((3, 2, 2), "a"), "<U1"),
        (np.concatenate([np.zeros((8, 2, 2)), np.full((1, 2, 2), np.nan)]), "NaN"),
        (np.concatenate([np.full((1, 2, 2), np.nan), np.zeros((8, 2, 2))]), "NaN"),
        (np.concatenate([np.zeros((8, 2, 2)), np.full((1, 2, 2), 256)]), "found 0 to 256"),
        (np.concatenate([np.full((1, 2, 2), -1), np.zeros((8, 2, 2))]), "found -1 to 0"),
    ],
)
def test_npy_that_is_not_of_images_is_refused_in_whatever_chunk(
    tmp_path, monkeypatch, array, message
):
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 64)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        sources.load_npy(tmp_path / "a.npy")


def test_npy_that_is_missing_broken_or_something_else_is_refused(tmp_path, npz):
    with pytest.raises(InputError, match="there is no file"):
        sources.load_npy(tmp_path / "none.npy")
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4)))
    whole = (tmp_path / "a.npy").read_bytes()
    for data in (b"", whole[:5], whole[:100], whole[:-1], Path(npz[0]).read_bytes()):
        (tmp_path / "b.npy").write_bytes(data)
        with pytest.raises(InputError, match="not a whole .npy file"):
            sources.load_npy(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros((0, 4, 4)))
    with pytest.raises(InputError, match=r"c\.npy"):
        sources.load_npy(tmp_path / "c.npy")


def test_server_that_never_accepts_is_given_up_after_its_first_address(monkeypatch):
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # as many as fill its queue
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        address = socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 16)
        started = time.monotonic()
        assert not sources.is_reachable(("nowhere.invalid", 443), 0.2)
        assert time.monotonic() - started < 2


def test_proxy_is_left_to_keras(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert sources.is_reachable(("nowhere.invalid", 443), 0.2)


def test_auto_is_the_digits_and_mnist_a_hint_when_the_server_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "DOWNLOAD_TIMEOUT", 0.2)
    # A server that accepts connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
        assert datasets.load("auto").name == "digits"
        with pytest.raises(sources.SourceUnavailable, match=r"--source PATH/TO/mnist\.npz"):
            datasets.load("mnist")
    assert socket.getdefaulttimeout() is None


def test_damaged_mnist_in_the_cache_does_not_stop_auto(monkeypatch, tmp_path):
    # No name can be looked up here, so that Keras cannot fetch another.
    def fail(*_, **__):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").write_bytes(b"no such thing")
    assert datasets.load("auto").name == "digits"


def test_mnist_is_loaded_from_the_cache_of_keras(monkeypatch, tmp_path):
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
