from statistics import NormalDist

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.cli import detection_arguments
from pyimagesearch.detection import scoring, thresholds

CALIBRATION = {
    "trained": {"n": 5, "median": 9, "mad": 9, "mean": 0, "std": 0},
    "held_out": {"n": 4, "median": 1.0, "mad": 0.5, "mean": 7, "std": 8},
}


@pytest.mark.parametrize(("q", "expected"), [(0, 0), (0.25, 2.5), (0.5, 5), (1, 10)])
def test_quantile_of_evenly_spread_scores_is_as_on_paper(q, expected):
    assert thresholds.quantile(q, np.array([10, 0, 5])) == expected


def test_quantile_of_the_tutorials_6809_scores_flags_7():
    scores = np.random.default_rng(0).random(6809, np.float32)
    flagged = thresholds.flag(scores, thresholds.quantile(0.999, scores))
    assert flagged.sum() == 7
    assert set(np.flatnonzero(flagged)) == set(np.argsort(scores)[-7:])


@pytest.mark.parametrize(
    ("q", "expected"),
    # Of the weight, 3/8 lie at or below 10, 4/8 at or below 20, 7/8 at or below 30.
    [(0.3, 10), (0.375, 10), (0.4, 20), (0.5, 20), (0.51, 30), (0.875, 30), (0.9, 40), (1, 40)],
)
def test_quantile_with_weights_is_the_score_down_to_which_that_share_of_the_weight_lies(
    q, expected
):
    scores, weights = np.array([40, 10, 30, 20]), np.array([1, 3, 3, 1])
    assert thresholds.quantile(q, scores, weights=weights) == expected
    assert thresholds.quantile(q, scores, weights=weights / 7) == expected
    repeated = np.repeat(scores, weights)
    assert np.quantile(repeated, q, method="inverted_cdf") == expected


def test_fdr_controlled_threshold_with_weights_is_that_of_repeated_scores():
    """A third of the images are too many to stand out, unless each of the others counts 20 times."""
    usual, odd = np.exp(np.random.default_rng(0).normal(0, 0.1, 60)), np.linspace(8, 9, 30)
    scores, counts = np.append(odd, usual), np.append(np.ones(30, int), np.full(60, 20))
    assert thresholds.fdr_controlled(True, scores) == 9
    repeated = thresholds.fdr_controlled(True, np.repeat(scores, counts))
    assert repeated == usual.max()
    assert thresholds.fdr_controlled(True, scores, weights=counts) == repeated
    assert thresholds.fdr_controlled(True, np.full(30, 2.0), weights=np.arange(1, 31)) == 2


def test_fdr_controlled_threshold_with_weights_allows_more_of_what_counts_more():
    """Twelve images at the end of a tail stand out only as they count four times each."""
    scores = np.random.default_rng(1).normal(0, 1, 400)
    scores[:12] = np.linspace(2.5, 3.2, 12)
    scores, counts = np.exp(scores), np.where(np.arange(400) < 12, 4, 1)
    threshold = thresholds.fdr_controlled(True, scores, weights=counts)
    assert threshold == thresholds.fdr_controlled(True, np.repeat(scores, counts))
    assert (scores > threshold).sum() == 15


def test_standard_deviations_with_images_held_out_are_of_these():
    assert thresholds.standard_deviations(2, None, CALIBRATION) == pytest.approx(2.4826)


def test_standard_deviations_without_images_held_out_are_of_those_trained_on():
    calibration = {**CALIBRATION, "held_out": {"n": 0}}
    assert thresholds.standard_deviations(2, None, calibration) == pytest.approx(9 + 18 * 1.4826)


@pytest.mark.parametrize("summary", [{"mad": 0, "median": 5}, {}])
def test_standard_deviations_of_equal_scores_and_of_earlier_versions_are_those_of_the_mean(summary):
    calibration = {"held_out": {"n": 4, "mean": 1.0, "std": 0.5, **summary}}
    assert thresholds.standard_deviations(3, None, calibration) == 2.5


def test_odd_images_among_those_held_out_hardly_move_the_z_scores():
    usual = np.random.default_rng(0).normal(10, 1, 100)
    for scores in (usual, np.append(usual, [100, 200, 300])):
        center, scale = thresholds.center_and_scale(scoring.summarize(scores))
        assert (center, scale) == (pytest.approx(10, abs=0.2), pytest.approx(1, abs=0.2))


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


@pytest.mark.parametrize("n_outliers", [0, 1, 20, 100, 200])
def test_fdr_controlled_threshold_flags_as_many_as_stand_out(n_outliers):
    rng = np.random.default_rng(n_outliers)
    scores = np.append(rng.gamma(4, 0.01, 2000 - n_outliers), rng.normal(1, 0.1, n_outliers))
    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    assert flagged[2000 - n_outliers :].all()
    assert flagged[: 2000 - n_outliers].mean() < 0.003


