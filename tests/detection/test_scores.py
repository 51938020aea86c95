import numpy as np
import pytest

from pyimagesearch.detection import scores

SHAPES = {"mean": (None, 3), "bank": (None, 2)}
FITTING = {"mean": np.zeros((4, 3), np.float32), "bank": np.zeros((1, 2), np.float32)}


@pytest.mark.parametrize(
    "change",
    [
        {"mean": np.zeros((4, 2), np.float32)},
        {"mean": np.zeros(3, np.float32)},
        {"mean": np.zeros((4, 3, 1), np.float32)},
        {"mean": np.zeros((4, 3))},
        {"bank": np.zeros((0, 2), np.float32)},
        {"more": np.zeros((1, 2), np.float32)},
    ],
)
def test_reference_of_other_names_types_or_shapes_does_not_fit(change):
    assert scores.fits(FITTING, SHAPES) is True
    assert scores.fits({**FITTING, **change}, SHAPES) is False
    assert scores.fits({"mean": FITTING["mean"]}, SHAPES) is False
    # Only a memory bank has to have something in it.
    assert scores.fits({**FITTING, "mean": np.zeros((0, 3), np.float32)}, SHAPES) is True
