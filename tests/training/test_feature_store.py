import numpy as np
import pytest

from pyimagesearch.training import feature_store


@pytest.mark.parametrize("max_bytes", [10**6, 0], ids=["memory", "file"])
def test_maps_come_back_in_their_places_and_shapes(monkeypatch, rng, max_bytes):
    monkeypatch.setattr(feature_store, "MAX_BYTES_IN_MEMORY", max_bytes)
    rows = rng.normal(size=(5, 10)).astype(np.float16)
    with feature_store.FeatureStore(5, [(1, 2, 3), (2, 1, 2)]) as store:
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
