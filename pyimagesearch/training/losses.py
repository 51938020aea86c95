"""Losses of reconstructions, one number for each image."""

import keras
import numpy as np
import tensorflow as tf


def squared_error(targets, outputs):
    """Mean squared error of each image: two float tensors `(B, H, W, C)` to `(B,)`."""
    return tf.reduce_mean(tf.square(targets - outputs), (1, 2, 3))


def cross_entropy(targets, outputs):
    """Pixel-wise cross-entropy of each image, in nats: two tensors in [0, 1] to `(B,)`."""
    return tf.reduce_mean(keras.losses.binary_crossentropy(targets, outputs), (1, 2))


# Name -> function from targets and outputs to one loss per image.
LOSSES = {"mse": squared_error, "bce": cross_entropy}


def trimmed_mean(losses, trim, weights=None):
    """Mean of the losses without the largest share `trim` of them.

    Args:
        losses: float array `(N,)`, N at least 1.
        trim: Share to leave out, in [0, 1).
        weights: float array `(N,)`, above 0: how much each of the others counts in the mean; `None`:
            all the same.

    Returns:
        A float.

    Example:
        >>> losses = np.array([1.0, 2.0, 3.0, 100.0])
        >>> trimmed_mean(losses, trim=0.25), trimmed_mean(losses, 0.25, weights=np.ones(4))
        (2.0, 2.0)
    """
    kept = len(losses) - int(trim * len(losses))
    if weights is None:
        return float(np.mean(np.sort(losses)[:kept], dtype=np.float64))
    lowest = np.argsort(losses, kind="stable")[:kept]
    return float(np.average(losses[lowest].astype(np.float64), weights=weights[lowest]))
