"""Detectors that are fitted in a moment, and images for them."""

import numpy as np
from sklearn.datasets import load_digits

from pyimagesearch.detector import AutoencoderDetector


def quick(**parameters):
    """A detector that is fitted in a moment."""
    return AutoencoderDetector(
        **{"filters": (4,), "epochs": 2, "batch_size": 64, "random_state": 0, **parameters}
    )


def ones_and_threes():
    """Ones with four threes at the end, 8x8, in [0, 1]."""
    digits = load_digits()
    ones, threes = (digits.images[digits.target == digit] for digit in (1, 3))
    return np.concatenate([ones[:120], threes[:4]]) / 16
