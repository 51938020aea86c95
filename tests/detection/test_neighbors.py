import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from pyimagesearch.detection import neighbors
from pyimagesearch.training import sample_weights


def test_remoteness_is_the_squared_mean_distance_to_the_nearest_but_one_to_eleven():
    bank = np.arange(100, dtype=np.float32)[:, np.newaxis]
    found = neighbors.knn_distance(np.array([[0.0], [-5.0]], np.float32), bank).numpy()
    # From 0: to 1 ... 10; from -5: to 1 ... 10, each 5 farther.
    np.testing.assert_allclose(found, [5.5**2, 10.5**2], rtol=1e-5)


def test_who_has_no_neighbours_is_not_remote():
    alone = np.ones((1, 3), np.float32)
    assert neighbors.knn_distance(alone, alone).numpy().tolist() == [0]
    # As after a file from elsewhere.
    assert neighbors.knn_distance(alone, alone[:0]).numpy().tolist() == [0]


def test_company_is_told_by_mean_distances_to_shares_of_the_bank(rng):
    bank = rng.standard_normal((1000, 3)).astype(np.float32)
    points = np.concatenate([bank[:20], bank[:20] + 3])
    distances = np.sqrt(np.sort(cdist(points, bank), axis=1)[:, 1:] ** 2 + 0.01)
    expected = np.log(np.stack([distances[:, :k].mean(axis=1) for k in (2, 20, 200)], axis=1))
    np.testing.assert_allclose(
        neighbors.multiscale_knn_distances(points, bank), expected, atol=0.02
    )


@pytest.mark.parametrize("n", [4, 30, 400])
def test_each_scale_of_company_tells_something_of_its_own_among_few_too(rng, n):
    """Where two were always equal, a distance by them would be made of rounding."""
    points = rng.standard_normal((n, 3)).astype(np.float32)
    company = neighbors.multiscale_knn_distances(points, points).numpy()
    for one, other in itertools.pairwise(company.T):
        assert (one < other).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_company_among_few_is_finite(n):
    points = np.arange(n, dtype=np.float32)[:, np.newaxis]
    assert np.isfinite(neighbors.multiscale_knn_distances(points, points)).all()


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (45, 33, 3), (128, 96, 3), (1, 300, 1)])
def test_points_are_of_bounded_length_whatever_the_size(shape):
    found = neighbors.embed(np.ones((2, *shape), np.float32))
    assert found.shape == (2, neighbors.embedding_length(shape))
    assert found.shape[1] <= 16 * 16 * shape[2]
    assert np.ptp(found) < 1e-6  # what is alike everywhere stays so, up to the edges


def test_points_of_twice_the_brightness_are_half_as_far_again(rng):
    image = (0.4 * rng.random((1, 8, 8, 1)) + 0.1).astype(np.float32)
    faint, bright = neighbors.embed(np.concatenate([image, 2 * image])).numpy()
    np.testing.assert_allclose(bright, np.sqrt(2) * faint, rtol=0.01)


def test_bank_leaves_out_odd_ones_that_are_like_each_other(rng):
    points = rng.standard_normal((500, 4)).astype(np.float32)
    points[:8] = 20 + 0.01 * rng.standard_normal((8, 4))
    bank = sample_weights.trimmed_memory_bank(points, 0.05, 0)
    assert len(bank) == 475
    assert bank.max() < 10
    # Told that there are none, it leaves nobody out.
    assert len(sample_weights.trimmed_memory_bank(points, 0.0, 0)) == 500


