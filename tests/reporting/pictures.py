"""Checks of pictures."""

import numpy as np

# Red, green, blue and yellow corners on gray; neither side nor channel can stand in for another.
CORNERS = np.full((4, 7, 3), 128, np.uint8)
CORNERS[[0, 0, -1, -1], [0, -1, 0, -1]] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]


def assert_ink_on_white(picture):
    """See that a picture is RGB, with white corners and something dark in it."""
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).all()
    assert picture.min() < 100


def contains(picture, part):
    """Whether a part occurs in a picture, pixel by pixel."""
    height, width = part.shape[:2]
    y, x = height // 2, width // 6  # a pixel inside the first tile rules most places out
    shape = (picture.shape[0] - height + 1, picture.shape[1] - width + 1)
    places = (picture[y : y + shape[0], x : x + shape[1]] == part[y, x]).all(axis=-1)
    return any(
        (picture[top : top + height, left : left + width] == part).all()
        for top, left in np.argwhere(places)
    )
