"""Batches of images, read ahead while the current batch is in use."""

import os

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError

# Batches that are read at the same time, at most: each takes memory.
MAX_READERS = max(2, min(8, os.cpu_count()))

# Images that scores are calibrated on, at most: more would not change the calibration.
MAX_CALIBRATION_IMAGES = 5000


def iterate_batches(images, order, batch_size):
    """Iterate over images in a given order.

    Args:
        images: Any object with a shape `(N, H, W, C)` that returns float32 pixels for an int array
            of indices: an array in memory, `ImageFiles`, `MemmapImages` or `CorruptedImages`.
        order: int array of indices into it.
        batch_size: Images in each batch but the last.

    Yields:
        Pairs of indices `(B,)` and pixels, float32 array `(B, H, W, C)`.

    Raises:
        InputError: If an image can no longer be read.

    Example:
        >>> images = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
        >>> [pixels.ravel().tolist() for _, pixels in iterate_batches(images, [2, 0, 1], 2)]
        [[2.0, 0.0], [1.0]]
    """
    order = np.asarray(order, np.int64)
    if isinstance(images, np.ndarray):
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            yield indices, images[indices]
        return

    errors = []

    def fetch(indices):
        try:
            return images[indices]
        except InputError as error:
            errors.append(error)
            raise

    def read(indices):
        return indices, tf.numpy_function(fetch, [indices], tf.float32)

    # Several batches are read at once and yielded in their order. One thread reads each: threads
    # that share a batch of small files would wait for each other.
    stream = (
        tf.data.Dataset.from_tensor_slices(order)
        .batch(batch_size)
        .map(read, num_parallel_calls=MAX_READERS, deterministic=True)
        .prefetch(2)
    )
    try:
        yield from stream.as_numpy_iterator()
    except tf.errors.OpError:
        if errors:  # TensorFlow wraps it in an error of its own.
            raise errors[0] from None
        raise


def local_batches(images, order, batch_size, cluster):
    """Go through images in an order, each process through its own slice of each batch.

    Args:
        images: As for `iterate_batches`.
        order: int array of indices, the same in every process.
        batch_size: Images in each batch of the cluster but the last.
        cluster: A `distribution.Cluster`.

    Yields:
        Triples: which part of the order is the batch, and which part of the batch is this
        process's own, as slices; and the pixels of the latter, float32 `(B, H, W, C)`.

    Example:
        >>> from pyimagesearch.runtime.distribution import Cluster
        >>> images = np.zeros((3, 1, 1, 1), np.float32)
        >>> [pixels.shape for *_, pixels in local_batches(images, np.arange(3), 2, Cluster())]
        [(2, 1, 1, 1), (1, 1, 1, 1)]
    """
    starts = range(0, len(order), batch_size)
    batches = [slice(start, min(start + batch_size, len(order))) for start in starts]
    slices = [cluster.local_slice(batch.stop - batch.start) for batch in batches]
    indices = [order[batch][local] for batch, local in zip(batches, slices, strict=True)]
    largest = max(map(len, indices), default=1)
    pixels = iterate_batches(images, np.concatenate([order[:0], *indices]), largest)
    none = np.zeros((0, *images.shape[1:]), np.float32)
    for batch, local, some in zip(batches, slices, indices, strict=True):
        # The last batch may be too small for every process to have a part.
        yield batch, local, next(pixels)[1] if len(some) else none


def load_into_memory(images):
    """Read all images; an array is returned as it is.

    Args:
        images: As for `iterate_batches`.

    Returns:
        float32 array `(N, H, W, C)`.

    Raises:
        InputError: If an image can no longer be read.

    Example:
        >>> load_into_memory(np.zeros((3, 1, 1, 1), np.float32)).shape
        (3, 1, 1, 1)
    """
    if isinstance(images, np.ndarray):
        return images
    pixels = np.empty(images.shape, np.float32)
    for indices, batch in iterate_batches(images, np.arange(len(pixels)), 64):
        pixels[indices] = batch
    return pixels


def subsample(indices, seed, n=MAX_CALIBRATION_IMAGES):
    """All of the indices, or `n` of them drawn at random, in ascending order."""
    if len(indices) <= n:
        return indices
    return np.sort(np.random.default_rng(seed).choice(indices, n, replace=False))
