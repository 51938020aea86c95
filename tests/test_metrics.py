import itertools

import numpy as np
import pytest

from pyimagesearch import metrics


def auroc_by_counting(scores, labels):
    """Share of pairs of an anomaly and a normal image that are in the right order."""
    pairs = list(itertools.product(scores[labels == 1], scores[labels == 0]))
    return np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])


def average_precision_by_walking(scores, labels):
    """Mean, over the anomalies, of the precision among all that score at least as high."""
    return np.mean([labels[scores >= score].mean() for score in scores[labels == 1]])


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree_with_their_definitions(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, 40) / 10  # with ties
    labels = rng.integers(0, 2, 40)
    verdict = metrics.evaluate(scores, scores > 0.8, labels)
    assert verdict["auroc"] == pytest.approx(auroc_by_counting(scores, labels))
    assert verdict["average_precision"] == pytest.approx(
        average_precision_by_walking(scores, labels)
    )
    assert verdict["n_anomalies"] == labels.sum()


def test_metrics_of_a_small_ranking_are_as_on_paper():
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


def test_unknown_labels_are_left_out():
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
def test_what_is_not_defined_is_none_and_never_nan(labels, flagged, defined):
    verdict = metrics.evaluate(np.array([3.0, 2, 1]), np.array(flagged, bool), np.array(labels))
    verdict.pop("n_anomalies")
    assert {name for name, value in verdict.items() if value is not None} == defined
    assert not any(value != value for value in verdict.values())


def test_verdict_in_words_has_every_figure_that_is_defined():
    scores, labels = np.array([0.9, 0.8, 0.1]), np.array([1, 0, 0])
    words = metrics.in_words(metrics.evaluate(scores, scores > 0.5, labels))
    assert words.startswith("1 anomalies, auroc 1.0000, average precision 1.0000")
    assert "no anomalies" in metrics.in_words(metrics.evaluate(scores, scores > 0.5, 0 * labels))
