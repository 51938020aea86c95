"""How odd is each image, and where?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.streams import batches


def squared_error(images, reconstructions, reference=None):
    """Squared error at each pixel, averaged over the channels.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The like.
        reference: Not used: the error speaks for itself.

    Returns:
        Error maps: float tensor `(N, H, W)` in [0, 1].
    """
    return tf.reduce_mean(tf.square(images - reconstructions), axis=-1)


# Standard deviations, in pixels, of the blurs through which `local_distance` sees a residual.
BLURS = (0, 1, 2, 4)


def features(residuals):
    """A residual as it is and through some blurs, side by side: `(N, H, W, C)` to `(…, F)`."""
    return tf.concat([blurred(residuals, deviation) for deviation in BLURS], axis=-1)


def blurred(images, deviation):
    """Blur with a Gaussian; beyond its edge an image goes on as its last row or column.

    Args:
        images: float tensor `(N, H, W, C)`.
        deviation: Standard deviation in pixels; 0 changes nothing.
    """
    for axis in (1, 2) if deviation else ():
        radius = int(3 * deviation + 0.5)  # 99.7 % of the weight
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-(offsets**2) / (2 * deviation**2))
        weights = (weights / weights.sum()).astype(np.float32)
        size = images.shape[axis]
        places = np.clip(np.arange(size)[:, None] + offsets, 0, size - 1)  # (size, 2 radius + 1)
        # One row of the matrix says which pixels a pixel is made of.
        matrix = np.zeros((size, size), np.float32)
        np.add.at(matrix, (np.arange(size)[:, None], places), weights)
        equation = "ij,njwc->niwc" if axis == 1 else "ij,nhjc->nhic"
        images = tf.einsum(equation, matrix, images)
    return images


def local_distance(images, reconstructions, reference):
    """How unusual the residual is at each pixel, given the residuals that are usual there.

    The residual, with its sign, in all channels and through several blurs, is a vector at each
    pixel. Its squared Mahalanobis distance from what the reference images have at that pixel
    is smoothed; the root of that is the map. The Gaussian for each place is that of PaDiM (Defard et al., "PaDiM: a patch
    distribution modeling framework for anomaly detection and localization", 2021), here over
    the residuals of an autoencoder instead of the features of a pretrained network.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The like.
        reference: What `fit_local_distance` returned.

    Returns:
        Anomaly maps: float tensor `(N, H, W)`, at least 0; about 1, or less, where nothing is unusual.
    """
    away = features(images - reconstructions) - reference["mean"]  # (N, H, W, F)
    distances = tf.einsum("nhwf,hwfg,nhwg->nhw", away, reference["precision"], away)
    smooth = blurred(distances[..., tf.newaxis], SMOOTHING)[..., 0]
    # The mean over the features, so that 1 is usual whatever their number; rounding may have
    # gone below 0.
    return tf.sqrt(tf.maximum(smooth, 0) / reference["mean"].shape[-1])


# Pixels by which `local_distance` smooths its maps.
SMOOTHING = 3
# Variance that is added everywhere: a pixel that never changes in the reference images must not
# make an anomaly of the smallest change. (0.3 % of the pixels' range, squared.)
RIDGE = 1e-5


def fit_local_distance(residuals):
    """Learn which residuals are usual at each pixel.

    Args:
        residuals: Iterable of float arrays `(B, H, W, C)`: images minus reconstructions, of
            images that are as normal as can be had.

    Returns:
        A dict of float32 arrays: `mean` `(H, W, F)` and `precision` `(H, W, F, F)`.
    """
    n, total, squares = 0, 0.0, 0.0
    for batch in residuals:
        vectors = features(tf.constant(batch, tf.float32)).numpy().astype(np.float64)
        n += len(vectors)
        total = total + vectors.sum(axis=0)  # (H, W, F)
        squares = squares + np.einsum("nhwf,nhwg->hwfg", vectors, vectors, optimize=True)
    mean = total / n
    covariance = squares / n - np.einsum("hwf,hwg->hwfg", mean, mean)
    covariance += RIDGE * np.eye(mean.shape[-1])
    return {
        "mean": mean.astype(np.float32),
        "precision": np.linalg.inv(covariance).astype(np.float32),
    }


@dataclass(frozen=True)
class Score:
    """A way to score images.

    Attributes:
        maps: Function from images, reconstructions and a reference to maps `(N, H, W)`.
        pool: Function from maps to one score an image, `(N,)`.
        fit: Function from an iterable of residuals to the reference, or `None` where the score
            needs none.
    """

    maps: Callable
    pool: Callable
    fit: Callable | None = None


def mean_of_map(maps):
    """Mean over the pixels: every pixel counts."""
    return tf.reduce_mean(maps, axis=(1, 2))


def maximum_of_map(maps):
    """The highest value: one odd place is enough."""
    return tf.reduce_max(maps, axis=(1, 2))


SCORES = {
    "mse": Score(squared_error, mean_of_map),
    "local": Score(local_distance, maximum_of_map, fit_local_distance),
}


# Images that go through a network at once, at least.
FEWEST_ROWS = 8


def fit_reference(autoencoder, images, order, score, batch_size=256):
    """Learn what a score needs to know about normal images.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `streams.batches` takes.
        order: int array: which of the images to learn from, at least one.
        score: A key of `SCORES`.
        batch_size: Images per call of the network.

    Returns:
        A dict of arrays, empty where the score needs no reference.
    """
    if SCORES[score].fit is None:
        return {}

    @tf.function(reduce_retracing=True)
    def residual(batch):
        return batch - autoencoder(batch, training=False)

    return SCORES[score].fit(
        residual(tf.constant(batch)) for _, batch in batches(images, order, batch_size)
    )


def score_images(
    autoencoder,
    images,
    score="mse",
    reference=None,
    order=None,
    *,
    batch_size=256,
    on_batch=None,
):
    """Score images by how badly an autoencoder reconstructs them.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `streams.batches` takes.
        score: A key of `SCORES`.
        reference: What `fit_reference` returned for that score and model.
        order: int array `(n,)`: which images to score; all N unless given.
        batch_size: Images per call of the network. It changes speed and memory, not the scores.
        on_batch: Called after each batch as `on_batch(done)`, with the number of images scored
            so far.

    Returns:
        float32 array `(n,)`, at least 0; the higher, the more anomalous.

    Raises:
        InputError: If the images are not of the shape that the model takes, if the score needs
            a reference and there is none, or if the model gives scores that are not finite.

    Example:
        >>> from pyimagesearch.convautoencoder import ConvAutoencoder
        >>> autoencoder = ConvAutoencoder.build(8, 8, 1, seed=0)[2]
        >>> score_images(autoencoder, np.zeros((3, 8, 8, 1), "float32")).shape
        (3,)
    """
    if tuple(images.shape[1:]) != autoencoder.input_shape[1:]:
        raise InputError(
            f"the model takes images of shape {autoencoder.input_shape[1:]} and these are of shape "
            f"{tuple(images.shape[1:])}: take the images that belong to the model, or train anew"
        )
    maps_of = map_function(autoencoder, score, reference)

    # A single row is multiplied in another order, with another rounding.
    rows = max(batch_size, FEWEST_ROWS)

    # The error is taken inside the compiled function: no reconstruction leaves it.
    @tf.function(input_signature=[tf.TensorSpec((rows, *images.shape[1:]), tf.float32)])
    def score_batch(batch):
        return SCORES[score].pool(maps_of(batch, autoencoder(batch, training=False)))

    order = np.arange(len(images)) if order is None else order
    n, done = len(order), 0
    scores = np.empty(n, np.float32)
    for _, batch in batches(images, order, batch_size):
        # Every batch has the same shape, so that the function is compiled once.
        padding = [(0, rows - len(batch))] + [(0, 0)] * 3
        scores[done : done + len(batch)] = score_batch(np.pad(batch, padding))[: len(batch)]
        done += len(batch)
        if on_batch is not None:
            on_batch(done)
    if not np.isfinite(scores).all():
        raise InputError("the model gives scores that are no numbers: train it again")
    return scores


def map_function(autoencoder, score, reference):
    """The function of images and reconstructions that makes a score's maps."""
    if SCORES[score].fit is None:
        return lambda images, reconstructions: SCORES[score].maps(images, reconstructions)
    if not reference:
        raise InputError(
            f"the score {score} needs what training has learnt about normal images and there is "
            "none beside the model: train again, or take --score mse"
        )
    constants = {name: tf.constant(array) for name, array in reference.items()}
    # Tried on a black image: what lies beside a model may belong to another.
    black = tf.zeros((1, *autoencoder.input_shape[1:]))
    try:
        SCORES[score].maps(black, black, constants)
    except (KeyError, ValueError, TypeError, tf.errors.OpError):
        raise InputError(
            f"what is beside the model for the score {score} does not fit it: train again, or take "
            "--score mse"
        ) from None
    return lambda images, reconstructions: SCORES[score].maps(images, reconstructions, constants)


def reconstruct(autoencoder, images, order, score="mse", reference=None, batch_size=64):
    """Reconstruct some images, to look at: all of these fit into memory.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `streams.batches` takes.
        order: int array `(n,)`: which images, at least one.
        score: A key of `SCORES`.
        reference: What `fit_reference` returned for that score and model.
        batch_size: Images per call of the network.

    Returns:
        A tuple of the images and the reconstructions, both float32 `(n, H, W, C)` in [0, 1], and
        the anomaly maps, float32 `(n, H, W)`.
    """
    maps_of = map_function(autoencoder, score, reference)
    originals, reconstructions, maps = [], [], []
    for _, batch in batches(images, order, batch_size):
        reconstruction = autoencoder(batch, training=False)
        originals.append(batch)
        reconstructions.append(reconstruction.numpy())
        maps.append(maps_of(batch, reconstruction).numpy())
    return tuple(map(np.concatenate, (originals, reconstructions, maps)))


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
