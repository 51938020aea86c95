from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.training import feature_store


@pytest.mark.parametrize("max_bytes", [100, 99], ids=["memory", "file"])
def test_maps_come_back_in_their_places_and_shapes(monkeypatch, rng, max_bytes):
    """Five rows of ten numbers of two bytes."""
    monkeypatch.setattr(feature_store, "MAX_BYTES_IN_MEMORY", max_bytes)
    rows = rng.normal(size=(5, 10)).astype(np.float16)
    with feature_store.FeatureStore(5, [(1, 2, 3), (2, 1, 2)]) as store:
        assert (store._file is None) == (max_bytes == 100)
        store.write(2, rows[2:])
        store.write(0, rows[:2])
        first, second = store.read(1, 3)
        assert first.dtype == np.float32
        np.testing.assert_array_equal(first.reshape(3, 6), rows[1:4, :6])
        np.testing.assert_array_equal(second.reshape(3, 4), rows[1:4, 6:])
        assert [len(maps) for maps in store.read(4, 64)] == [1, 1]


def test_numbers_beyond_half_precision_stay_finite():
    with feature_store.FeatureStore(1, [(1, 1, 2)]) as store:
        store.write(0, np.float32([[1e9, -1e9]]))
        assert np.isfinite(store.read(0, 1)[0]).all()


def test_full_disk_is_told_with_the_bytes_and_the_way_out(monkeypatch):
    monkeypatch.setattr(feature_store, "MAX_BYTES_IN_MEMORY", 0)
    with feature_store.FeatureStore(2, [(1, 2, 3)]) as store:

        def fail(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(store, "_file", SimpleNamespace(seek=fail, close=store._file.close))
        with pytest.raises(InputError, match="room for 24 bytes .*No space left.* variable TMPDIR"):
            store.write(0, np.zeros((2, 6)))
