"""How odd is each image, and where?"""

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError


def squared_error(images, reconstructions):
    """Squared error at each pixel, averaged over the channels.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The like.

    Returns:
        Error maps: float tensor `(N, H, W)` in [0, 1].
    """
    return tf.reduce_mean(tf.square(images - reconstructions), axis=-1)


# Name -> function from images and reconstructions to error maps; the mean of a map is the score.
SCORES = {"mse": squared_error}


def score_images(autoencoder, images, score="mse", batch_size=256, on_batch=None):
    """Score images by how badly an autoencoder reconstructs them.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: float32 array `(N, H, W, C)` in [0, 1].
        score: A key of `SCORES`.
        batch_size: Images per call of the network. It changes speed and memory, not the scores.
        on_batch: Called after each batch as `on_batch(done)`, with the number of images scored so far.

    Returns:
        float32 array `(N,)`, at least 0; the higher, the more anomalous.

    Raises:
        InputError: If the images are not of the shape that the model takes, or if the model
            gives scores that are not finite.

    Example:
        >>> from pyimagesearch.convautoencoder import ConvAutoencoder
        >>> autoencoder = ConvAutoencoder.build(8, 8, 1, seed=0)[2]
        >>> score_images(autoencoder, np.zeros((3, 8, 8, 1), "float32")).shape
        (3,)
    """
    error_map = SCORES[score]
    if images.shape[1:] != autoencoder.input_shape[1:]:
        raise InputError(
            f"the model takes images of shape {autoencoder.input_shape[1:]} and these are of shape "
            f"{images.shape[1:]}: take the images that belong to the model, or train anew"
        )

    # The error is taken inside the compiled function: no reconstruction leaves it.
    @tf.function(input_signature=[tf.TensorSpec((batch_size, *images.shape[1:]), tf.float32)])
    def score_batch(batch):
        return tf.reduce_mean(error_map(batch, autoencoder(batch, training=False)), axis=(1, 2))

    scores = np.empty(len(images), np.float32)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        # Every batch has the same shape, so that the function is compiled once.
        padding = [(0, batch_size - len(batch))] + [(0, 0)] * 3
        scores[start : start + batch_size] = score_batch(np.pad(batch, padding))[: len(batch)]
        if on_batch is not None:
            on_batch(start + len(batch))
    if not np.isfinite(scores).all():
        raise InputError("the model gives scores that are no numbers: train it again")
    return scores


def reconstruct(autoencoder, images, score="mse"):
    """Reconstruct a few images, to look at.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: float32 array `(N, H, W, C)` in [0, 1].
        score: A key of `SCORES`.

    Returns:
        A tuple of the reconstructions, float32 `(N, H, W, C)` in [0, 1], and the error maps,
        float32 `(N, H, W)`.
    """
    reconstructions = autoencoder(images, training=False)
    return reconstructions.numpy(), SCORES[score](images, reconstructions).numpy()


def rank(scores):
    """Order of the images, highest score first; of equal scores, the lower index first.

    Example:
        >>> rank(np.array([0.1, 0.9, 0.1, 0.5])).tolist()
        [1, 3, 0, 2]
    """
    return np.argsort(-np.asarray(scores), kind="stable")


def summary(scores):
    """Describe scores in a few numbers, to be kept beside a model.

    Args:
        scores: float array `(N,)`.

    Returns:
        A dict with `n`, and for N at least 1 `mean`, `std`, `min`, `median` and `max`.

    Example:
        >>> summary(np.array([1.0, 3.0]))["std"]
        1.0
    """
    if not len(scores):
        return {"n": 0}
    scores = np.asarray(scores, np.float64)
    functions = {"mean": np.mean, "std": np.std, "min": np.min, "median": np.median, "max": np.max}
    return {"n": len(scores), **{name: float(of(scores)) for name, of in functions.items()}}
