"""Rules for the threshold, the score above which an image is flagged.

Every rule is a function of the value of its flag, the scores of the images, and the calibration of
the score, which training has stored. It returns the threshold. No rule looks at a label.
"""

import numpy as np
from scipy.stats import false_discovery_control

from pyimagesearch import InputError


def quantile(q, scores, calibration=None):
    """The tutorial's rule: a quantile of the scores.

    Args:
        q: The quantile, in [0, 1].
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.

    Returns:
        The threshold, interpolated linearly between the two nearest scores.

    Example:
        >>> quantile(0.5, np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
        2.0
    """
    return float(np.quantile(np.asarray(scores, np.float64), q))


def standard_deviations(k, scores, calibration):
    """Mean plus k standard deviations of the scores of the images held out from training.

    Not of the images that were trained on: a network scores these lower than any others.

    Args:
        k: Number of standard deviations, above 0.
        scores: Not used.
        calibration: Dict with `held_out`, a dict with `n`, `mean` and `std`, as `calibrate` makes
            it. Without images held out, `trained`, the like, is used.

    Returns:
        The threshold.

    Raises:
        InputError: If the calibration has no scores.

    Example:
        >>> standard_deviations(3, None, {"held_out": {"n": 9, "mean": 1.0, "std": 0.5}})
        2.5
    """
    held_out = reference_scores(calibration, "--std")
    return held_out["mean"] + k * held_out["std"]


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
FALSE_DISCOVERY_RATE = 0.2
# Fewer scores than this do not determine the bulk.
MIN_SCORES = 20


def fdr_controlled(_, scores, calibration=None):
    """A threshold above the scores that the bulk of the scores explains. It needs no labels.

    The lower quartile and the median, which outliers hardly move, determine an exponential tail.
    The probability of each score under this tail is its p-value. The procedure of Benjamini and
    Hochberg ("Controlling the false discovery rate", 1995) flags the smallest p-values: next to
    none where nothing stands out. A null distribution that is fitted to the bulk is due to Efron
    ("Large-scale simultaneous hypothesis testing", 2004), an exponential for the tail to Pickands
    ("Statistical inference using extreme order statistics", 1975).

    What it finds is untypical of the bulk, which need not be an anomaly to a person: among the 1s
    of MNIST, it finds those with a serif or a foot.

    Args:
        _: Not used: the rule has no value.
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.

    Returns:
        The threshold. It is the highest score, so that nothing is flagged, if there are fewer than
        `MIN_SCORES` scores, if the lower quartile is equal to the median, or if nothing stands out.

    Example:
        >>> scores = np.append(np.linspace(1, 2, 99), 30)
        >>> fdr_controlled(True, scores)
        2.0
    """
    falling = np.sort(np.asarray(scores, np.float64))[::-1]
    quartile, median = np.quantile(falling, [0.25, 0.5])
    # Of an exponential tail that starts at the quartile, a third has gone by the median.
    scale = (median - quartile) / np.log(1.5)
    if len(falling) < MIN_SCORES or not scale > 0:
        return float(falling[0])
    p_values = 0.75 * np.exp(-np.maximum(falling - quartile, 0) / scale)
    discoveries = false_discovery_control(p_values) <= FALSE_DISCOVERY_RATE
    # The p-values rise as the scores fall, and the lowest scores have 0.75.
    return float(falling[np.count_nonzero(discoveries)])


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
