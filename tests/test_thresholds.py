import numpy as np
import pytest

from pyimagesearch import thresholds


@pytest.mark.parametrize(("q", "expected"), [(0, 0), (0.25, 2.5), (0.5, 5), (1, 10)])
def test_quantile_of_evenly_spread_scores_is_as_on_paper(q, expected):
    assert thresholds.quantile(np.array([10, 0, 5]), q) == expected


def test_quantile_of_the_tutorials_6809_scores_flags_7():
    scores = np.random.default_rng(0).random(6809, np.float32)
    flagged = thresholds.flag(scores, thresholds.quantile(scores, 0.999))
    assert flagged.sum() == 7
    assert set(np.flatnonzero(flagged)) == set(np.argsort(scores)[-7:])


@pytest.mark.parametrize("n", [1, 2, 5000])
@pytest.mark.parametrize("value", [0, 0.1, 1 / 3])
def test_equal_scores_are_never_flagged(n, value):
    """0.1 is not the same number in 32 and in 64 bits: interpolation must not part them."""
    scores = np.full(n, value, np.float32)
    for q in (0, 0.5, 0.999, 1):
        assert not thresholds.flag(scores, thresholds.quantile(scores, q)).any()


def test_score_at_the_threshold_is_not_flagged():
    assert thresholds.flag(np.array([1.0, 2.0, 2.5]), 2.0).tolist() == [False, False, True]
