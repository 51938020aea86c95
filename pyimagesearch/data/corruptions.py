"""Corruptions of images: noise, blur, rotation, and synthetic anomalies made of them.

Every corruption maps a batch of images, a NumPy array, to a new one of the same shape. In
`tf.data`, call it through `tf.numpy_function`.
"""

import dataclasses

import cv2
import numpy as np


def noise(images, amount, rng):
    """Add Gaussian noise and clip to [0, 1].

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        amount: Standard deviation on the [0, 1] scale of the pixels, above 0.
        rng: `numpy.random.Generator` to draw from.

    Returns:
        A new array of the same shape, dtype and range.

    Example:
        >>> gray = np.full((1, 100, 100, 1), 0.5, np.float32)
        >>> bool(0.09 < noise(gray, 0.1, np.random.default_rng(0)).std() < 0.11)
        True
    """
    drawn = rng.standard_normal(images.shape, np.float32)
    return np.clip(images + np.float32(amount) * drawn, 0, 1)


def blur(images, amount, rng=None):
    """Blur with a Gaussian kernel. An image is continued beyond its edges by its mirror image.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        amount: Standard deviation in pixels, above 0.
        rng: Not used: blurring is not random.

    Returns:
        A new array of the same shape, dtype and range.
    """
    return map_images(images, lambda image: cv2.GaussianBlur(image, (0, 0), amount))


def rotate(images, amount, rng=None):
    """Rotate about the center. An image is continued beyond its edges by their color.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        amount: Angle in degrees, counterclockwise.
        rng: Not used: all images are rotated by the same angle.

    Returns:
        A new array of the same shape, dtype and range.

    Example:
        >>> image = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1) / 3
        >>> np.array_equal(rotate(image, 90)[0], np.rot90(image[0]))
        True
    """
    height, width = images.shape[1:3]
    center = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(center, amount, 1)
    # Quarter turns have to move whole pixels: no rounding error may mix neighbors.
    matrix = np.round(matrix, 9)
    return map_images(
        images,
        lambda image: cv2.warpAffine(
            image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
        ),
    )


# Name -> function from images, an amount and a generator to corrupted images.
CORRUPTIONS = {"noise": noise, "blur": blur, "rotate": rotate}


def map_images(images, transform):
    """Apply a function to each image, restoring the single channel that OpenCV drops."""
    transformed = [np.reshape(transform(image), image.shape) for image in images]
    return np.clip(np.stack(transformed), 0, 1)


def corrupt(images, spec, seed):
    """Corrupt images by one of the corruptions.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        spec: A pair of a key of `CORRUPTIONS` and an amount.
        seed: Whole number, or a sequence of them. The same seed gives the same images.

    Returns:
        A new array of the same shape, dtype and range.
    """
    name, amount = spec
    return CORRUPTIONS[name](images, amount, np.random.default_rng(seed))


def additive_noise(deviation):
    """A function of images and a seed that adds Gaussian noise without clipping."""

    def corrupt_batch(images, seed):
        drawn = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
        return images + np.float32(deviation) * drawn

    return corrupt_batch


def corruption_fn(spec):
    """A function of images and a seed that corrupts them, as training applies it to its inputs."""
    return lambda images, seed: corrupt(images, spec, seed)


class CorruptedImages:
    """Images of which some are corrupted when they are read, as if from one array.

    Args:
        images: Images as for `batches.iterate_batches`, `(N, H, W, C)` in [0, 1].
        synthetic: bool array `(N,)`, true for the images to corrupt.
        spec: A pair of a key of `CORRUPTIONS` and an amount.
        seed: Seed of the corruption. An image is corrupted alike in whatever batch it is read.
    """

    def __init__(self, images, synthetic, spec, seed):
        self.images, self.synthetic, self.spec, self.seed = images, synthetic, spec, seed
        self.shape = images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        """The images at an int array of indices, float32 `(n, H, W, C)` in [0, 1]."""
        batch = np.array(self.images[indices], np.float32)
        for row, index in enumerate(indices):
            if self.synthetic[index]:
                image = batch[row : row + 1]
                batch[row] = corrupt(image, self.spec, [self.seed, int(index)])[0]
        return batch


def inject_anomalies(dataset, spec, fraction, seed):
    """Turn some images of a dataset into synthetic anomalies, to measure whether they are found.

    Args:
        dataset: A `datasets.Dataset`.
        spec: The corruption that makes them: a pair of a key of `CORRUPTIONS` and an amount.
        fraction: Fraction of the images, in (0, 1]; at least one becomes an anomaly.
        seed: Seed of the choice and of the corruption.

    Returns:
        A tuple of a new `Dataset`, in which synthetic anomalies have the label 1 and other images
        without a label count as normal, and a bool array `(N,)`, true for the synthetic ones.
    """
    n = len(dataset.images)
    rng = np.random.default_rng(seed)
    synthetic = np.zeros(n, bool)
    synthetic[rng.choice(n, max(1, round(fraction * n)), replace=False)] = True
    labels = np.where(synthetic, 1, np.maximum(dataset.labels, 0)).astype(np.int8)
    images = CorruptedImages(dataset.images, synthetic, spec, seed)
    # Ground-truth masks do not show the synthetic anomalies.
    return dataclasses.replace(dataset, images=images, labels=labels, masks=None), synthetic
