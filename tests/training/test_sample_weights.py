import functools

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pyimagesearch.data import batches
from pyimagesearch.detection import neighbors
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.training import sample_weights
from pyimagesearch.training.recipes import make_recipe
from pyimagesearch.training.sample_weights import TrimmedWeighting, make_sample_weighting


@pytest.mark.parametrize("trim", [0.01, 0.05, 0.25, 0.5, 0.98])
def test_weights_rise_with_rank_from_0_to_1_and_take_away_the_trim(trim, rng):
    outlier_scores = rng.permutation(1000).astype(float)
    weights = sample_weights.trimmed_sample_weights(outlier_scores, trim)
    by_rank = weights[np.argsort(-outlier_scores)]
    assert (np.diff(by_rank) >= 0).all()
    assert by_rank[0] == pytest.approx(0, abs=0.1)
    assert by_rank[-1] == 1
    assert weights.mean() == pytest.approx(1 - trim, abs=2e-3)
    # A soft limit: some count in part, however small the trim is.
    assert 15 <= np.count_nonzero((weights > 0) & (weights < 1)) <= 40


def test_outlier_scores_are_losses_times_what_was_known_before():
    losses = np.array([5, 7])
    assert TrimmedWeighting(0.1, np.array([2, 3])).outlier_scores(losses).tolist() == [10, 21]
    assert TrimmedWeighting(0.1).outlier_scores(losses).tolist() == [5, 7]


def test_equal_outlier_scores_are_ranked_by_the_order_of_the_images():
    assert sample_weights.trimmed_sample_weights(np.ones(4), 0.5).tolist() == [0, 0.5, 1, 1]


@pytest.mark.parametrize("divisor", [1, 7])
def test_images_that_count_several_times_fill_as_much_of_the_trim(divisor, monkeypatch):
    """Of eight, the highest scores count 3, 1 and 4: half of the weight ends with the second."""
    monkeypatch.setattr(sample_weights, "ramp_half_width", lambda n, trim: 1e-9)
    counts = np.array([4, 1, 3]) / divisor
    for trim, expected in ((0.4, [1, 1, 0]), (0.45, [1, 1, 0]), (0.55, [1, 0, 0])):
        weighting = TrimmedWeighting(trim, frequency_weights=counts)
        assert weighting(np.array([5, 6, 7])).tolist() == expected
    images, of_neighbors = np.zeros((3, 8, 8, 1), np.float32), make_recipe(trim=0.45)
    arguments = images, np.arange(3), of_neighbors, 0, Cluster(), counts
    assert make_sample_weighting(*arguments)(np.array([5, 6, 7])).tolist() == [1, 1, 0]


@pytest.mark.parametrize("n", [1, 2, 30])
@pytest.mark.parametrize("trim", [0, 0.001, 0.05, 0.5, 0.999])
def test_some_weight_is_always_left(n, trim):
    assert sample_weights.trimmed_sample_weights(np.arange(n), trim).max() > 0
    if not trim:
        assert sample_weights.trimmed_sample_weights(np.arange(n), trim).tolist() == [1] * n


def bars(rng, n=600, n_outliers=20):
    """Images of upright bars, the last of them of lying bars, and outlier scores that rise."""
    images = 0.1 * rng.random((n, 8, 8, 1), np.float32)
    inliers = np.arange(n - n_outliers)
    images[inliers, :, rng.integers(0, 8, len(inliers))] += 0.5
    images[np.arange(n - n_outliers, n), rng.integers(3, 5, n_outliers)] += 0.5
    return images, np.arange(n, dtype=np.float32)


def weighting_of(images, recipe=None, cluster=None):
    """The sample weighting of a recipe on images that lie scattered among as many of NaN."""
    n = len(images)
    trained = np.sort(np.random.default_rng(1).choice(2 * n, n, replace=False))
    scattered = np.full((2 * n, *images.shape[1:]), np.nan, np.float32)
    scattered[trained] = images
    recipe = recipe or make_recipe()
    return make_sample_weighting(scattered, trained, recipe, 0, cluster or Cluster())


