"""Fitting of the scores of pixels: what they know about normal images, learned in one pass."""

import numpy as np
import tensorflow as tf

from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.detection.scoring import batch_size_for
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.runtime.distribution import Cluster


def fit_references(autoencoder, images, orders, batch_size=None, frequency_weights=None):
    """Learn what scores have to know about normal images, in one pass of the network.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `batches.iterate_batches` takes.
        orders: Dict from keys of `scores.SCORES` to int arrays `(n,)`, n at least 1 and ascending:
            the indices of the images to learn from, for each score.
        batch_size: Images per call of the network; as many as are scored at once unless given.
        frequency_weights: float array `(N,)`, above 0: how many times each image counts in means
            and covariances; `None`: once.

    Returns:
        The references by score, each a dict of float32 arrays; empty where the score needs none,
        or where there are too few images.

    Raises:
        InputError: If a score needs latent codes and the network has none.
    """
    fits = {score: SCORES[score].fit() for score in orders if SCORES[score].fit is not None}
    order = np.unique(np.concatenate([np.zeros(0, int), *(orders[score] for score in fits)]))
    network = Autoencoder(autoencoder)
    with_codes = any(SCORES[score].needs_codes for score in fits)

    # With the number of images open, it is compiled once, though the last batch is smaller.
    @tf.function(
        input_signature=[tf.TensorSpec((None, *network.image_shape), tf.float32)], autograph=False
    )
    def images_residuals_and_codes(batch):
        preprocessed, reconstructions, codes = network.forward(batch, with_codes)
        return preprocessed, preprocessed - reconstructions, *([codes] if with_codes else [])

    batch_size = batch_size or batch_size_for(autoencoder, Cluster())
    for indices, batch in iterate_batches(images, order, batch_size):
        parts = [part.numpy() for part in images_residuals_and_codes(tf.constant(batch))]
        for score, fit in fits.items():
            chosen = np.isin(indices, orders[score])
            if chosen.any():
                counts = frequency_weights
                if counts is not None:
                    counts = counts[indices[chosen]]
                fit.add(*(part[chosen] for part in parts), counts=counts)
    return {score: fits[score].reference() if score in fits else {} for score in orders}
