"""Does an array hold images, and how are they brought into the common form?

The common form is float32 `(N, H, W, C)` in [0, 1].
"""

import math
import mmap
from dataclasses import dataclass

import numpy as np

from pyimagesearch import InputError

# Bytes of an array on disk that are checked at a time.
CHUNK_BYTES = 2**26


def as_images(array, name):
    """Check an array that claims to hold images and bring it into the common form.

    Args:
        array: `(N, H, W)` or `(N, H, W, C)`, of a boolean, integer or floating dtype, finite, in
            [0, 1] or in 0 to 255.
        name: What to call it in messages.

    Returns:
        A tuple: the images, float32 `(N, H, W, C)` in [0, 1]; and what was done to them that
        their owner might want to know, or `None`.

    Raises:
        InputError: If the array is anything else.

    Example:
        >>> images, note = as_images(np.full((2, 4, 4), 255, np.uint8), "two")
        >>> images.shape, images.max().item(), note
        ((2, 4, 4, 1), 1.0, 'two: 0 to 255 taken as 0 to 1')
    """
    full = pixel_maximum(array, name)
    images = array[..., np.newaxis] if array.ndim == 3 else array
    note = f"{name}: 0 to 255 taken as 0 to 1" if full == 255 else None
    return to_unit(images, full), note


def pixel_maximum(array, name):
    """Check an array that claims to hold images, some at a time, and tell its value for white.

    Args:
        array, name: As for `as_images`.

    Returns:
        1 or 255.

    Raises:
        InputError: If the array is no array of images.
    """
    if array.dtype.kind not in "buif" or array.ndim not in (3, 4):
        raise InputError(
            f"expected images as numbers of shape (N, H, W) or (N, H, W, C) in {name}, found "
            f"{array.dtype} of shape {array.shape}"
        )
    if array.size == 0:
        raise InputError(f"expected at least one image in {name}, found shape {array.shape}")
    step = max(1, CHUNK_BYTES // array[0].nbytes)
    bounds = []
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        bounds.append((chunk.min(), chunk.max()))
        release_pages(array)
    # NumPy's, unlike Python's, carry a NaN through to the end.
    low, high = float(np.min(bounds)), float(np.max(bounds))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"expected finite pixels in {name}, found NaN or infinity")
    # Nobody's 0 to 255 ends below 2: that is [0, 1] overshot, and dividing would blacken it.
    full = 255 if high >= 2 else 1
    if low < 0 or high > full:
        raise InputError(
            f"expected pixels in [0, 1] or in 0 to 255 in {name}, found {low:g} to {high:g}: "
            "scale or clip them"
        )
    return full


def to_unit(images, full):
    """Bring checked images to float32 in [0, 1], given their value for white."""
    images = np.ascontiguousarray(images, np.float32)
    return images / np.float32(255) if full == 255 else images


@dataclass(frozen=True)
class MemmapImages:
    """Images in an array on disk that look like one float32 array, read as they are asked for.

    Attributes:
        array: Memory-mapped array `(N, H, W, C)` of any numeric dtype.
        full: Its value for white: 1 or 255.
    """

    array: np.ndarray
    full: int

    @property
    def shape(self):
        """`(N, H, W, C)`, as of an array."""
        return self.array.shape

    def __len__(self):
        return len(self.array)

    def __getitem__(self, indices):
        """The images that `indices` choose, float32 `(n, H, W, C)` in [0, 1], in memory."""
        chosen = np.array(self.array[indices])
        release_pages(self.array)
        return to_unit(chosen, self.full)


def release_pages(array):
    """Give back the memory of what was read from an array on disk; another array is left alone.

    What is mapped counts as the process's own until the system is short of memory, and would seem
    to grow with the images. What is needed again is still in the system's cache of files.
    """
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
