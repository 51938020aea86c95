import numpy as np
import pytest

from pyimagesearch import neighbourhood


def test_remoteness_is_the_squared_mean_distance_to_the_nearest_but_one_to_eleven():
    bank = np.arange(100, dtype=np.float32)[:, np.newaxis]
    found = neighbourhood.remoteness(np.array([[0.0], [-5.0]], np.float32), bank).numpy()
    # From 0: to 1 ... 10; from -5: to 1 ... 10, each 5 farther.
    np.testing.assert_allclose(found, [5.5**2, 10.5**2], rtol=1e-5)


def test_who_has_no_neighbours_is_not_remote():
    alone = np.ones((1, 3), np.float32)
    assert neighbourhood.remoteness(alone, alone).numpy().tolist() == [0]


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (45, 33, 3), (128, 96, 3), (1, 300, 1)])
def test_points_are_of_bounded_length_whatever_the_size(shape):
    found = neighbourhood.points(np.ones((2, *shape), np.float32))
    assert found.shape == (2, neighbourhood.length_of_point(shape))
    assert found.shape[1] <= 16 * 16 * shape[2]
    assert np.ptp(found) < 1e-6  # what is alike everywhere stays so, up to the edges


def test_points_of_twice_the_brightness_are_half_as_far_again(rng):
    image = (0.4 * rng.random((1, 8, 8, 1)) + 0.1).astype(np.float32)
    faint, bright = neighbourhood.points(np.concatenate([image, 2 * image])).numpy()
    np.testing.assert_allclose(bright, np.sqrt(2) * faint, rtol=0.01)


def test_bank_leaves_out_odd_ones_that_are_like_each_other(rng):
    points = rng.standard_normal((500, 4)).astype(np.float32)
    points[:8] = 20 + 0.01 * rng.standard_normal((8, 4))
    bank = neighbourhood.bank_of(points, 0.05, 0)
    assert len(bank) == 475
    assert bank.max() < 10
    # Told that there are none, it leaves nobody out.
    assert len(neighbourhood.bank_of(points, 0.0, 0)) == 500


def test_bank_is_bounded_and_the_same_with_the_same_seed(rng, monkeypatch):
    monkeypatch.setattr(neighbourhood, "BANK", 500)
    monkeypatch.setattr(neighbourhood, "BANK_NUMBERS", 40_000)
    points = rng.random((1200, 2)).astype(np.float32)
    one, same, other = (neighbourhood.bank_of(points, 0.1, seed) for seed in (0, 0, 1))
    assert one.shape == (500, 2)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    many_numbers = rng.random((600, 400)).astype(np.float32)
    assert neighbourhood.bank_of(many_numbers, 0.1, 0).shape == (100, 400)
