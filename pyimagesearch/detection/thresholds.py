"""Rules for the threshold, the score above which an image is flagged.

Every rule is a function of the value of its flag, the scores of the images, and the calibration of
the score, which training has stored. It returns the threshold. No rule looks at a label.
"""

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.detection.model_settings import is_number


def quantile(q, scores, calibration=None, weights=None):
    """The tutorial's rule: a quantile of the scores.

    Args:
        q: The quantile, in [0, 1].
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.
        weights: float array `(N,)`, above 0: how many times each image counts; `None`: once.

    Returns:
        The threshold, interpolated linearly between the two nearest scores. With weights, the lowest
        score at or below which the share `q` of the weight lies.

    Example:
        >>> scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
        >>> quantile(0.5, scores), quantile(0.5, scores, weights=[1, 1, 1, 1, 5])
        (2.0, 4.0)
    """
    scores = np.asarray(scores, np.float64)
    if weights is None:
        return float(np.quantile(scores, q))
    return float(np.quantile(scores, q, weights=weights, method="inverted_cdf"))


def standard_deviations(k, scores, calibration):
    """Median plus k robust standard deviations of the scores of images held out from training.

    Not of the images that were trained on: a network scores these lower than any others. And not
    mean and standard deviation, which a few odd images among those that are held out would spoil:
    the standard deviation is estimated by the median absolute deviation (Rousseeuw and Croux,
    "Alternatives to the median absolute deviation", 1993).

    Args:
        k: Number of standard deviations, above 0.
        scores: Not used.
        calibration: Dict with `held_out`, a dict as for `center_and_scale`, as `calibrate` makes
            it. Without images held out, `trained`, the like, is used.

    Returns:
        The threshold.

    Raises:
        InputError: If the calibration has no scores.

    Example:
        >>> standard_deviations(3, None, {"held_out": {"n": 9, "median": 1.0, "mad": 0.5}})
        3.2239
    """
    center, scale = center_and_scale(reference_scores(calibration, "--std"))
    return center + k * scale


# What the median absolute deviation of a normal distribution is multiplied by to give its standard
# deviation.
MAD_TO_STD = 1.4826


def center_and_scale(summary):
    """Where scores lie, and how far they spread, whatever a few of them do.

    Args:
        summary: A dict of `scoring.summarize` with `median` and `mad`. Where most scores are equal,
            and in summaries of earlier versions, `mean` and `std` are taken.

    Returns:
        A pair of numbers: the median, and the standard deviation that belongs to the median
        absolute deviation.
    """
    if summary.get("mad", 0) > 0:
        return summary["median"], MAD_TO_STD * summary["mad"]
    return summary["mean"], summary["std"]


def contamination(share, scores, calibration=None):
    """A share of the images, those with the highest scores.

    Args:
        share: Share of the images to flag, in (0, 1).
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.

    Returns:
        The threshold. Above it lie `share * N` scores, rounded; fewer where several scores are
        equal to it.

    Example:
        >>> contamination(0.25, np.array([0.1, 0.4, 0.2, 0.3]))
        0.3
    """
    scores = np.sort(np.asarray(scores, np.float64))
    k = min(round(share * len(scores)), len(scores) - 1)
    return float(scores[len(scores) - 1 - k])


# Share of false alarms among the flagged images that `fdr_controlled` aims at.
FALSE_DISCOVERY_RATE = 0.1
# Fewer scores than this do not determine the bulk.
MIN_SCORES = 20
# Quantiles of the scores to which, with their median, a normal distribution can be fitted. Each holds
# as long as no more of the images are anomalies than lie above it.
FITTED_QUANTILES = (0.95, 0.9, 0.85, 0.8, 0.75)
# A fit is given up if it flags less than this share of what a fit to the last of them flags.
COLLAPSED = 0.25


def fdr_controlled(_, scores, calibration=None, weights=None):
    """A threshold above the scores that the bulk of the scores explains. It needs no labels.

    The logarithms of the scores are compared with a normal distribution that has their median and
    one of their upper quantiles. The probability of each score under it is its p-value, and the
    procedure of Benjamini and Hochberg ("Controlling the false discovery rate", 1995) flags the
    smallest p-values: next to none where nothing stands out. A null distribution that is fitted to
    the bulk is due to Efron ("Large-scale simultaneous hypothesis testing", 2004).

    Which quantile is a matter of two mistakes. A low one, such as the upper quartile, says little of
    how heavy the tail of normal images is. A high one is itself an anomaly where there are many, and
    then hardly anything is flagged. So the highest one is taken with which that does not happen: which
    flags at least `COLLAPSED` of what the upper quartile would.

    What it finds is untypical of the bulk, which need not be an anomaly to a person: among the 1s
    of MNIST, it finds those with a serif or a foot.

    Args:
        _: Not used: the rule has no value.
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.
        weights: As for `quantile`.

    Returns:
        The threshold. It is the highest score, so that nothing is flagged, if there are fewer than
        `MIN_SCORES` scores, if a quantile is equal to the median, or if nothing stands out.

    Example:
        >>> scores = np.append(np.linspace(1, 2, 99), 30)
        >>> fdr_controlled(True, scores)
        2.0
    """
    order = np.argsort(scores, kind="stable")[::-1]
    falling = np.asarray(scores, np.float64)[order]
    if len(falling) < MIN_SCORES:
        return float(falling[0])
    weights = None if weights is None else np.asarray(weights, np.float64)[order]
    found = [_discoveries(falling, q, weights) for q in FITTED_QUANTILES]
    return float(falling[next(n for n in found if n >= COLLAPSED * found[-1])])


