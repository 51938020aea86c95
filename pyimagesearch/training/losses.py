"""Losses of a reconstruction, one for each image."""

import keras
import numpy as np
import tensorflow as tf


def squared_error(wanted, given):
    """Mean squared error of each image: two float tensors `(B, H, W, C)` to `(B,)`."""
    return tf.reduce_mean(tf.square(wanted - given), (1, 2, 3))


def cross_entropy(wanted, given):
    """Pixel-wise cross-entropy of each image, in nats: two tensors in [0, 1] to `(B,)`."""
    return tf.reduce_mean(keras.losses.binary_crossentropy(wanted, given), (1, 2))


# Name -> function from the wanted and the given images to one loss an image.
LOSSES = {"mse": squared_error, "bce": cross_entropy}


def trimmed_mean(errors, trim):
    """Mean of the errors without the largest share `trim` of them.

    Args:
        errors: float array `(N,)`, N at least 1.
        trim: Share to leave out, in [0, 1).

    Example:
        >>> trimmed_mean(np.array([1.0, 2.0, 3.0, 100.0]), trim=0.25)
        2.0
    """
    kept = len(errors) - int(trim * len(errors))
    return float(np.mean(np.sort(errors)[:kept], dtype=np.float64))