def step_up(scores, q, rate=0.1):
    """By hand: Benjamini and Hochberg's procedure on a log-normal tail, as bool `(N,)`."""
    logarithms = np.log(np.sort(scores)[::-1])
    normal = NormalDist()
    median, upper = np.quantile(logarithms, [0.5, q])
    scale = (upper - median) / normal.inv_cdf(q)
    n = len(scores)
    p_values = [1 - normal.cdf((value - median) / scale) for value in logarithms]
    significant = [i for i in range(n) if p_values[i] <= rate * (i + 1) / n]
    k = significant[-1] + 1 if significant else 0
    return np.log(scores) > logarithms[k]


@pytest.mark.parametrize(
    ("share", "q"), [(0, 0.95), (0.02, 0.95), (0.07, 0.9), (0.13, 0.85), (0.2, 0.75)]
)
def test_fdr_controlled_threshold_fits_the_quantile_that_the_share_of_outliers_leaves(share, q):
    """Outliers of eight times the score, and more of the bulk than a quantile leaves for them."""
    rng = np.random.default_rng(3)
    scores = np.exp(rng.normal(0, 0.3, 999))
    scores[: round(share * 999)] *= 8
    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    np.testing.assert_array_equal(flagged, step_up(scores, q))
    assert flagged.sum() >= round(share * 999)


def test_fdr_controlled_threshold_of_scores_around_0_compares_the_scores_themselves():
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(-1, 1, 400), [20, 30])
    assert thresholds.flag(scores, thresholds.fdr_controlled(True, scores)).sum() == 2


@pytest.mark.parametrize(
    ("seed", "share", "factor"), [(2, 0.12, 1), (3, 0.08, 1), (4, 0.08, 1.5), (1, 0.03, 1)]
)
def test_fdr_controlled_threshold_is_of_the_highest_quantile_that_finds_a_fourth(
    seed, share, factor
):
    """On scores where another rate, quantile or share than these would flag another number."""
    rng = np.random.default_rng(seed)
    scores = np.exp(rng.normal(0, 0.3, 499))
    n_outliers = round(share * 499)
    scores[:n_outliers] *= np.exp(rng.uniform(0.5, factor, n_outliers))
    candidates = [step_up(scores, q) for q in (0.95, 0.9, 0.85, 0.8, 0.75)]
    enough = candidates[-1].sum() / 4
    expected = next(flagged for flagged in candidates if flagged.sum() >= enough)
    flagged = thresholds.flag(scores, thresholds.fdr_controlled(True, scores))
    np.testing.assert_array_equal(flagged, expected)
    assert flagged.any()


def test_fdr_controlled_threshold_of_a_long_tail_beside_scores_of_0_flags_nothing():
    scores = np.append(np.random.default_rng(0).lognormal(0, 1, 400), [0, 0])
    assert not thresholds.flag(scores, thresholds.fdr_controlled(True, scores)).any()


@pytest.mark.parametrize("heavy", [0.2, 0.7])
def test_gap_is_found_where_some_images_stand_apart_and_only_there(heavy):
    rng = np.random.default_rng(0)
    for n in (30, 200, 5000):
        bulk = np.exp(rng.normal(0, heavy, n))
        assert thresholds.find_gap(bulk) == 0
        for k in (1, 5):
            apart = bulk.max() * np.exp(heavy * 8) * np.exp(rng.normal(0, heavy / 4, k))
            assert thresholds.find_gap(rng.permutation(np.append(bulk, apart))) == k


def gap_by_hand(scores):
    """The rule in words: a gap three times (by -log 0.05) as wide as those below it let expect."""
    logarithms = np.log(np.sort(scores))
    n = len(scores)
    k = min(50, n // 4)
    for below in range(n // 2, n - 1):  # the gap between this rank and the next
        spacings = [logarithms[below - i] - logarithms[below - i - 1] for i in range(min(k, below))]
        expected = sum(spacing * (i + 1) / k for i, spacing in enumerate(spacings))
        if logarithms[below + 1] - logarithms[below] > -np.log(0.05) * expected:
            return n - 1 - below
    return 0


@pytest.mark.parametrize(
    ("n", "seed", "found"), [(20, 214, 5), (20, 11, 5), (230, 387, 1), (20, 68, 5), (23, 222, 11)]
)
def test_gap_is_the_lowest_that_is_wide_beside_those_below_it(n, seed, found):
    """On scores where another probability, weighing or number of spacings would find another."""
    scores = np.exp(np.random.default_rng(seed).normal(0, 0.5, n))
    scores[: seed % 7] *= 4 + seed % 3
    assert thresholds.find_gap(scores) == gap_by_hand(scores) == found


def test_gap_among_fewer_than_twenty_scores_is_none():
    scores = np.append(np.linspace(1, 2, 18), 100)
    assert thresholds.find_gap(scores) == 0
    assert thresholds.find_gap(np.append(scores, 1.5)) == 1


def test_number_between_two_scores_keeps_them_apart_in_few_digits():
    for above, below, expected in [
        (0.0312, 0.0261, "0.029"),
        (3.0, 1.0, "2"),
        (1e-9, 5e-10, "8e-10"),
        (492.0, 6.4, "200"),
    ]:
        assert thresholds.between(above, below) == expected
    above, below = np.float32(1.0000001), np.float32(1)
    assert float(below) < float(thresholds.between(above, below)) < float(above)


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
    scores = np.append(np.linspace(1, 2, 19), 100)
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
