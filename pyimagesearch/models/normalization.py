"""Normalization of images around a network: standardization by the mean image, and contrast.

Without it, the first of the training goes into learning the mean image; a sigmoid may even be driven
so far towards black that it never comes back. With it, all that is left to learn is in what the
images differ.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

# Of more numbers than this (295x295 pixels in color) the mean of each channel has to do: what a
# layer knows of them is written out in the description of the network.
MAX_NUMBERS = 2**18
# Where all images are black or white, the sigmoid starts out this near to it.
MIN_DISTANCE_TO_BOUNDS = 0.004


@dataclass(frozen=True)
class Normalization:
    """Statistics of images.

    Attributes:
        mean: float array `(H, W, C)`, or `(C,)` where there are very many pixels. In [0, 1] unless
            contrast is normalized.
        deviation: Standard deviation of all pixels from that mean, above 0.
        norm: Where contrast is to be normalized, the median length of the blurred images, taken as
            rows of numbers; else `None`.
    """

    mean: np.ndarray
    deviation: float
    norm: float | None = None


def fit_normalization(images, normalize_contrast=False):
    """Compute the statistics of some images.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], N at least 1.
        normalize_contrast: Whether they are to be those of the images with normalized contrast.

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
        smooth = keras.Model(image, blur(image)).predict(images, verbose=0)
        norm = float(np.median(np.linalg.norm(smooth.reshape(len(images), -1), axis=1))) or 1.0
        images = contrast_normalization(images.shape[1:], norm).predict(images, verbose=0)
    per_pixel = np.prod(images.shape[1:]) <= MAX_NUMBERS
    mean = np.mean(images, axis=0 if per_pixel else (0, 1, 2), dtype=np.float64)
    # Four digits are as fine as pixels of 8 bits need it.
    mean = mean.round(4)
    deviation = float(np.sqrt(np.mean(np.square(images - mean), dtype=np.float64)))
    # Images that are all the same have nothing to be scaled.
    return Normalization(mean, deviation or 1.0, norm)


def blur(x):
    """Two boxes of 3x3 pixels, one after the other: nearly a Gaussian of 1.2 pixels."""
    for _ in range(2):
        x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    return x


def contrast_normalization(image_shape, norm):
    """Blur images slightly and bring their contrast half-way to the usual one.

    Thick or bright strokes cost more squared error than the same strokes drawn thin, so that
    thickness would pass for an anomaly. The result is the mean of an image and of the same image
    brought to the usual length: one of twice that length becomes one of one and a half. (To go all
    the way is global contrast normalization: Goodfellow, Bengio and Courville, "Deep Learning",
    2016, sec. 12.2; it would make a faint image as good as any other.)

    Args:
        image_shape: `(H, W, C)`.
        norm: The usual length of a blurred image, taken as a row of numbers; above 0.

    Returns:
        A Keras model `contrast`, from `(N, H, W, C)` to the same.
    """
    image = keras.Input(image_shape)
    x = blur(image)
    unit = layers.UnitNormalization(axis=(1, 2, 3))(x)
    normalized = layers.Add()([layers.Rescaling(0.5)(x), layers.Rescaling(0.5 * norm)(unit)])
    return keras.Model(image, normalized, name="contrast")


def standardize(x, normalization):
    """Subtract the mean and scale what is left to a standard deviation of 1.

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
    """Bring the unbounded output of a decoder to pixels: where it is 0, the mean image comes out.

    Args:
        x: Keras tensor `(N, H, W, C)`.
        normalization: A `Normalization`.

    Returns:
        A Keras tensor of the same shape, in [0, 1] by a sigmoid. Images of normalized contrast
        have no bounds: for these it is linear.
    """
    mean, deviation = normalization.mean, normalization.deviation
    if normalization.norm is not None:
        return layers.Rescaling(deviation, mean.tolist(), dtype="float32", name="pixels")(x)
    mean = np.clip(mean, MIN_DISTANCE_TO_BOUNDS, 1 - MIN_DISTANCE_TO_BOUNDS)
    offset = np.round(np.log(mean / (1 - mean)), 4)
    x = layers.Rescaling(1.0, offset.tolist(), name="around_the_mean")(x)
    return layers.Activation("sigmoid", dtype="float32", name="pixels")(x)
