"""Normalization of images: standardization by their mean image, and contrast normalization.

Without it, a network spends its first steps on learning the mean image, and its sigmoid may saturate
at black for good. With it, only the differences between the images are left to learn.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

# Up to this many numbers (295x295 pixels in color) the mean is that of each pixel; above, it is that
# of each channel, since the mean is written out as text in the configuration of the network.
MAX_NUMBERS = 2**18
# How near to black and white the sigmoid starts out where all images are so.
MIN_DISTANCE_TO_BOUNDS = 0.004


@dataclass(frozen=True)
class Normalization:
    """Statistics of images, by which a network normalizes them.

    Attributes:
        mean: float array: the mean image `(H, W, C)`, or the mean of each channel `(C,)` where there
            are very many pixels. In [0, 1] unless contrast is normalized.
        deviation: Standard deviation of all pixels from that mean, above 0.
        norm: Median L2 norm of the blurred images where contrast is normalized; else `None`.
    """

    mean: np.ndarray
    deviation: float
    norm: float | None = None


def fit_normalization(images, normalize_contrast=False, weights=None):
    """Compute the statistics of some images.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], N at least 1.
        normalize_contrast: Whether the contrast of the images is normalized first.
        weights: float array `(N,)`, above 0: how many times each image counts; `None`: once.

    Returns:
        A `Normalization`.

    Example:
        >>> images = np.array([0.0, 1.0]).reshape(2, 1, 1, 1)
        >>> fit_normalization(images)
        Normalization(mean=array([[[0.5]]]), deviation=0.5, norm=None)
    """
    norm = None
    if normalize_contrast:
        image = keras.Input(images.shape[1:])
        blurred = keras.Model(image, blur(image)).predict(images, verbose=0)
        norms = np.linalg.norm(blurred.reshape(len(images), -1), axis=1)
        if weights is None:
            norm = float(np.median(norms)) or 1.0
        else:
            norm = float(np.quantile(norms, 0.5, weights=weights, method="inverted_cdf")) or 1.0
        images = contrast_normalization(images.shape[1:], norm).predict(images, verbose=0)
    per_pixel = np.prod(images.shape[1:]) <= MAX_NUMBERS
    if weights is None:
        mean = np.mean(images, axis=0 if per_pixel else (0, 1, 2), dtype=np.float64)
    else:
        mean = np.einsum("n,nhwc->hwc", weights / np.sum(weights), images, dtype=np.float64)
        mean = mean if per_pixel else mean.mean(axis=(0, 1))
    # Four digits are enough for pixels of 8 bits.
    mean = mean.round(4)
    squares = np.square(images - mean)
    if weights is None:
        deviation = float(np.sqrt(np.mean(squares, dtype=np.float64)))
    else:
        deviation = float(np.sqrt(np.average(squares.mean(axis=(1, 2, 3)), weights=weights)))
    # Images that are all the same deviate by 0, by which nothing can be divided.
    return Normalization(mean, deviation or 1.0, norm)


def blur(x):
    """Average over 3x3 pixels twice, which is nearly a Gaussian blur of 1.2 pixels."""
    for _ in range(2):
        x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return x


def contrast_normalization(image_shape, norm):
    """Build a model that blurs images slightly and normalizes half of their contrast.

    Thick or bright strokes cost more squared error than thin ones of the same shape, so that
    thickness would pass for an anomaly. The output is the mean of the blurred image and of the
    blurred image scaled to the L2 norm `norm`: of twice that norm, it comes out with one and a half
    times that norm. (The scaled image alone would be global contrast normalization, by which a
    faint image counts as much as any other: I. Goodfellow, Y. Bengio and A. Courville, "Deep
    Learning", 2016, sec. 12.2.)

    Args:
        image_shape: `(H, W, C)`.
        norm: Median L2 norm of blurred images, above 0.

    Returns:
        A Keras model `contrast` from `(N, H, W, C)` to the same.

    Example:
        >>> gray = np.full((1, 5, 5, 1), 0.2)  # blurred, it stays the same; its norm is 1
        >>> round(float(contrast_normalization((5, 5, 1), norm=2.0)(gray)[0, 2, 2, 0]), 3)
        0.3
    """
    image = keras.Input(image_shape)
    x = blur(image)
    unit = layers.UnitNormalization(axis=(1, 2, 3))(x)
    normalized = layers.Add()([layers.Rescaling(0.5)(x), layers.Rescaling(0.5 * norm)(unit)])
    return keras.Model(image, normalized, name="contrast")


def standardize(x, normalization):
    """Subtract the mean and divide by the standard deviation.

    Args:
        x: Keras tensor `(N, H, W, C)`.
        normalization: A `Normalization`.

    Returns:
        A Keras tensor of the same shape.
    """
    offset = np.round(-normalization.mean / normalization.deviation, 4)
    layer = layers.Rescaling(1 / normalization.deviation, offset.tolist(), name="standardised")
    return layer(x)


def to_pixels(x, normalization):
    """Undo the standardization: map the unbounded output of a decoder to pixels around the mean.

    An output of 0 becomes the mean image.

    Args:
        x: Keras tensor `(N, H, W, C)`.
        normalization: A `Normalization`.

    Returns:
        A Keras tensor of the same shape: in [0, 1] by a sigmoid, or unbounded, by a linear layer,
        where contrast is normalized.
    """
    mean, deviation = normalization.mean, normalization.deviation
    if normalization.norm is not None:
        return layers.Rescaling(deviation, mean.tolist(), dtype="float32", name="pixels")(x)
    mean = np.clip(mean, MIN_DISTANCE_TO_BOUNDS, 1 - MIN_DISTANCE_TO_BOUNDS)
    offset = np.round(np.log(mean / (1 - mean)), 4)
    x = layers.Rescaling(1.0, offset.tolist(), name="around_the_mean")(x)
    return layers.Activation("sigmoid", dtype="float32", name="pixels")(x)