def compare_with_some(monkeypatch):
    """Let the images to compare with be two thirds of them."""
    monkeypatch.setattr(sample_weights, "subsample", functools.partial(batches.subsample, n=400))


def test_initial_outlier_scores_are_relative_distances_to_a_bank_without_the_trim(rng):
    """By hand: the farthest 11 of 60 (a fifth, less half of the ramp) leave the bank, four times."""
    images = rng.random((60, 6, 8, 2), np.float32) * rng.uniform(0.3, 1, (60, 1, 1, 1))
    images = images.astype(np.float32)
    points, kept = neighbors.embed(images).numpy(), np.arange(60)
    for _ in range(5):
        distances = np.sort(cdist(points, points[kept]), axis=1)[:, 1:11].mean(1) ** 2
        kept = np.sort(np.argsort(distances)[:49])
    expected = distances / np.sqrt(np.mean(images**2, (1, 2, 3)) + 1e-3)
    found = weighting_of(images, make_recipe(trim=0.2)).initial_outlier_scores
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_candidates_unlike_the_outliers_keep_their_weight(rng, monkeypatch):
    compare_with_some(monkeypatch)
    images, outlier_scores = bars(rng)
    weights = weighting_of(images)(outlier_scores)
    assert np.flatnonzero(weights == 0).tolist() == list(range(580, 600))
    by_rank = sample_weights.trimmed_sample_weights(outlier_scores, make_recipe().trim)
    assert by_rank[562:580].max() < 1  # by their rank alone they would count in part
    assert weights[562:580].min() > 0.9


def test_highest_outlier_scores_weigh_nothing_whatever_the_images_are_like(rng):
    images, outlier_scores = bars(rng)
    images[-1] = images[0]
    weights = weighting_of(images)(outlier_scores)
    assert np.flatnonzero(weights == 0).tolist() == list(range(580, 600))


def test_no_more_images_are_candidates_than_the_trim_allows(rng):
    images, outlier_scores = bars(rng)
    weights = weighting_of(images, make_recipe(trim=0.008))(outlier_scores)
    assert 0 < np.count_nonzero(weights < 1) <= 2 * 0.008 * 600


@pytest.mark.parametrize("trim", [0.5, 0.9, 0.999])
def test_some_weight_is_left_where_most_images_are_candidates(rng, trim):
    images = rng.random((150, 8, 8, 1), np.float32)
    weights = weighting_of(images, make_recipe(trim=trim))(np.arange(150))
    assert 0 <= weights.min() < weights.max() <= 1


def test_processes_that_share_the_work_agree_with_one_that_does_it_all(rng, monkeypatch):
    compare_with_some(monkeypatch)
    images, outlier_scores = bars(rng)

    class Half:
        def __init__(self, part):
            self.local_slice, self.all_reduce_sum = (lambda n: part), (lambda array: array)

    def both(cluster):
        weighting = weighting_of(images, cluster=cluster)
        return np.stack([weighting.initial_outlier_scores, weighting(outlier_scores)])

    parts = [both(Half(slice(0, 350))), both(Half(slice(350, 600)))]
    np.testing.assert_allclose(sum(parts), both(Cluster()), rtol=1e-5)


def test_neighbors_are_not_looked_at_where_nothing_is_trimmed_or_outliers_may_be_many(rng):
    images, _ = bars(rng)
    for recipe in (make_recipe(trim=0), make_recipe("shapes"), make_recipe("tutorial")):
        weighting = weighting_of(images, recipe)
        assert type(weighting) is TrimmedWeighting
        assert weighting.initial_outlier_scores is None
        assert weighting.trim == recipe.trim


def test_trimmed_memory_bank_with_a_group_of_outliers_leaves_them_out(rng):
    points = rng.standard_normal((500, 4)).astype(np.float32)
    points[:8] = 20 + 0.01 * rng.standard_normal((8, 4))
    bank = sample_weights.trimmed_memory_bank(points, 0.05, 0)
    assert len(bank) == 475
    assert bank.max() < 10
    # With nothing to trim, it has all of them.
    assert len(sample_weights.trimmed_memory_bank(points, 0.0, 0)) == 500


