"""Arrays of images, checked and converted to float32 `(N, H, W, C)` in [0, 1]."""

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyimagesearch import InputError

# Bytes of an array on disk that are checked at once.
CHUNK_BYTES = 2**26


def as_images(array, name):
    """Check an array of images and convert it to the common form.

    Args:
        array: `(N, H, W)` or `(N, H, W, C)`, of a boolean, integer or floating dtype, finite, in
            [0, 1] or in 0 to 255.
        name: Name of the array in messages.

    Returns:
        A tuple of the images, float32 `(N, H, W, C)` in [0, 1], and a remark on the conversion,
        `None` if there was none.

    Raises:
        InputError: If the array is anything else.

    Example:
        >>> images, remark = as_images(np.full((2, 4, 4), 255, np.uint8), "two")
        >>> images.shape, images.max().item(), remark
        ((2, 4, 4, 1), 1.0, 'two: 0 to 255 taken as 0 to 1')
    """
    maximum = pixel_maximum(array, name)
    images = array[..., np.newaxis] if array.ndim == 3 else array
    return to_unit(images, maximum), describe_range(array.dtype, maximum, name)


def describe_range(dtype, maximum, name):
    """A remark on the range that an array of images was taken to have; `None` if it needs none.

    Args:
        dtype: Of the array.
        maximum: Its value for white, as `pixel_maximum` finds it.
        name: Name of the array.

    Returns:
        Text or `None`. Integers that are only 0 and 1 are taken as black and white, like a mask.
    """
    if maximum == 255:
        return f"{name}: 0 to 255 taken as 0 to 1"
    return f"{name}: only 0 and 1, taken as black and white" if dtype.kind in "ui" else None


def pixel_maximum(array, name):
    """Check an array of images chunk by chunk and find its value for white.

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
    # A maximum below 2 is [0, 1] overshot, and not 0 to 255: dividing would turn it black.
    maximum = 255 if high >= 2 else 1
    tolerance = maximum * rounding(array.dtype)
    if low < -tolerance or high > maximum + tolerance:
        raise InputError(
            f"expected pixels in [0, 1] or in 0 to 255 in {name}, found {low:.9g} to {high:.9g}: "
            "scale or clip them"
        )
    return maximum


def rounding(dtype):
    """By how much a pixel of white 1 may lie beyond [0, 1], as after a scaling that was rounded."""
    return max(1e-6, 4 * np.finfo(dtype).eps) if dtype.kind == "f" else 0


def to_unit(images, maximum):
    """Scale checked images, whose value for white is 1 or 255, to float32 in [0, 1].

    Example:
        >>> to_unit(np.array([-1e-7, 0.5, 1.0000001]), 1).tolist()
        [0.0, 0.5, 1.0]
    """
    may_exceed = images.dtype.kind == "f"
    images = np.ascontiguousarray(images, np.float32)
    if maximum == 255:
        images = images / np.float32(255)
    # Most images don't exceed, and then no copy is made.
    if may_exceed and images.size and (images.min() < 0 or images.max() > 1):
        images = np.clip(images, 0, 1)
    return images


@dataclass(frozen=True)
class MemmapImages:
    """Images in an array on disk, read when they are indexed, as if from one float32 array.

    Attributes:
        array: Memory-mapped array `(N, H, W, C)` of any numeric dtype.
        maximum: Its value for white: 1 or 255.
    """

    array: np.ndarray
    maximum: int

    @property
    def shape(self):
        """`(N, H, W, C)`, as of an array."""
        return self.array.shape

    def __len__(self):
        return len(self.array)

    def __getitem__(self, indices):
        """The indexed images, float32 `(n, H, W, C)` in [0, 1], in memory."""
        chosen = np.array(self.array[indices])
        release_pages(self.array)
        return to_unit(chosen, self.maximum)


def release_pages(array):
    """Release the memory that holds pages of a memory-mapped array; do nothing for other arrays.

    Mapped pages count as memory of the process until the system runs short of it, so that its use
    would seem to grow with the images. Pages that are needed again are still in the file cache.
    """
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)


class Lazy(Sequence):
    """A sequence of items that are made when they are asked for, so that many take no memory.

    Args:
        n: How many there are.
        make: Function from the place of an item, from 0, to the item.

    Example:
        >>> squares = Lazy(1_000_000, lambda i: i * i)
        >>> squares[-1], squares[1:4]
        (999998000001, [1, 4, 9])
    """

    def __init__(self, n, make):
        self.places, self.make = range(n), make

    def __len__(self):
        return len(self.places)

    def __getitem__(self, index):
        chosen = self.places[index]
        return self.make(chosen) if isinstance(chosen, int) else [self.make(i) for i in chosen]

    def __eq__(self, other):
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None


class Numbers(Lazy):
    """The names of images that have none: their numbers from 0, as text, made when they are asked for.

    Example:
        >>> Numbers(30_000_000)[7], list(Numbers(2))
        ('7', ['0', '1'])
    """

    def __init__(self, n):
        super().__init__(n, str)
