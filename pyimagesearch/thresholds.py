"""How odd is odd enough?"""

import numpy as np


def quantile(scores, q=0.999):
    """The tutorial's rule: a quantile of the scores at hand.

    Args:
        scores: float array `(N,)`, N at least 1.
        q: The quantile, in [0, 1].

    Returns:
        The threshold, interpolated linearly between neighbouring scores.

    Example:
        >>> quantile(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), q=0.5)
        2.0
    """
    return float(np.quantile(np.asarray(scores, np.float64), q))


def flag(scores, threshold):
    """Which scores lie above the threshold. Equal is not above: all equal, nothing is flagged.

    Example:
        >>> flag(np.array([0.1, 0.2, 0.3]), 0.2).tolist()
        [False, False, True]
    """
    return np.asarray(scores, np.float64) > threshold
