import contextlib
import os
import socket
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import arrays, datasets, sources
from pyimagesearch.data.arrays import as_images
from pyimagesearch.torture.malicious_files import MALICIOUS_FILES, SIMILAR_NAMES


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
        ({"y_train": np.zeros(30, "i4,i4")}, "expected numbers"),
        ({"y_train": np.zeros(30, "V3")}, "expected numbers"),
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


NPZ_BOUNDS = {
    **{f"two names: {name}": "two members are named x_train" for name in SIMILAR_NAMES},
    "one name twice": "two members are named x_train",
    "67 MB of zeros": r"would unpack to 67,\d{3},\d{3} bytes; at most 67,108,864 may be",
    "packed by bzip2": "packed by another method",
    "claim of 4 GiB": "claims 4,294,967,296 bytes, and it has 1",
    "a header of any length": "no array of numbers as np.save writes it",
}


@pytest.mark.parametrize(("name", "message"), NPZ_BOUNDS.items(), ids=NPZ_BOUNDS)
def test_each_bound_of_npz_is_the_one_that_refuses(tmp_path, name, message):
    path = tmp_path / "a.npz"
    path.write_bytes(MALICIOUS_FILES[".npz", name]("true"))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=message):
            sources.load_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_npz_may_hold_other_arrays_and_be_packed_or_not(npz):
    path, arrays = npz
    for save in (np.savez, np.savez_compressed):
        save(path, **arrays, x_val=np.zeros(3), note=np.array(["a"]))
        assert len(sources.load_npz(path).images) == 30


def test_npz_may_unpack_to_as_many_times_its_size_as_stated(npz, monkeypatch):
    path, arrays = npz
    unpacked = sum(arrays[key].nbytes + 128 for key in ("x_train", "y_train"))
    for bounds in ((unpacked, 99, 0), (10**9, 0, unpacked)):
        names = ("MAX_NPZ_BYTES", "MAX_PACKED_RATIO", "MAX_PACKED_BYTES")
        for name, bound in zip(names, bounds, strict=True):
            monkeypatch.setattr(sources, name, bound)
        assert len(sources.load_npz(path).images) == 30
        for name, bound in zip(names, bounds, strict=True):
            monkeypatch.setattr(sources, name, bound - 1 if bound == unpacked else bound)
        with pytest.raises(InputError, match="would unpack to"):
            sources.load_npz(path)


def test_npz_with_labels_of_text_is_read(npz):
    path, arrays = npz
    np.savez(path, **{**arrays, "y_train": np.resize(["cat", "dog"], 30)})
    assert sources.load_npz(path).classes.tolist()[:2] == ["cat", "dog"]


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a header of any length", "no array of numbers as np.save writes it"),
        ("more than its header says", "claims 1 bytes, and it has 2"),
        ("claim of a shape", "claims 70,368,744,177,664 bytes, and it has 1"),
        ("objects", "expected numbers, found object"),
    ],
)
def test_each_bound_of_npy_is_the_one_that_refuses(tmp_path, name, message):
    (tmp_path / "a.npy").write_bytes(MALICIOUS_FILES[".npy", name]("true"))
    with pytest.raises(InputError, match=message):
        sources.load_npy(tmp_path / "a.npy")


def test_npy_in_the_order_of_fortran_is_read(tmp_path, rng):
    array = np.asfortranarray(rng.random((4, 3, 5)))
    np.save(tmp_path / "a.npy", array)
    images = sources.load_npy(tmp_path / "a.npy").images
    np.testing.assert_array_equal(images[:][..., 0], array.astype(np.float32))


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_pipe_in_the_cache_of_keras_is_not_opened(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    os.mkfifo(tmp_path / "datasets" / "mnist.npz")
    monkeypatch.setattr("keras.datasets.mnist.load_data", lambda: pytest.fail("opened"))
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


@pytest.mark.parametrize("cached", ["a folder", "nothing"])
def test_mnist_that_is_neither_cached_nor_reachable_is_not_asked_for(monkeypatch, tmp_path, cached):
    """What lies in the place of the cache is no cache, even with a server that answers."""
    if cached == "a folder":
        (tmp_path / "datasets" / "mnist.npz").mkdir(parents=True)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "is_reachable", lambda *server: cached == "a folder")
    monkeypatch.setattr("keras.datasets.mnist.load_data", lambda: pytest.fail("Keras was asked"))
    with pytest.raises(sources.SourceUnavailable, match="is not in Keras's cache and can't be"):
        sources.load_mnist()
