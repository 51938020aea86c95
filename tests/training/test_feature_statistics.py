from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch.detection import feature_scores, gaussians
from pyimagesearch.training import feature_statistics as statistics
from tests.training import features_by_hand as by_hand


def test_leverage_is_that_of_the_hat_matrix_and_0_of_images_that_are_left_out(rng):
    regressors = np.column_stack([np.ones(9), rng.normal(size=(9, 2))]).astype(np.float32)
    kept = np.arange(9) % 4 != 1
    used = regressors[kept]
    expected = np.zeros(9)
    expected[kept] = np.diag(used @ np.linalg.pinv(used))
    np.testing.assert_allclose(statistics.leverage_of(regressors, kept), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("places", "expected"),
    [(2, [0, 1]), (31, range(16)), (100, range(3, 99, 6)), (64, range(2, 64, 4))],
)
def test_places_of_the_likelihood_are_sixteen_spread_evenly(places, expected):
    assert statistics.likelihood_places(places).tolist() == list(expected)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_robust_deviations_are_medians_over_images(rng, n):
    values = rng.normal(size=(n, 3, 2))
    center, deviation = statistics.robust_deviations(values)
    np.testing.assert_allclose(center, np.median(values, axis=0))
    np.testing.assert_allclose(
        deviation, 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    )


@pytest.mark.parametrize(("n", "mixing"), [(12, 0), (12, 2), (40, 0.3), (80, 2)])
def test_vectors_have_distances_by_the_likeliest_share_of_the_diagonal(rng, n, mixing):
    vectors = (
        rng.normal(size=(n, 4)) @ (np.eye(4) + mixing * rng.normal(size=(4, 4))) * [1, 9, 2, 5]
    )
    vectors = vectors.astype(np.float32)
    kept = np.arange(n) % 5 != 3
    shares = 0.02, 0.1, 0.3, 0.6, 0.9
    reference = statistics.fit_vectors("global", vectors, kept, shares)
    reference["member_sketch"] = np.zeros((kept.sum(), 16))
    members = kept.astype(np.float32)
    found = feature_scores.vector_evidence(vectors, reference, "global", members)
    expected = by_hand.vector_logs_by_hand(vectors, kept, shares)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_colors_are_the_first_three_principal_components_of_what_counts(rng):
    """From black at two standard deviations below the mean to full color at two above."""
    patches = (rng.normal(size=(40, 6, 5)) * [1, 5, 0.3, 3, 2] + [1, 2, 3, 4, 5]).astype(np.float32)
    weights = (rng.random((40, 6)) < 0.8).astype(np.float32)
    sums = gaussians.Sums(6, 5, 1)
    sums.add(patches, np.ones((40, 1), np.float32), weights)
    found = statistics.fit_colors(sums)
    colored = patches @ found["colors"] + found["colors_offset"]
    counted = patches[weights > 0].astype(float)
    centered = counted - counted.mean(0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    components = rows[:3] * np.where(rows[:3].sum(1) < 0, -1, 1)[:, np.newaxis]
    deviations = singular[:3] / np.sqrt(len(counted))
    expected = 0.5 + centered @ components.T / (4 * deviations)
    np.testing.assert_allclose(colored[weights > 0], expected, atol=1e-3)


def test_sums_are_those_of_all_workers():
    """Two that see the same images have everything twice."""
    features, regressors, kept = (
        by_hand.FewFeatures(),
        np.ones((30, 1), np.float32),
        np.ones(30, bool),
    )

    def places(indices):
        return [np.ones((len(indices), h * w), np.float32) for h, w, _ in by_hand.SHAPES]

    alone, _ = statistics.accumulate(features, regressors, places, 3, kept)
    features.cluster = SimpleNamespace(all_reduce_sum=lambda array: 2 * array, devices=1, workers=1)
    both, samples = statistics.accumulate(features, regressors, places, 3, kept)
    for one, two in zip(alone, both, strict=True):
        for array, doubled in zip(one.arrays, two.arrays, strict=True):
            np.testing.assert_array_equal(2 * np.asarray(array), doubled)
    # Each worker keeps the samples of its own images.
    assert [len(images) for *_, images in samples] == [30] * 4


def test_encoder_of_images_that_are_all_equal_gives_a_code_of_0():
    features, kept = by_hand.FewFeatures(), np.ones(30, bool)
    features.maps[3] = np.full_like(features.maps[3], 5)
    kernel, bias = statistics.fit_encoder(features, kept, 2, 3)
    np.testing.assert_array_equal(kernel, 0)
    np.testing.assert_array_equal(bias, 0)


def test_encoder_has_no_more_components_than_the_images_span():
    """Of images on a line, the second number of the code is 0 everywhere, and not noise made large."""
    features, kept = by_hand.FewFeatures(), np.ones(30, bool)
    line = np.linspace(-1, 1, 30, dtype=np.float32)[:, None, None, None]
    features.maps[3] = 5 + line * np.ones((1, 2, 5), np.float32)
    kernel, bias = statistics.fit_encoder(features, kept, 2, 3)
    codes = features.maps[3].reshape(30, -1) @ kernel + bias
    assert codes[:, 0].std() == pytest.approx(1, rel=1e-3)
    assert codes[:, 0].mean() == pytest.approx(0, abs=1e-3)
    assert not codes[:, 1].any()
