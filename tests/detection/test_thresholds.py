import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import detection_arguments
from pyimagesearch.detection import thresholds

CALIBRATION = {
    "trained": {"n": 5, "mean": 9, "std": 9},
    "held_out": {"n": 4, "mean": 1.0, "std": 0.5},
}


@pytest.mark.parametrize(("q", "expected"), [(0, 0), (0.25, 2.5), (0.5, 5), (1, 10)])
def test_quantile_of_evenly_spread_scores_is_as_on_paper(q, expected):
    assert thresholds.quantile(q, np.array([10, 0, 5])) == expected


def test_quantile_of_the_tutorials_6809_scores_flags_7():
    scores = np.random.default_rng(0).random(6809, np.float32)
    flagged = thresholds.flag(scores, thresholds.quantile(0.999, scores))
    assert flagged.sum() == 7
    assert set(np.flatnonzero(flagged)) == set(np.argsort(scores)[-7:])


def test_standard_deviations_with_images_held_out_are_of_these():
    assert thresholds.standard_deviations(3, None, CALIBRATION) == 2.5


def test_standard_deviations_without_images_held_out_are_of_those_trained_on():
    calibration = {**CALIBRATION, "held_out": {"n": 0}}
    assert thresholds.standard_deviations(2, None, calibration) == 27


@pytest.mark.parametrize("calibration", [{}, None, {"held_out": {"n": 0}}])
def test_rule_without_the_calibration_that_it_needs_is_refused(calibration):
    with pytest.raises(InputError, match="--std needs"):
        thresholds.standard_deviations(3, None, calibration)
    with pytest.raises(InputError, match="--threshold trained needs"):
        thresholds.fixed("trained", None, calibration)


@pytest.mark.parametrize(("share", "flagged"), [(0.01, 10), (0.0004, 0), (0.5, 500), (0.9999, 999)])
def test_contamination_flags_the_top_share(share, flagged):
    scores = np.random.default_rng(0).permutation(1000) / 7
    found = thresholds.flag(scores, thresholds.contamination(share, scores))
    assert set(scores[found]) == set(np.sort(scores)[1000 - flagged :])


def test_fixed_threshold_is_the_number_or_that_of_the_training():
    assert thresholds.fixed(0.25) == 0.25
    assert thresholds.fixed("trained", None, {**CALIBRATION, "threshold": 0.125}) == 0.125


@pytest.mark.parametrize("n_outliers", [0, 20, 100, 200, 600])
def test_fdr_controlled_threshold_flags_as_many_as_stand_out(n_outliers):
    rng = np.random.default_rng(n_outliers)
    scores = np.append(rng.gamma(4, 0.01, 2000 - n_outliers), rng.normal(1, 0.1, n_outliers))
    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    assert flagged[2000 - n_outliers :].all()
    assert flagged[: 2000 - n_outliers].mean() < 0.003


def step_up(scores, rate=0.2):
    """By hand: Benjamini and Hochberg's procedure on the exponential tail, as bool `(N,)`."""
    falling = np.sort(scores)[::-1]
    n = len(falling)
    quartile, median = np.quantile(falling, [0.25, 0.5])
    p_values = 0.75 * np.exp(-np.maximum(falling - quartile, 0) * np.log(1.5) / (median - quartile))
    significant = np.flatnonzero(p_values <= rate * np.arange(1, n + 1) / n)
    k = significant[-1] + 1 if len(significant) else 0
    return scores > falling[k]


@pytest.mark.parametrize("decimals", [1, 2, 12])
@pytest.mark.parametrize("n", [20, 21, 333, 2000])
@pytest.mark.parametrize("seed", range(10))
def test_fdr_controlled_threshold_flags_what_the_step_up_by_hand_flags(seed, n, decimals):
    """Few decimals give many ties."""
    rng = np.random.default_rng(seed)
    outliers = rng.random(n) < rng.choice([0, 0.01, 0.1, 0.4])
    scores = np.round(rng.gamma(2, 0.3, n) + outliers * rng.exponential(3, n), decimals)
    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    np.testing.assert_array_equal(flagged, step_up(scores))


@pytest.mark.parametrize("factor", [1e-12, 1, 1e6])
def test_fdr_controlled_threshold_of_scaled_scores_is_scaled(factor):
    rng = np.random.default_rng(0)
    scores = np.append(rng.gamma(4, 0.01, 500), [1, 2, 3])
    plain = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    scaled = thresholds.flag(scores * factor, thresholds.fdr_controlled(True, scores * factor))
    assert plain.tolist() == scaled.tolist()


def test_fdr_controlled_threshold_of_too_few_scores_flags_nothing():
    for n in (1, 2, 10, 19):
        scores = np.append(np.linspace(1, 2, n - 1), 100)
        assert not thresholds.flag(scores, thresholds.fdr_controlled(True, scores)).any()
    scores = np.append(np.linspace(1, 2, 49), 100)
    assert thresholds.flag(scores, thresholds.fdr_controlled(True, scores)).sum() == 1


@pytest.mark.parametrize("n", [1, 2, 5000])
@pytest.mark.parametrize("value", [0, 0.1, 1 / 3])
def test_equal_scores_are_never_flagged(n, value):
    """0.1 is not the same number in 32 and in 64 bits: interpolation must not part them."""
    scores = np.full(n, value, np.float32)
    for rule, setting in [
        *(("quantile", q) for q in (0, 0.5, 0.999, 1)),
        *(("contamination", share) for share in (0.01, 0.99)),
        ("auto", True),
    ]:
        threshold = thresholds.RULES[rule](setting, scores, {})
        assert not thresholds.flag(scores, threshold).any(), rule


def test_score_at_the_threshold_is_not_flagged():
    assert thresholds.flag(np.array([1.0, 2.0, 2.5]), 2.0).tolist() == [False, False, True]


def test_every_rule_has_its_flag():
    options = vars(detection_arguments.detection_parser().parse_args(["-d", "x", "-m", "y"]))
    assert set(thresholds.RULES) <= set(options)
