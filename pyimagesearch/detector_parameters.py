"""What the parameters of the scikit-learn detector may be, checked before any work."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_scalar

from pyimagesearch import InputError
from pyimagesearch.runtime.quiet import quiet_tensorflow
from pyimagesearch.training.recipes import ARCHITECTURES, RECIPES

with quiet_tensorflow():
    from pyimagesearch.detection import scoring
    from pyimagesearch.training import losses

# Of numbers their type, the lowest and the highest value, which of these two are allowed, as
# `check_scalar` says it, and what may stand in the place of a number.
NUMBERS = {
    "latent_dim": (Integral, 1, None, "both", (None,)),
    "epochs": (Integral, 1, None, "both", (None,)),
    "batch_size": (Integral, 1, None, "both", (None,)),
    "learning_rate": (Real, 0, None, "neither", (None,)),
    "trim": (Real, 0, 1, "left", (None,)),
    "contamination": (Real, 0, 0.5, "right", ("auto",)),
    "random_state": (Integral, 0, 2**32 - 1, "both", (None,)),
    "verbose": (Integral, 0, 2, "both", (False, True)),
}
# Of tuples of whole numbers what they are like, and how many numbers there may be.
TUPLES = {
    "filters": ("(8, 16)", range(1, 100)),
    "image_shape": ("(H, W) or (H, W, C)", (2, 3)),
}
# Settings of networks of pixels alone, which recipe photos has not.
OF_PIXELS = ("arch", "filters", "batch_norm", "batch_size", "learning_rate")


def check_parameters(detector):
    """Check all parameters of an `AutoencoderDetector`.

    Raises:
        ValueError: If one of them is out of range, not finite, or none of the recipe's.
        TypeError: If a number is none, or a truth value.
    """
    for name, choices in (
        ("recipe", RECIPES),
        ("arch", (None, *ARCHITECTURES)),
        ("batch_norm", (None, False, True)),
        ("loss", losses.LOSSES),
        ("scored_by", ("auto", *scoring.score_names(detector.recipe == "photos"))),
    ):
        value = getattr(detector, name)
        if not _is_one_of(value, choices):
            raise InputError(
                f"expected {name} to be one of {', '.join(map(repr, choices))}, received {value!r}"
            )
    for name, (kind, low, high, bounds, instead) in NUMBERS.items():
        value = getattr(detector, name)
        is_generator = name == "random_state" and isinstance(value, np.random.RandomState)
        if is_generator or _is_one_of(value, instead):
            continue
        if isinstance(value, bool):  # to Python, a number
            raise TypeError(f"{name} must be a number, not {value}: leave it out, or name one")
        check_scalar(value, name, kind, min_val=low, max_val=high, include_boundaries=bounds)
        if not math.isfinite(value):
            raise InputError(f"expected {name} to be a finite number, received {value}")
    for name, (example, lengths) in TUPLES.items():
        value = getattr(detector, name)
        if value is not None and not _is_tuple(value, lengths):
            raise InputError(
                f"expected {name} as {example}, whole numbers from 1, received {value!r}"
            )
    if detector.recipe == "photos":
        for name in OF_PIXELS:
            if getattr(detector, name) is not None:
                raise InputError(
                    f"expected {name}=None with recipe='photos', whose autoencoder is fitted in "
                    f"closed form, received {getattr(detector, name)!r}: leave it out, or take "
                    "recipe='robust' to train a network of pixels"
                )
    own_length = ARCHITECTURES[detector.arch or "conv"].get("latent_dim", 1)
    if detector.scored_by == "code" and own_length is None and detector.latent_dim is None:
        raise InputError(
            f"expected a latent_dim for scored_by='code' with arch={detector.arch!r}, which has no "
            "latent code of its own: name one, or take another score"
        )


def _is_text(value):
    """Whether a value is text, and not an array, which can't be compared with one."""
    return isinstance(value, str)


def _is_one_of(value, choices):
    """Whether a value is the very `None`, `False` or `True` of some choices, or equal as text."""
    return any(value is choice or _is_text(value) and value == choice for choice in choices)


def _is_tuple(value, lengths):
    """Whether a value is a tuple, a list or an array of whole numbers from 1, of one of some lengths."""
    if not isinstance(value, Sequence | np.ndarray) or _is_text(value):
        return False
    numbers = [isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in value]
    return len(numbers) in lengths and all(numbers)
