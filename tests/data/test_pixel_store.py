import io
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch.data import pixel_store
from pyimagesearch.data.pixel_store import PixelStore


def random_pixels(rng, n):
    """Arrays of various shapes, some of bytes and some of numbers that need two of them."""
    shapes = [(2, 3, 1), (4, 1, 3), (1, 5, 3)]
    return [rng.integers(0, 256, shapes[i % 3]).astype(("u1", "u2")[i % 2]) for i in range(n)]


@pytest.mark.parametrize("max_bytes", [0, 60, 2**20], ids=["disk", "both", "memory"])
def test_arrays_come_back_whatever_the_order_and_the_threads(max_bytes, rng, monkeypatch):
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", max_bytes)
    arrays, store = random_pixels(rng, 50), PixelStore()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(store.put, range(50), arrays))
        order = rng.permutation(100) % 50
        found = list(threads.map(store.get, order))
    for index, pixels in zip(order, found, strict=True):
        np.testing.assert_array_equal(pixels, arrays[index], strict=True)
    assert store.get(50) is None
    assert (store._file is None) == (max_bytes == 2**20)
    in_memory = sum(arrays[name].nbytes for name in store._in_memory)
    assert in_memory <= max_bytes
    assert len(store._in_memory) + len(store._on_disk) == 50


def test_array_that_is_put_twice_is_kept_once(monkeypatch):
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 6)
    store = PixelStore()
    for _ in range(3):
        for name in ("memory", "disk"):
            store.put(name, np.ones((2, 3, 1), np.uint8))
    assert store._end == 6
    assert store._memory_left == 0


def test_at_most_half_of_the_free_disk_is_taken(monkeypatch):
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=27))
    store = PixelStore()
    for name in range(3):  # two of six bytes are within 13
        store.put(name, np.full((2, 3, 1), name, np.uint8))
    assert store.get(1).tolist() == [[[1]] * 3] * 2
    assert store.get(2) is None
    store.put("small", np.ones((1, 1, 1), np.uint8))
    assert store.get("small") is not None


@pytest.mark.parametrize("fault", ["full", "no folder"])
def test_disk_that_takes_nothing_is_done_without(fault, monkeypatch):
    monkeypatch.setattr(pixel_store, "MAX_BYTES_IN_MEMORY", 3)

    def fail(*args):
        raise OSError(28, "No space left on device")

    if fault == "full":
        full = io.BytesIO()
        full.write = fail
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: full)
    else:
        monkeypatch.setattr(tempfile, "gettempdir", fail)
    store = PixelStore()
    store.put("memory", np.ones((1, 1, 3), np.uint8))
    for _ in range(2):
        store.put("disk", np.ones((1, 1, 3), np.uint8))
    assert store.get("memory") is not None
    assert store.get("disk") is None