def test_trimmed_memory_bank_is_bounded_and_the_same_with_the_same_seed(rng, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_BANK", 500)
    monkeypatch.setattr(neighbors, "MAX_BANK_NUMBERS", 40_000)
    points = rng.random((1200, 2)).astype(np.float32)
    one, same, other = (sample_weights.trimmed_memory_bank(points, 0.1, seed) for seed in (0, 0, 1))
    assert one.shape == (500, 2)
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    many_numbers = rng.random((600, 400)).astype(np.float32)
    assert sample_weights.trimmed_memory_bank(many_numbers, 0.1, 0).shape == (100, 400)


def chained(rng):
    """Inliers, a rare kind of these, and a chain of outliers, of which the first are known."""
    inliers = rng.standard_normal((400, 2))
    rare = rng.standard_normal((20, 2)) + [5, 0]
    chain = np.stack([np.zeros(60), np.linspace(16, 5, 60)], axis=1)
    points = np.concatenate([inliers, rare, chain]).astype(np.float32)
    return points, np.arange(400, 480), np.arange(420, 432)


def test_propagation_finds_a_chain_of_outliers_and_keeps_a_rare_kind_of_inliers(rng):
    points, candidates, outliers = chained(rng)
    found, _ = sample_weights.propagate_outliers(points, candidates, outliers, points[:0])
    assert found[:20].min() > 0.5
    # Twelve are known, and at least one more is found in each of eight steps.
    assert found[20:40].max() == 0


def test_propagation_beyond_the_sample_agrees_with_that_in_it(rng, monkeypatch):
    monkeypatch.setattr(sample_weights, "CHUNK", 30)
    points, candidates, outliers = chained(rng)
    others = points[candidates] + np.float32(0.01)
    inside, outside = sample_weights.propagate_outliers(points, candidates, outliers, others)
    # Each of these has one neighbor more, the one that it is a copy of.
    assert np.abs(outside - inside).mean() < 0.05
    assert inside.tolist() != outside.tolist()


def test_propagation_weighs_by_the_ratio_of_mean_distances_to_five_of_either():
    """At x, inliers are x away in the mean, and outliers 10 - x; others are too far to count."""
    inliers, outliers = [-2, -1, 0, 1, 2, -50, -60], [8, 9, 10, 11, 12, 70, 80]
    points = np.float32([*inliers, *outliers])[:, np.newaxis]
    ratios = np.float32([0.5, 0.6, 0.65, 0.7, 0.8, 0.9])
    others = (10 * ratios / (1 + ratios))[:, np.newaxis]
    _, found = sample_weights.propagate_outliers(points, np.arange(0), np.arange(7, 14), others)
    np.testing.assert_allclose(found, [1, 1, 0.75, 0.5, 0, 0], atol=0.002)


def test_propagation_takes_eight_steps(monkeypatch):
    """In each, the next point of a row is as near to the last outlier as to its inlier."""
    monkeypatch.setattr(sample_weights, "PROPAGATION_NEIGHBORS", 1)
    row = np.stack([np.arange(14), np.zeros(14)], axis=1)
    points = np.concatenate([row, row + [0, 0.9]]).astype(np.float32)
    found, _ = sample_weights.propagate_outliers(points, np.arange(14), np.array([0]), points[:0])
    assert found.tolist() == [0] * 10 + [1] * 4  # the ninth is near to the eighth of the found


def test_propagation_does_not_count_a_point_as_its_own_neighbor(monkeypatch):
    monkeypatch.setattr(sample_weights, "PROPAGATION_NEIGHBORS", 1)
    points = np.array([[0], [1], [5], [9], [10]], np.float32)
    found, _ = sample_weights.propagate_outliers(
        points, np.array([2]), np.array([3, 4]), points[:0]
    )
    assert found.tolist() == [0]  # as far from inliers, 4, as from outliers
