import itertools

import numpy as np
import pytest
import scipy.ndimage

from pyimagesearch import InputError
from pyimagesearch.detection import metrics


def auroc_by_counting(scores, labels):
    """Share of pairs of an anomaly and a normal image that are in the right order."""
    pairs = list(itertools.product(scores[labels == 1], scores[labels == 0]))
    return np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])


def average_precision_by_walking(scores, labels):
    """Mean, over the anomalies, of the precision among all that score at least as high."""
    return np.mean([labels[scores >= score].mean() for score in scores[labels == 1]])


@pytest.mark.parametrize("seed", range(5))
def test_evaluation_agrees_with_the_definitions(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, 40) / 10  # with ties
    labels = rng.integers(0, 2, 40)
    evaluation = metrics.evaluate(scores, scores > 0.8, labels)
    assert evaluation["auroc"] == pytest.approx(auroc_by_counting(scores, labels))
    assert evaluation["average_precision"] == pytest.approx(
        average_precision_by_walking(scores, labels)
    )
    assert evaluation["n_anomalies"] == labels.sum()


def test_evaluation_of_a_small_ranking_is_as_on_paper():
    #                   1    0    1    0    0    by falling score
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    labels = np.array([1, 0, 1, 0, 0])
    assert metrics.evaluate(scores, scores > 0.75, labels) == {
        "auroc": pytest.approx(5 / 6),
        "average_precision": pytest.approx((1 / 1 + 2 / 3) / 2),
        "precision_at_k": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "f1": 0.5,
        "n_anomalies": 2,
    }


def test_precision_at_k_with_ties_is_the_mean_over_their_orders():
    scores, labels = np.array([3, 2, 2, 2, 1]), np.array([0, 1, 1, 0, 1])
    for k in range(1, 6):
        orders = [np.array([0, *tied, 4])[:k] for tied in itertools.permutations([1, 2, 3])]
        expected = np.mean([labels[order].mean() for order in orders])
        assert metrics.precision_at_k(scores, labels, k) == pytest.approx(expected)


def test_evaluation_leaves_out_unknown_labels():
    scores, labels = np.array([9.0, 1.0, 8.0, 2.0]), np.array([-1, 0, 1, 0])
    assert metrics.evaluate(scores, scores > 5, labels)["precision"] == 1
    assert metrics.evaluate(scores, scores > 5, np.full(4, -1)) is None


@pytest.mark.parametrize(
    ("labels", "flagged", "defined"),
    [
        ([0, 0, 0], [0, 0, 0], set()),
        ([0, 0, 0], [1, 0, 0], {"precision", "f1"}),
        ([1, 1, 1], [0, 0, 0], {"average_precision", "precision_at_k", "recall", "f1"}),
        ([1, 0, 0], [0, 0, 0], {"auroc", "average_precision", "precision_at_k", "recall", "f1"}),
    ],
)
def test_metric_that_is_not_defined_is_none_and_never_nan(labels, flagged, defined):
    evaluation = metrics.evaluate(np.array([3.0, 2, 1]), np.array(flagged, bool), np.array(labels))
    evaluation.pop("n_anomalies")
    assert {name for name, value in evaluation.items() if value is not None} == defined
    assert not any(value != value for value in evaluation.values())


def test_format_evaluation_has_every_metric_that_is_defined():
    scores, labels = np.array([0.9, 0.8, 0.1]), np.array([1, 0, 0])
    words = metrics.format_evaluation(metrics.evaluate(scores, scores > 0.5, labels))
    assert words.startswith("1 anomaly, auroc 1.0000, average precision 1.0000")
    assert "no anomalies" in metrics.format_evaluation(
        metrics.evaluate(scores, scores > 0.5, 0 * labels)
    )


def test_format_evaluation_has_the_metrics_of_the_maps():
    scores, labels = np.array([0.9, 0.8, 0.1]), np.array([1, 0, 0])
    evaluation = metrics.evaluate(scores, scores > 0.5, labels)
    words = metrics.format_evaluation({**evaluation, "pixel_auroc": 0.75, "aupro": 0.5})
    assert words == f"{metrics.format_evaluation(evaluation)}, pixel auroc 0.7500, aupro 0.5000"
    undefined = {**evaluation, "pixel_auroc": None, "aupro": None}
    assert metrics.format_evaluation(undefined) == metrics.format_evaluation(evaluation)


