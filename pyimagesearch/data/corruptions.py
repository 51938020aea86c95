"""How can an image be spoilt on purpose?

Every corruption takes a batch of images as a NumPy array and gives one like it. In `tf.data`, call
it through `tf.numpy_function`.
"""

import cv2
import numpy as np

from pyimagesearch.data import datasets


def noise(images, amount, rng):
    """Add Gaussian noise, and clip.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        amount: Standard deviation on the [0, 1] scale of the pixels, above 0.
        rng: `numpy.random.Generator` to draw from.

    Returns:
        A new array of the same shape, dtype and range.

    Example:
        >>> grey = np.full((1, 100, 100, 1), 0.5, np.float32)
        >>> bool(0.09 < noise(grey, 0.1, np.random.default_rng(0)).std() < 0.11)
        True
    """
    drawn = rng.standard_normal(images.shape, np.float32)
    return np.clip(images + np.float32(amount) * drawn, 0, 1)


def blur(images, amount, rng=None):
    """Blur with a Gaussian. Beyond its edge an image goes on as its mirror image.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        amount: Standard deviation in pixels, above 0.
        rng: Not used: blurring leaves nothing to chance.

    Returns:
        A new array of the same shape, dtype and range.
    """
    return map_images(images, lambda image: cv2.GaussianBlur(image, (0, 0), amount))


def rotate(images, amount, rng=None):
    """Rotate about the middle; what comes in from beyond the edge has the edge's colour.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        amount: Degrees, counter-clockwise.
        rng: Not used: every image is turned by just so much.

    Returns:
        A new array of the same shape, dtype and range.

    Example:
        >>> image = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1) / 3
        >>> np.array_equal(rotate(image, 90)[0], np.rot90(image[0]))
        True
    """
    height, width = images.shape[1:3]
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, amount, 1)
    # Whole quarter turns are to move whole pixels: no rounding error may mix neighbours.
    matrix = np.round(matrix, 9)
    return map_images(
        images,
        lambda image: cv2.warpAffine(
            image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
        ),
    )


# Name -> function from images, an amount and a generator to spoilt images.
CORRUPTIONS = {"noise": noise, "blur": blur, "rotate": rotate}


def map_images(images, spoil):
    """Apply a function of one image to each; OpenCV drops a single channel, so it is put back."""
    spoilt = [np.reshape(spoil(image), image.shape) for image in images]
    return np.clip(np.stack(spoilt), 0, 1)


def corrupt(images, spec, seed):
    """Spoil images as a specification says.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1].
        spec: A pair of a key of `CORRUPTIONS` and an amount.
        seed: Whole number, or a sequence of such: the same gives the same.

    Returns:
        A new array of the same shape, dtype and range.
    """
    name, amount = spec
    return CORRUPTIONS[name](images, amount, np.random.default_rng(seed))


def additive_noise(deviation):
    """A function from a batch and a seed to the batch with white noise, that is not clipped."""

    def spoil(images, seed):
        drawn = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
        return images + np.float32(deviation) * drawn

    return spoil


def corruption_fn(spec):
    """The function of images and a seed that `trainer.fit_autoencoder` spoils its batches with."""
    return lambda images, seed: corrupt(images, spec, seed)


class CorruptedImages:
    """Images of which some are spoilt as they are asked for; it looks like one array.

    Args:
        images: Array `(N, H, W, C)`, or anything like it that is read by an int array of indices.
        planted: bool array `(N,)`: which ones to spoil.
        spec: A pair of a key of `CORRUPTIONS` and an amount.
        seed: Of the spoiling. Each image is spoilt alike, whichever others it is read with.
    """

    def __init__(self, images, planted, spec, seed):
        self.images, self.planted, self.spec, self.seed = images, planted, spec, seed
        self.shape = images.shape

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        """The images that an int array of indices chooses, float32 `(n, H, W, C)` in [0, 1]."""
        batch = np.array(self.images[indices], np.float32)
        for place, index in enumerate(indices):
            if self.planted[index]:
                one = batch[place : place + 1]
                batch[place] = corrupt(one, self.spec, [self.seed, int(index)])[0]
        return batch


def inject_anomalies(dataset, spec, share, seed):
    """Spoil some of the images, to see whether they would be found.

    Args:
        dataset: An `ImageSet`.
        spec: What to do to them: a pair of a key of `CORRUPTIONS` and an amount.
        share: Of the images, in (0, 1]; at least one is spoilt.
        seed: Of the choice and of the spoiling.

    Returns:
        A tuple of a new `ImageSet`, in which the planted images have the label 1 and all others
        of unknown label are taken for normal, and a bool array `(N,)` of those planted.
    """
    n = len(dataset.images)
    rng = np.random.default_rng(seed)
    planted = np.zeros(n, bool)
    planted[rng.choice(n, max(1, round(share * n)), replace=False)] = True
    labels = np.where(planted, 1, np.maximum(dataset.labels, 0)).astype(np.int8)
    images = CorruptedImages(dataset.images, planted, spec, seed)
    # Masks say what was wrong before, and nothing of what was planted.
    beside = None, dataset.skipped, dataset.own_pictures
    return datasets.Dataset(images, dataset.names, labels, *beside), planted
