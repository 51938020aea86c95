"""How does a network know from the start what the images look like on average?

Without it, the first of the training goes into finding the mean image; a sigmoid may even be driven
so far towards black that it never comes back. With it, all that is left to learn is in what the
images differ.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

# Of more numbers than this (295x295 pixels in colour) the mean of each channel has to do: what a
# layer knows of them is written out in the description of the network.
MAX_NUMBERS = 2**18
# Where all images are black or white, the sigmoid starts out this near to it.
MIN_DISTANCE_TO_BOUNDS = 0.004


@dataclass(frozen=True)
class Normalization:
    """What images have in common.

    Attributes:
        mean: float array `(H, W, C)`, or `(C,)` where there are very many pixels. In [0, 1] unless
            contrast is evened.
        deviation: Standard deviation of all pixels from that mean, above 0.
        norm: Where contrast is to be evened, the median length of the blurred images, taken as
            rows of numbers; else `None`.
    """

    mean: np.ndarray
    deviation: float
    norm: float | None = None


def fit_normalization(images, even_contrast=False):
    """The centre of some images.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], N at least 1.
        even_contrast: Whether it is to be that of the images with their contrast evened.

    Returns:
        A `Normalization`.

    Example:
        >>> images = np.array([0.0, 1.0]).reshape(2, 1, 1, 1)
        >>> fit_normalization(images)
        Centre(mean=array([[[0.5]]]), deviation=0.5, norm=None)
    """
    norm = None
    if even_contrast:
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

    What is drawn in thick or bright strokes costs more squared error than the same in thin ones
    does, so that thickness would pass for oddity. An image is the mean of itself and of itself
    brought to the usual length: one of twice that length becomes one of one and a half. (To go all
    the way is global contrast normalisation: Goodfellow, Bengio and Courville, "Deep Learning",
    2016, sec. 12.2; it would make a faint image as good as any other.)

    Args:
        image_shape: `(H, W, C)`.
        norm: The usual length of a blurred image, taken as a row of numbers; above 0.

    Returns:
        A Keras model `contrast_normalization`, from `(N, H, W, C)` to the same.
    """
    image = keras.Input(image_shape)
    x = blur(image)
    unit = layers.UnitNormalization(axis=(1, 2, 3))(x)
    evened = layers.Add()([layers.Rescaling(0.5)(x), layers.Rescaling(0.5 * norm)(unit)])
    return keras.Model(image, evened, name="contrast")


def has_even_contrast(autoencoder):
    """Whether a network evens the contrast of images before it looks at them."""
    return "contrast" in (layer.name for layer in autoencoder.layers)


def wanted_by(autoencoder):
    """What an autoencoder is to give back, given images: these, or what it makes of them first.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.

    Returns:
        A function from float tensors `(N, H, W, C)` to the same.
    """
    if has_even_contrast(autoencoder):
        return autoencoder.get_layer("contrast")
    return lambda images: images


def network_of(autoencoder):
    """An autoencoder without what it makes of images first, as a function."""
    if not has_even_contrast(autoencoder):
        return autoencoder
    encoder, decoder = autoencoder.get_layer("encoder"), autoencoder.get_layer("decoder")
    return lambda seen, training: decoder(encoder(seen, training=training), training=training)


def standardize(x, centre):
    """Take the mean away and bring what is left to a standard deviation of 1.

    Args:
        x: Keras tensor `(N, H, W, C)`.
        centre: A `Normalization`; `None` leaves `x` as it is.
    """
    if centre is None:
        return x
    offset = np.round(-centre.mean / centre.deviation, 4)
    return layers.Rescaling(1 / centre.deviation, offset.tolist(), name="standardised")(x)


def to_pixels(x, centre):
    """Bring what a decoder ends with to pixels: to [0, 1], by a sigmoid.

    Args:
        x: Keras tensor `(N, H, W, C)`.
        centre: A `Normalization`: where `x` is 0, the mean image comes out; `None`: 0.5 does. Images of
            evened contrast have no bounds, and no sigmoid: then everything is linear.
    """
    if centre is not None and centre.norm is not None:
        last = layers.Rescaling(
            centre.deviation, centre.mean.tolist(), dtype="float32", name="pixels"
        )
        return last(x)
    if centre is not None:
        mean = np.clip(centre.mean, MIN_DISTANCE_TO_BOUNDS, 1 - MIN_DISTANCE_TO_BOUNDS)
        offset = np.round(np.log(mean / (1 - mean)), 4)
        x = layers.Rescaling(1.0, offset.tolist(), name="around_the_mean")(x)
    return layers.Activation("sigmoid", dtype="float32", name="pixels")(x)
