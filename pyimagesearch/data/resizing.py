"""Resizing: area averages where a side shrinks, linear interpolation where it grows, by Pillow."""

import numpy as np
from PIL import Image

# Weights of R, G and B in the brightness (ITU-R BT.601), as Pillow's.
LUMA = np.float32([0.299, 0.587, 0.114])


def with_channels(pixels, channels):
    """Convert pixels to 1 or 3 channels.

    Args:
        pixels: uint8 or uint16 array `(H, W)` or `(H, W, 3)`, RGB.
        channels: 1 or 3.

    Returns:
        Array `(H, W, channels)` of the same dtype.
    """
    if channels == 3:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)
    if pixels.ndim == 2:
        return pixels[..., np.newaxis]
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(pixels).convert("L"))[..., np.newaxis]
    return np.rint(pixels @ LUMA).astype(pixels.dtype)[..., np.newaxis]


def resize(pixels, size):
    """Resize an image: first the sides that shrink, by area averages, then those that grow.

    In Pillow's words: `Resampling.BOX` to the smaller of both sizes, then `Resampling.BILINEAR` to
    the size. Any other method leaves out pixels, and with them defects, where one side shrinks a
    lot and the other does not.

    Args:
        pixels: uint8, uint16 or float32 array `(H, W, C)`.
        size: Height and width in pixels.

    Returns:
        Array of this size; uint8 of uint8, else float32.

    Example:
        >>> resize(np.uint8([[0, 200], [0, 200]])[..., np.newaxis], (1, 1)).ravel().tolist()
        [100]
    """
    (height, width), (new_height, new_width) = pixels.shape[:2], size
    steps = [
        ((min(width, new_width), min(height, new_height)), Image.Resampling.BOX),
        ((new_width, new_height), Image.Resampling.BILINEAR),
    ]
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        planes = [Image.fromarray(pixels)]
    else:
        dtype = np.uint8 if pixels.dtype == np.uint8 else np.float32
        planes = [Image.fromarray(plane.astype(dtype)) for plane in np.moveaxis(pixels, 2, 0)]
    for step, method in steps:
        planes = [plane if plane.size == step else plane.resize(step, method) for plane in planes]
    if len(planes) == 1:
        return np.asarray(planes[0]).reshape(*size, -1)
    return np.stack(planes, axis=2)


def nearest(pixels, size):
    """Resize a mask: each pixel is the one nearest to its middle."""
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(int)
        for new, old in zip(size, pixels.shape[:2], strict=True)
    )
    return pixels[rows[:, np.newaxis], columns]


def stretch(pixels, size, background, resize=resize):
    """Resize an image, whatever its ratio of width to height; the arguments are those of `pad`."""
    return resize(pixels, size)


def crop(pixels, size, background, resize=resize):
    """Cut an image around its middle to the ratio of a size, and resize it; arguments as `pad`."""
    (height, width), (new_height, new_width) = pixels.shape[:2], size
    scale = min(height / new_height, width / new_width)
    rows, columns = max(1, round(new_height * scale)), max(1, round(new_width * scale))
    top, left = (height - rows) // 2, (width - columns) // 2
    return resize(pixels[top : top + rows, left : left + columns], size)


def pad(pixels, size, background, resize=resize):
    """Resize an image so that it fits into a size, in the middle of a background.

    Args:
        pixels: As for `resize`.
        size: Height and width in pixels.
        background: float32 array `(3,)`: R, G and B of the background, in the units of the pixels.
        resize: The function that resizes: `resize`, or `nearest` for masks.

    Returns:
        As `resize`.

    Example:
        >>> image = np.zeros((1, 3, 1), np.uint8)
        >>> pad(image, (3, 3), np.float32([255, 255, 255]))[..., 0].tolist()
        [[255, 255, 255], [0, 0, 0], [255, 255, 255]]
    """
    (height, width), (new_height, new_width) = pixels.shape[:2], size
    scale = min(new_height / height, new_width / width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    inner = resize(pixels, (rows, columns))
    behind = background if pixels.shape[2] == 3 else [background @ LUMA]
    padded = np.empty((*size, pixels.shape[2]), inner.dtype)
    padded[:] = np.rint(behind)
    top, left = (new_height - rows) // 2, (new_width - columns) // 2
    padded[top : top + rows, left : left + columns] = inner
    return padded


ASPECT_RATIOS = {"stretch": stretch, "pad": pad, "crop": crop}
