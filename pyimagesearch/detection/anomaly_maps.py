"""Anomaly maps, which say how anomalous an image is at each pixel, and their pooling to a score."""

import numpy as np
import tensorflow as tf

# Standard deviations, in pixels, of the blurs through which `local_distance` sees a residual.
BLURS = (0, 1, 2, 4)
# Standard deviation, in pixels, by which `local_distance` smooths its maps.
SMOOTHING = 3
# Added to the variance at each pixel, so that one that never changes in the training images does not
# make an anomaly of the smallest change. (0.3 % of the range of a pixel, squared.)
RIDGE = 1e-5


def squared_error(images, reconstructions, reference=None):
    """Squared error at each pixel, averaged over the channels.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The same.
        reference: Not used.

    Returns:
        Anomaly maps: float tensor `(N, H, W)` in [0, 1].
    """
    return tf.reduce_mean(tf.square(images - reconstructions), axis=-1)


def multiscale_residuals(residuals):
    """Residuals through each of `BLURS`, one after the other: `(N, H, W, C)` to `(H, W, N, F)`.

    In this order, the product with a matrix for each pixel is one of matrices of all images.
    """
    height, width, depth = residuals.shape[1:]
    planes = tf.reshape(tf.transpose(residuals, (0, 3, 1, 2)), (-1, height, width))
    blurred = [
        tf.reshape(gaussian_blur(planes, deviation), (-1, depth, height, width))
        for deviation in BLURS
    ]
    return tf.transpose(tf.concat(blurred, axis=1), (2, 3, 0, 1))


def gaussian_blur(planes, deviation):
    """Blur with a Gaussian. Beyond its edge, a plane is continued by its last row or column.

    Args:
        planes: float tensor `(N, H, W)`.
        deviation: Standard deviation in pixels; 0 changes nothing.

    Returns:
        float tensor `(N, H, W)`.
    """
    if not deviation:
        return planes
    rows, columns = (blurring(size, deviation) for size in planes.shape[-2:])
    return tf.matmul(tf.matmul(rows, planes), columns, transpose_b=True)


def blurring(size, deviation):
    """What blurs a column of pixels: float32 array `(size, size)`."""
    radius = int(3 * deviation + 0.5)  # 99.7 % of the weight
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-(offsets**2) / (2 * deviation**2))
    weights = (weights / weights.sum()).astype(np.float32)
    sources = np.clip(np.arange(size)[:, None] + offsets, 0, size - 1)  # (size, 2 radius + 1)
    # Row i has the weights of all pixels in the blurred pixel i.
    matrix = np.zeros((size, size), np.float32)
    np.add.at(matrix, (np.arange(size)[:, None], sources), weights)
    return matrix


def local_distance(images, reconstructions, reference):
    """Mahalanobis distance of the residual at each pixel from the residuals that are usual there.

    The residual, with its sign, in all channels and through several blurs, is a vector at each
    pixel. Its squared distance from the Gaussian of that pixel is smoothed; the root of this is the
    map. A Gaussian for each pixel is the idea of PaDiM (Defard et al., "PaDiM: a patch distribution
    modeling framework for anomaly detection and localization", 2021), here over the residuals of an
    autoencoder in the place of the features of a pretrained network.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The same.
        reference: What `LocalDistanceFit` has found.

    Returns:
        Anomaly maps: float tensor `(N, H, W)`, at least 0; about 1 or less where nothing is
        unusual.
    """
    vectors = multiscale_residuals(images - reconstructions)  # (H, W, N, F)
    differences = vectors - reference["mean"][:, :, tf.newaxis]
    products = tf.matmul(differences, reference["precision"])
    squares = tf.reduce_sum(products * differences, axis=-1)  # (H, W, N)
    smooth = gaussian_blur(tf.transpose(squares, (2, 0, 1)), SMOOTHING)
    # The mean over the features makes 1 the usual value, whatever their number. By rounding, the
    # squares may be below 0.
    return tf.sqrt(tf.maximum(smooth, 0) / reference["mean"].shape[-1])


class LocalDistanceFit:
    """Fits a Gaussian to the residuals at each pixel, batch by batch."""

    def __init__(self):
        self.n, self.total, self.products = 0, 0.0, 0.0

    def add(self, images, residuals, codes=None, counts=None):
        """Take in a batch: residuals `(B, H, W, C)`; images and codes are not used.

        Args:
            images, codes: Not used.
            residuals: float array.
            counts: float array `(B,)`: how many times each image counts; `None`: once.
        """
        vectors = multiscale_residuals(tf.constant(residuals, tf.float32))
        vectors = vectors.numpy().astype(np.float64)
        weighted = vectors if counts is None else vectors * counts[:, np.newaxis]
        self.n += len(residuals) if counts is None else counts.sum()
        self.total = self.total + weighted.sum(axis=2)  # (H, W, F)
        self.products = self.products + weighted.swapaxes(2, 3) @ vectors

    def reference(self):
        """The reference, a dict of float32 arrays: `mean` `(H, W, F)`, `precision` `(H, W, F, F)`."""
        mean = self.total / self.n
        covariance = self.products / self.n - np.einsum("hwf,hwg->hwfg", mean, mean)
        covariance += RIDGE * np.eye(mean.shape[-1])
        return {
            "mean": mean.astype(np.float32),
            "precision": np.linalg.inv(covariance).astype(np.float32),
        }


def local_shapes(image_shape, code_length):
    """Shapes of the arrays that `LocalDistanceFit` finds."""
    height, width, depth = image_shape
    n_features = len(BLURS) * depth
    return {
        "mean": (height, width, n_features),
        "precision": (height, width, n_features, n_features),
    }


def mean_of_map(maps):
    """Pool maps `(N, H, W)` to scores `(N,)`: the mean, to which all pixels contribute."""
    return tf.reduce_mean(maps, axis=(1, 2))


def maximum_of_map(maps):
    """Pool maps `(N, H, W)` to scores `(N,)`: the maximum, for which one place is enough."""
    return tf.reduce_max(maps, axis=(1, 2))