def test_bank_is_bounded_and_the_same_with_the_same_seed(rng, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_BANK", 500)
    monkeypatch.setattr(neighbors, "MAX_BANK_NUMBERS", 40_000)
    points = rng.random((1200, 2)).astype(np.float32)
    one, same, other = (sample_weights.trimmed_memory_bank(points, 0.1, seed) for seed in (0, 0, 1))
    assert one.shape == (500, 2)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    many_numbers = rng.random((600, 400)).astype(np.float32)
    assert sample_weights.trimmed_memory_bank(many_numbers, 0.1, 0).shape == (100, 400)


def crowded(rng, n=1000):
    """Usual points, and eight odd ones that are like each other, not far from the usual."""
    points = rng.standard_normal((n, 8)).astype(np.float32)
    points[:8] = 0.2 * rng.standard_normal((8, 8)) + 1.5
    errors = np.ones(n, np.float32)
    errors[:6] = 30  # two are drawn as well as the usual ones
    return points, errors


def test_images_like_the_most_suspect_are_found_though_they_are_not_far(rng):
    points, errors = crowded(rng)
    fitted = neighbors.fit_memory_bank(points, errors)
    assert fitted["suspects"].shape == (11, 8)
    plain = neighbors.knn_distance(points, fitted["bank"]).numpy()
    found = neighbors.relative_knn_distance(points, **fitted).numpy()
    odd = np.arange(len(points)) < 8
    assert roc_auc_score(odd, found) > 0.98
    assert roc_auc_score(odd, plain) < 0.96


def test_the_oddest_are_not_among_the_usual(rng):
    points, errors = crowded(rng)
    points[0] = 30
    assert neighbors.fit_memory_bank(points, errors)["bank"].max() < 10


@pytest.mark.parametrize("n", [8, 20, 109])
def test_few_images_are_compared_with_usual_ones_alone(rng, n):
    points, errors = crowded(rng, n)
    fitted = neighbors.fit_memory_bank(points, errors)
    assert len(fitted["suspects"]) == 0
    np.testing.assert_array_equal(
        neighbors.relative_knn_distance(points, **fitted),
        neighbors.knn_distance(points, fitted["bank"]),
    )


def test_images_that_are_all_the_same_are_not_odd():
    fitted = neighbors.fit_memory_bank(np.ones((200, 3), np.float32), np.ones(200, np.float32))
    assert len(fitted["suspects"]) == 11
    found = neighbors.relative_knn_distance(np.array([[1, 1, 1], [1, 1, 2]], np.float32), **fitted)
    assert found[0] == 0 < found[1] < np.inf


def company(rng):
    """Usual points, a rare kind of these, and a chain of odd ones, of whom the first are known."""
    usual = rng.standard_normal((400, 2))
    rare = rng.standard_normal((20, 2)) + [5, 0]
    odd = np.stack([np.zeros(60), np.linspace(16, 5, 60)], axis=1)
    points = np.concatenate([usual, rare, odd]).astype(np.float32)
    return points, np.arange(400, 480), np.arange(420, 432)


def test_odd_ones_are_found_one_by_the_other_and_a_rare_kind_is_acquitted(rng):
    points, doubtful, suspects = company(rng)
    found, _ = sample_weights.propagate_outliers(points, doubtful, suspects, points[:0])
    assert found[:20].min() > 0.5
    # Twelve are known, and at least one more is found in each of eight steps.
    assert found[20:40].max() == 0


def test_images_beyond_the_sample_are_judged_as_those_in_it(rng, monkeypatch):
    monkeypatch.setattr(sample_weights, "CHUNK", 30)
    points, doubtful, suspects = company(rng)
    others = points[doubtful] + np.float32(0.01)
    inside, outside = sample_weights.propagate_outliers(points, doubtful, suspects, others)
    # Each of these has one neighbour more, the one that it is a copy of.
    assert np.abs(outside - inside).mean() < 0.05
    assert inside.tolist() != outside.tolist()


def test_nobody_is_in_their_own_company(monkeypatch):
    monkeypatch.setattr(sample_weights, "PROPAGATION_NEIGHBORS", 1)
    points = np.array([[0], [1], [5], [9], [10]], np.float32)
    found, _ = sample_weights.propagate_outliers(
        points, np.array([2]), np.array([3, 4]), points[:0]
    )
    assert found.tolist() == [0]  # as far from usual ones, 4, as from suspects
