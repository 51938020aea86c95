"""Detectors that are fitted in a moment, images for them, and what their docstrings say."""

import inspect
import re

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


def section(member, title):
    """A section of a docstring as numpydoc has it: by name, a type and a description."""
    sections = re.split(r"^(.+)\n-+$\n", inspect.getdoc(member), flags=re.MULTILINE)
    (body,) = (b for t, b in zip(sections[1::2], sections[2::2], strict=True) if t == title)
    entries = re.split(r"^(\w+) : (.+)\n", body, flags=re.MULTILINE)
    assert not entries[0].strip()
    names, types, descriptions = (entries[start::3] for start in (1, 2, 3))
    for description in descriptions:
        assert re.fullmatch(r"(\n|    .*\n?)+", description), description
    return dict(zip(names, zip(types, descriptions, strict=True), strict=True))