def aupro_by_looping(anomaly_maps, masks, limit):
    """The definition, threshold by threshold and region by region, in SciPy's labeling."""
    regions = []
    for i, mask in enumerate(masks):
        labeled, count = scipy.ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(i, labeled == region) for region in range(1, count + 1)]
    curve = [(0.0, 0.0)]
    for threshold in sorted(set(anomaly_maps.ravel().tolist()), reverse=True):
        covered = anomaly_maps >= threshold
        overlap = np.mean([covered[i][region].mean() for i, region in regions])
        curve.append((covered[~masks].mean(), overlap))
    area = 0.0
    for (left, low), (right, high) in itertools.pairwise(curve):
        if left < limit < right:
            high = low + (high - low) * (limit - left) / (right - left)
            right = limit
        if right <= limit:
            area += (right - left) * (low + high) / 2
    return area / limit


def random_maps(rng, shape=(4, 7, 9), values=12, share=0.3):
    """Coarse maps, with many ties, that are higher within their masks."""
    masks = rng.random(shape) < share
    return (rng.integers(0, values, shape) + 2 * masks) / values, masks


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("values", [2, 12, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_aupro_agrees_with_its_definition(seed, values, limit):
    maps, masks = random_maps(np.random.default_rng(seed), values=values)
    expected = aupro_by_looping(maps, masks, limit)
    assert metrics.aupro(maps, masks, limit) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_pixel_auroc_agrees_with_its_definition(seed):
    maps, masks = random_maps(np.random.default_rng(seed))
    expected = auroc_by_counting(maps.ravel(), masks.ravel())
    assert metrics.pixel_auroc(maps, masks) == pytest.approx(expected)


def two_regions():
    """A region of four pixels and one of a single pixel among ten normal ones."""
    masks = np.zeros((1, 3, 5), bool)
    masks[0, :2, :2] = masks[0, 2, 4] = True
    maps = np.zeros(masks.shape)
    maps[0, :2, :2] = [[9, 9], [9, 7]]
    maps[0, 0, 2] = 8  # a normal pixel
    maps[0, 2, 4] = 6
    maps[0, 2, 0] = 5  # another
    return maps, masks


def test_aupro_of_two_regions_is_as_on_paper():
    # value     9        8        7        6      5      0
    # overlap   3/8      3/8      4/8      1      1      1
    # rate      0        1/10     1/10     1/10   2/10   1
    maps, masks = two_regions()
    assert metrics.aupro(maps, masks) == pytest.approx((0.1 * 3 / 8 + 0.2) / 0.3)
    assert metrics.aupro(maps, masks, limit=0.05) == pytest.approx(3 / 8)
    assert metrics.aupro(maps, masks, limit=0.1) == pytest.approx(3 / 8)
    assert metrics.aupro(maps, masks, limit=1) == pytest.approx(0.1 * 3 / 8 + 0.9)


def test_aupro_between_two_points_of_the_curve_is_interpolated():
    """The small region and eight of ten normal pixels come in together: a slope from 1/2 to 1."""
    maps, masks = two_regions()
    maps[:] = np.where(masks, 1, 0)
    maps[0, 2, 4] = 0
    maps[0, 0, 3:] = -1
    at_limit = 0.5 + 0.5 * 0.3 / 0.8
    assert metrics.aupro(maps, masks) == pytest.approx((0.5 + at_limit) / 2)


def test_aupro_of_a_small_region_counts_as_much_as_a_large_one():
    masks = np.zeros((2, 20, 20), bool)
    masks[0, 5:15, 5:15] = masks[1, 3, 3] = True
    large, small = masks.copy(), masks.copy()
    large[1], small[0] = False, False
    # Half is covered from the start; the other half is reached with the last normal pixels.
    expected = 0.5 + 0.5 * 0.15
    assert metrics.aupro(large * 1.0, masks) == pytest.approx(expected, abs=1e-3)
    assert metrics.aupro(small * 1.0, masks) == pytest.approx(expected, abs=1e-3)
    # Pixel by pixel, the small one is hardly missed.
    assert metrics.pixel_auroc(large * 1.0, masks) > 0.99
    assert metrics.pixel_auroc(small * 1.0, masks) < 0.51


def test_pixels_that_touch_by_a_corner_are_one_region_and_images_are_separate():
    masks = np.zeros((2, 2, 2), bool)
    masks[0] = np.eye(2)
    masks[1, 0, 0] = True
    np.testing.assert_array_equal(
        metrics.region_shares(masks), [[[0.5, 0], [0, 0.5]], [[1, 0], [0, 0]]]
    )


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_of_perfect_constant_and_inverted_maps_is_one_half_the_limit_and_zero(rng, limit):
    _, masks = random_maps(rng, share=0.05)
    assert metrics.aupro(masks * 1.0, masks, limit) == pytest.approx(1)
    assert metrics.aupro(masks * 0.0, masks, limit) == pytest.approx(limit / 2)
    assert metrics.aupro(masks * -1.0, masks, limit) == pytest.approx(0)
    assert [metrics.pixel_auroc(masks * sign, masks) for sign in (1.0, 0.0, -1.0)] == [1, 0.5, 0]


def test_aupro_of_random_maps_is_half_the_limit(rng):
    masks = rng.random((10, 64, 64)) < 0.02
    maps = rng.random(masks.shape)
    assert metrics.aupro(maps, masks) == pytest.approx(0.15, abs=0.03)
    assert metrics.pixel_auroc(maps, masks) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array[::-1],
        lambda array: array[[2, 0, 3, 1]],
        lambda array: np.rot90(array, 1, axes=(1, 2)),
        lambda array: np.rot90(array, 2, axes=(1, 2)),
        lambda array: np.rot90(array, 3, axes=(1, 2)),
        lambda array: array[:, :, ::-1],
    ],
    ids=["backwards", "shuffled", "quarter turn", "half turn", "three quarters", "mirrored"],
)
def test_map_metrics_of_reordered_and_turned_images_are_the_same(rng, change):
    maps, masks = random_maps(rng)
    changed = metrics.evaluate_maps(change(maps), change(masks))
    assert changed == pytest.approx(metrics.evaluate_maps(maps, masks), abs=1e-12)


