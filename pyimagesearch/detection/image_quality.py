"""Seven numbers that describe the sharpness and the exposure of an image."""

import numpy as np
import tensorflow as tf

# The bands of a Laplacian pyramid, each of half the size of the one before.
BANDS = 5
N_NUMBERS = BANDS + 2
# Values of pixels, of 255, from which on they count as white, and up to which as black.
WHITE, BLACK = 250, 5
# Weights of R, G and B in the brightness (ITU-R BT.601).
LUMA = np.float32([0.299, 0.587, 0.114])


def sharpness_and_exposure(images):
    """Describe the sharpness and the exposure of images.

    A blank, a blurred or a blown-out photo can look usual to a network that was trained to
    recognize things. Its pixels can't: the bands of a Laplacian pyramid show how much detail of
    each size there is (Burt and Adelson, "The Laplacian pyramid as a compact image code", 1983).

    Args:
        images: float32 tensor `(B, H, W, C)` in [0, 1], C 1 or 3.

    Returns:
        float32 tensor `(B, 7)`: the logarithms of the standard deviations of five bands, the finest
        first, and of the shares of nearly white and nearly black values.

    Example:
        >>> white = sharpness_and_exposure(tf.ones((1, 32, 32, 3))).numpy()[0]
        >>> [f"{number:.1f}" for number in white]
        ['-6.2', '-6.2', '-6.2', '-6.2', '-6.2', '0.0', '-4.6']
    """
    x = images
    if images.shape[-1] == 3:
        x = tf.nn.conv2d(images, LUMA[np.newaxis, np.newaxis, :, np.newaxis], 1, "VALID")
    numbers = []
    for _ in range(BANDS):
        coarse = tf.nn.avg_pool2d(x, 2, 2, "SAME")
        band = x - tf.image.resize(coarse, x.shape[1:3])
        mean = tf.reduce_mean(band, (1, 2), keepdims=True)
        deviation = tf.sqrt(tf.reduce_mean(tf.square(band - mean), (1, 2, 3)))
        numbers.append(tf.math.log(deviation + 2e-3))
        x = coarse
    # Half a step of 8 bits lies between: rounding must not decide.
    for counted in (images > (WHITE - 0.5) / 255, images < (BLACK + 0.5) / 255):
        share = tf.reduce_mean(tf.cast(counted, tf.float32), (1, 2, 3))
        numbers.append(tf.math.log(share + 0.01))
    return tf.stack(numbers, -1)
