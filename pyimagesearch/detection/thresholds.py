"""How odd is odd enough?

Every rule takes its value from the command line, the scores at hand, and what training has noted
about scores; it gives a threshold. Above it, not at it, an image is flagged.
"""

import numpy as np

from pyimagesearch import InputError


def quantile(q, scores, calibration=None):
    """The tutorial's rule: a quantile of the scores at hand.

    Args:
        q: The quantile, in [0, 1].
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.

    Returns:
        The threshold, interpolated linearly between neighbouring scores.

    Example:
        >>> quantile(0.5, np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
        2.0
    """
    return float(np.quantile(np.asarray(scores, np.float64), q))


def standard_deviations(k, scores, calibration):
    """Mean plus k standard deviations of scores that training has noted.

    They are those of the images held out from training: the scores of the images that a network
    was trained on are lower than those of any others.

    Args:
        k: How many standard deviations, above 0.
        scores: Not used.
        calibration: Dict with `held_out`, a dict with `mean` and `std`; as beside a model.

    Raises:
        InputError: If nothing has been noted.

    Example:
        >>> standard_deviations(3, None, {"held_out": {"n": 9, "mean": 1.0, "std": 0.5}})
        2.5
    """
    held_out = reference_scores(calibration, "--std")
    return held_out["mean"] + k * held_out["std"]


def contamination(share, scores, calibration=None):
    """The top share of the images at hand.

    Args:
        share: Of the images, in (0, 1).
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.

    Returns:
        A threshold above which lie as many scores as the share says, rounded; fewer where equal
        scores can't be parted.

    Example:
        >>> contamination(0.25, np.array([0.1, 0.4, 0.2, 0.3]))
        0.3
    """
    scores = np.sort(np.asarray(scores, np.float64))
    k = min(round(share * len(scores)), len(scores) - 1)
    return float(scores[len(scores) - 1 - k])


# Share of false alarms among the flagged that `fdr_controlled` is content with, if its model is right.
FALSE_DISCOVERIES = 0.2
# Fewer scores than this say too little about what is usual.
MIN_SCORES = 20


def fdr_controlled(_, scores, calibration=None):
    """A label-free estimate: the scores that the bulk of the scores does not explain.

    The lower quartile and the median, which anomalies hardly move, fix an exponential tail; each
    score's chance under that tail goes into the procedure of Benjamini and Hochberg ("Controlling
    the false discovery rate", 1995), which flags next to nothing where nothing stands out, and
    the more the more does. A null model fitted to the bulk: Efron ("Large-scale simultaneous
    hypothesis testing", 2004); an exponential for what lies beyond: Pickands ("Statistical
    inference using extreme order statistics", 1975).

    What it finds is untypical of the bulk, which need not be what somebody holds for an anomaly:
    among the 1s of MNIST, the serifed and footed ones are.

    Args:
        _: Not used: there is nothing to be set.
        scores: float array `(N,)`, N at least 1.
        calibration: Not used.

    Returns:
        The threshold; the highest score, so that nothing is flagged, where the scores are fewer
        than `MIN_SCORES`, where half of them are equal, or where nothing stands out.

    Example:
        >>> scores = np.append(np.linspace(1, 2, 99), 30)
        >>> fdr_controlled(True, scores)
        2.0
    """
    falling = np.sort(np.asarray(scores, np.float64))[::-1]
    n = len(falling)
    quartile, median = np.quantile(falling, [0.25, 0.5])
    # Of an exponential tail that starts at the quartile, a third has gone by the median.
    scale = (median - quartile) / np.log(1.5)
    if n < MIN_SCORES or not scale > 0:
        return float(falling[0])
    chances = 0.75 * np.exp(-np.maximum(falling - quartile, 0) / scale)
    significant = np.flatnonzero(chances <= FALSE_DISCOVERIES * np.arange(1, n + 1) / n)
    k = significant[-1] + 1 if len(significant) else 0
    return float(falling[k if k < n else 0])


def fixed(threshold, scores=None, calibration=None):
    """A threshold that somebody has chosen, or the one that training has noted.

    Args:
        threshold: The number, or `"trained"`.
        scores: Not used.
        calibration: Dict with `threshold`, as beside a model; needed for `"trained"` alone.

    Raises:
        InputError: If the threshold of the training is asked for and none has been noted.
    """
    if threshold != "trained":
        return float(threshold)
    reference_scores(calibration, "--threshold trained")
    return calibration["threshold"]


# Flag -> rule. The value of a flag is the first argument of its rule.
RULES = {
    "quantile": quantile,
    "std": standard_deviations,
    "contamination": contamination,
    "auto": fdr_controlled,
    "threshold": fixed,
}


def flag(scores, threshold):
    """Which scores lie above the threshold. Equal is not above: all equal, nothing is flagged.

    Example:
        >>> flag(np.array([0.1, 0.2, 0.3]), 0.2).tolist()
        [False, False, True]
    """
    return np.asarray(scores, np.float64) > threshold


def reference_scores(calibration, flag):
    """What training has noted about the scores of images that it had held out."""
    found = (calibration or {}).get("held_out", {})
    if not found.get("n"):
        found = (calibration or {}).get("trained", {})
    if not found.get("n"):
        raise InputError(
            f"{flag} needs the scores that training has noted, and there are none for this score "
            "beside the model: train again, or take another rule"
        )
    return found