@pytest.mark.parametrize(
    "transform",
    [lambda maps: 5 * maps - 3, np.exp, lambda maps: maps**3, lambda maps: maps.astype("float32")],
    ids=["linear", "exp", "cube", "float32"],
)
def test_map_metrics_of_monotonic_transforms_are_the_same(rng, transform):
    maps, masks = random_maps(rng)
    transformed = metrics.evaluate_maps(transform(maps), masks)
    assert transformed == pytest.approx(metrics.evaluate_maps(maps, masks), abs=1e-12)


@pytest.mark.parametrize("anomalous", [False, True])
@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 1, 1), (0, 5, 4)])
def test_map_metrics_of_one_kind_of_pixel_are_none(rng, shape, anomalous):
    evaluation = metrics.evaluate_maps(rng.random(shape), np.full(shape, anomalous))
    assert evaluation == {"pixel_auroc": None, "aupro": None}


def test_map_metrics_of_two_pixels_are_defined():
    masks = np.array([[[True]], [[False]]])
    assert metrics.evaluate_maps(masks * 0.5, masks) == {"pixel_auroc": 1, "aupro": 1}


@pytest.mark.parametrize(
    ("maps", "masks", "what"),
    [
        (np.zeros((2, 4, 4)), np.ones((2, 4, 5)), "one shape"),
        (np.zeros((4, 4)), np.ones((4, 4)), "one shape"),
        (np.full((1, 2, 2), np.nan), np.eye(2)[None], "finite"),
        (np.full((1, 2, 2), np.inf), np.eye(2)[None], "finite"),
    ],
)
def test_maps_that_cannot_be_compared_are_refused(maps, masks, what):
    with pytest.raises(InputError, match=what):
        metrics.aupro(maps, masks)
    with pytest.raises(InputError, match=what):
        metrics.pixel_auroc(maps, masks)


@pytest.mark.parametrize("limit", [0, -0.1, 1.1, float("nan")])
def test_limit_out_of_range_is_refused(limit):
    with pytest.raises(InputError, match="limit"):
        metrics.aupro(np.zeros((1, 1, 2)), np.array([[[0, 1]]]), limit)


@pytest.mark.parametrize("spread", [1, 50])
def test_aupro_of_rounded_shares_is_at_most_one(spread):
    """Sums of many rounded shares do not carry it beyond 1."""
    rng = np.random.default_rng(0)
    masks = rng.random((20, 64, 64)) < 0.4
    maps = np.where(masks, spread, 0) + rng.random(masks.shape)
    assert 0.999 < metrics.aupro(maps, masks) <= 1
