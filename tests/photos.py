"""Small pictures that stand for photographs."""

import cv2
import numpy as np


def photos(n, odd=(), size=(64, 96), seed=0):
    """Crops of one wall of colored texture, float32 `(n, H, W, 3)` in [0, 1].

    The odd ones have a checkered disk at the upper right.
    """
    rng = np.random.default_rng(seed)
    side = 8 * max(size)
    wall = sum(
        cv2.resize(rng.random((side // step, side // step, 3), np.float32), (side, side)) - 0.5
        for step in (3, 6, 12, 24)
    )
    wall = (0.45 + 0.2 * wall * [1.0, 0.7, 0.5]).astype(np.float32)
    corners = zip(
        rng.integers(0, side - size[0], n), rng.integers(0, side - size[1], n), strict=True
    )
    images = np.stack([wall[y : y + size[0], x : x + size[1]] for y, x in corners])
    y, x = np.mgrid[: size[0], : size[1]]
    disk = np.hypot(y - 0.3 * size[0], x - 0.75 * size[1]) < 0.2 * size[0]
    for i in odd:
        images[i][disk] = ((x // 3 + y // 3) % 2)[disk][:, None] * [0.1, 0.9, 0.9]
    return images.clip(0, 1)
