import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import detection_arguments
from pyimagesearch.detection import thresholds

NOTED = {"trained": {"n": 5, "mean": 9, "std": 9}, "held_out": {"n": 4, "mean": 1.0, "std": 0.5}}


@pytest.mark.parametrize(("q", "expected"), [(0, 0), (0.25, 2.5), (0.5, 5), (1, 10)])
def test_quantile_of_evenly_spread_scores_is_as_on_paper(q, expected):
    assert thresholds.quantile(q, np.array([10, 0, 5])) == expected


def test_quantile_of_the_tutorials_6809_scores_flags_7():
    scores = np.random.default_rng(0).random(6809, np.float32)
    flagged = thresholds.flag(scores, thresholds.quantile(0.999, scores))
    assert flagged.sum() == 7
    assert set(np.flatnonzero(flagged)) == set(np.argsort(scores)[-7:])


def test_standard_deviations_are_of_the_images_held_out():
    assert thresholds.standard_deviations(3, None, NOTED) == 2.5


def test_standard_deviations_without_images_held_out_are_of_those_trained_on():
    calibration = {**NOTED, "held_out": {"n": 0}}
    assert thresholds.standard_deviations(2, None, calibration) == 27


@pytest.mark.parametrize("calibration", [{}, None, {"held_out": {"n": 0}}])
def test_rules_that_need_the_training_say_so_where_it_has_noted_nothing(calibration):
    with pytest.raises(InputError, match="--std needs"):
        thresholds.standard_deviations(3, None, calibration)
    with pytest.raises(InputError, match="--threshold trained needs"):
        thresholds.fixed("trained", None, calibration)


@pytest.mark.parametrize(("share", "flagged"), [(0.01, 10), (0.0004, 0), (0.5, 500), (0.9999, 999)])
def test_contamination_flags_the_top_share(share, flagged):
    scores = np.random.default_rng(0).permutation(1000) / 7
    found = thresholds.flag(scores, thresholds.contamination(share, scores))
    assert set(scores[found]) == set(np.sort(scores)[1000 - flagged :])


def test_given_threshold_is_taken_and_the_trained_one_found():
    assert thresholds.fixed(0.25) == 0.25
    assert thresholds.fixed("trained", None, {**NOTED, "threshold": 0.125}) == 0.125


@pytest.mark.parametrize("n_odd", [0, 20, 100, 200, 600])
def test_automatic_threshold_finds_as_many_as_stand_out(n_odd):
    rng = np.random.default_rng(n_odd)
    scores = np.append(rng.gamma(4, 0.01, 2000 - n_odd), rng.normal(1, 0.1, n_odd))
    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    assert flagged[2000 - n_odd :].all()
    assert flagged[: 2000 - n_odd].mean() < 0.003


@pytest.mark.parametrize("factor", [1e-12, 1, 1e6])
def test_automatic_threshold_goes_with_the_scale_of_the_scores(factor):
    rng = np.random.default_rng(0)
    scores = np.append(rng.gamma(4, 0.01, 500), [1, 2, 3])
    plain = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    scaled = thresholds.flag(scores * factor, thresholds.fdr_controlled(True, scores * factor))
    assert plain.tolist() == scaled.tolist()


def test_automatic_threshold_of_too_few_scores_flags_nothing():
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
