"""Anomaly maps: how unusual an image is at each pixel."""

import numpy as np
import tensorflow as tf


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


def multiscale_residuals(residuals):
    """A residual as it is and through some blurs, side by side: `(N, H, W, C)` to `(…, F)`."""
    return tf.concat([gaussian_blur(residuals, deviation) for deviation in BLURS], axis=-1)


def gaussian_blur(images, deviation):
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
    pixel. Its squared Mahalanobis distance from what the reference images have at that pixel is
    smoothed; the root of that is the map. The Gaussian for each place is that of PaDiM (Defard et
    al., "PaDiM: a patch distribution modeling framework for anomaly detection and localization",
    2021), here over the residuals of an autoencoder instead of the features of a pretrained network.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The like.
        reference: What `fit_local_distance` returned.

    Returns:
        Anomaly maps: float tensor `(N, H, W)`, at least 0; about 1, or less, where nothing is
        unusual.
    """
    away = multiscale_residuals(images - reconstructions) - reference["mean"]  # (N, H, W, F)
    distances = tf.einsum("nhwf,hwfg,nhwg->nhw", away, reference["precision"], away)
    smooth = gaussian_blur(distances[..., tf.newaxis], SMOOTHING)[..., 0]
    # The mean over the features, so that 1 is usual whatever their number; rounding may have
    # gone below 0.
    return tf.sqrt(tf.maximum(smooth, 0) / reference["mean"].shape[-1])


# Pixels by which `local_distance` smooths its maps.
SMOOTHING = 3
# Variance that is added everywhere: a pixel that never changes in the reference images must not
# make an anomaly of the smallest change. (0.3 % of the pixels' range, squared.)
RIDGE = 1e-5


def fit_local_distance(seen):
    """Learn which residuals are usual at each pixel.

    Args:
        seen: Iterable of triples of images, residuals and codes, as `fit_reference` makes them;
            only the residuals are looked at.

    Returns:
        A dict of float32 arrays: `mean` `(H, W, F)` and `precision` `(H, W, F, F)`.
    """
    n, total, squares = 0, 0.0, 0.0
    for _, batch, _ in seen:
        vectors = multiscale_residuals(tf.constant(batch, tf.float32)).numpy().astype(np.float64)
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


def mean_of_map(maps):
    """Mean over the pixels: every pixel counts."""
    return tf.reduce_mean(maps, axis=(1, 2))


def maximum_of_map(maps):
    """The highest value: one odd place is enough."""
    return tf.reduce_max(maps, axis=(1, 2))


def local_shapes(image, code):
    """Shapes of what `fit_local_distance` returns."""
    n = len(BLURS) * image[2]
    return {"mean": (*image[:2], n), "precision": (*image[:2], n, n)}