def _discoveries(falling, q, weights):
    """How many of the scores, in falling order, a distribution fitted to a quantile does not explain."""
    # Imported here: it takes most of a second, which the other rules need not wait for.
    from scipy.special import ndtr, ndtri
    from scipy.stats import false_discovery_control

    values = _logarithms(falling)
    median, upper = (quantile(share, values, weights=weights) for share in (0.5, q))
    scale = (upper - median) / ndtri(q)
    if not scale > 0:
        return 0
    # The p-values rise as the scores fall, and half of them are at least one half.
    p_values = ndtr((median - values) / scale)
    if weights is not None:
        # The same procedure, in which the rank of a score is the weight down to it.
        ranks = np.cumsum(weights) / weights.sum()
        below = np.flatnonzero(p_values <= FALSE_DISCOVERY_RATE * ranks)
        return below[-1] + 1 if len(below) else 0
    return np.count_nonzero(false_discovery_control(p_values) <= FALSE_DISCOVERY_RATE)


def _logarithms(scores):
    """The logarithms of scores; the scores themselves where their median is not above 0."""
    if np.median(scores) <= 0:
        return scores
    return np.log(np.maximum(scores, np.finfo(np.float64).tiny))


# Probability of a gap where there is none, and how many spacings below it a gap is compared with.
GAP_PROBABILITY, SPACINGS = 0.05, 50


def find_gap(scores):
    """Find a gap in the upper half of the scores, behind which some few images stand apart.

    Each spacing between neighbors in the ranking is compared with those below it: of a tail that
    falls off like an exponential, the spacing behind rank k is k times smaller than that behind the
    first (Burridge and Taylor, "Additive multiple outliers in time series", 2006; Wilkinson,
    "Visualizing big data outliers through distributed aggregation", 2018).

    Args:
        scores: float array `(N,)`, N at least 1.

    Returns:
        The number of scores above the lowest gap; 0 if there is none.

    Example:
        >>> find_gap(np.append(np.linspace(1, 2, 99), [30, 31])), find_gap(np.linspace(1, 2, 99))
        (2, 0)
    """
    n = len(scores)
    if n < MIN_SCORES:
        return 0
    gaps = np.diff(_logarithms(np.sort(np.asarray(scores, np.float64))))
    k = min(SPACINGS, n // 4)
    # Of each gap, what those below it let expect: the next weighs least, as it should be largest.
    expected = np.convolve(gaps, np.arange(1, k + 1) / k)[: len(gaps)]
    expected = np.append(0, expected[:-1])
    first = n // 2
    wide = np.flatnonzero(gaps[first:] > -np.log(GAP_PROBABILITY) * expected[first:])
    return n - 1 - (first + int(wide[0])) if len(wide) else 0


def between(above, below):
    """A threshold in the middle between two scores, in the fewest digits that keep them apart.

    Example:
        >>> between(0.0312, 0.0261), between(492.0, 6.4)
        ('0.029', '200')
    """
    above, below = float(above), float(below)
    middle = (above + below) / 2
    rounded = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
    near = next(value for value in rounded if abs(value - middle) <= (above - below) / 4)
    return f"{near:.15g}"


def fixed(threshold, scores=None, calibration=None):
    """A threshold that is known: a number, or the one that was found on the training images.

    Args:
        threshold: The number, or `"trained"`.
        scores: Not used.
        calibration: Dict with `threshold`, as `calibrate` makes it; needed for `"trained"` only.

    Returns:
        The threshold.

    Raises:
        InputError: If `"trained"` is asked for and the calibration has no scores.

    Example:
        >>> fixed(0.25)
        0.25
    """
    if threshold != "trained":
        return float(threshold)
    reference_scores(calibration, "--threshold trained")
    return calibration["threshold"]


# Flag on the command line -> rule. The value of a flag is the first argument of its rule.
RULES = {
    "quantile": quantile,
    "std": standard_deviations,
    "contamination": contamination,
    "auto": fdr_controlled,
    "threshold": fixed,
}


def flag(scores, threshold):
    """Which scores lie above the threshold. Equal is not above: all equal, nothing is flagged.

    Args:
        scores: float array `(N,)`.
        threshold: A number.

    Returns:
        bool array `(N,)`.

    Example:
        >>> flag(np.array([0.1, 0.2, 0.3]), 0.2).tolist()
        [False, False, True]
    """
    return np.asarray(scores, np.float64) > threshold


def reference_scores(calibration, option):
    """The summary of the scores of held-out images; without any, of those trained on."""
    summaries = [(calibration or {}).get(part, {}) for part in ("held_out", "trained")]
    for summary in summaries:
        if summary.get("n"):
            return summary
    raise InputError(
        f"{option} needs the scores of the training images, and beside the model there are none for "
        "this score: train again, or choose another rule"
    )


def is_calibration(calibration):
    """Whether a dict has the thresholds and summaries of `calibrate`, all of finite numbers."""
    summaries = calibration["trained"], calibration["held_out"]
    numbers = [calibration["threshold"], calibration["pixel_threshold"]]
    for summary in summaries:
        numbers += summary.values()
    return all(map(is_number, numbers)) and all(
        {"mean", "std", "median"} <= summary.keys() for summary in summaries if summary["n"]
    )
