"""Distances of images to their nearest neighbors in a memory bank of inliers (k-NN distances)."""

import math

import numpy as np
import tensorflow as tf

from pyimagesearch.detection.anomaly_maps import mean_of_map

# Images are embedded in no more pixels than this a side, which is enough to see an anomaly.
EMBEDDING_SIDE = 16
# Added to the mean square of an image, so that nothing is divided by 0 where it is black.
EPSILON = 1e-3
# Points in a memory bank, at most, and how many of these are the nearest. In a smaller bank, a rare
# kind of inliers would have too few of its own.
MAX_BANK, N_NEIGHBORS = 5000, 10
# Numbers in a memory bank, at most (8 MiB): of large images in color, it holds fewer.
MAX_BANK_NUMBERS = 2**21
# Shares of a memory bank that are the nearest, at the scales of `multiscale_knn_distances`: 10, 100
# and 1,000 of the largest bank. Chosen on the tasks on which the recipe `shapes` was chosen. With two
# scales instead of three, or a third of the bank, the score `code` finds a little less.
SCALES = (0.002, 0.02, 0.2)
# Added to squared distances there.
DISTANCE_FLOOR = 0.01
# Points that are compared with a memory bank at once.
CHUNK = 1000
# Nearest neighbors that are looked for by TensorFlow's `top_k` in any case.
MAX_TOP_K = 50
# How often, at most, a memory bank is drawn anew without the points that were far from the previous one.
ROUNDS = 4
# The share of the images that is left out of the memory bank, and the share, the highest scores among
# these, that is kept as outliers.
OUTLIER_SHARE, TOP_OUTLIER_SHARE = 0.015, 0.005


def energy(images):
    """Mean square of the pixels, plus `EPSILON`: `(N, H, W, C)` to `(N,)`."""
    return tf.reduce_mean(tf.square(images), axis=(1, 2, 3)) + EPSILON


def relative_error(errors, images):
    """Errors `(N,)` divided by the root of the energy of images `(N, H, W, C)`.

    An image with more strokes, or brighter ones, has a larger error even where it is reconstructed
    as well as others.
    """
    return errors / tf.sqrt(energy(images))


def embedding_stride(image_shape):
    """Pixels along a side of an image `(H, W, C)` for one in its embedding."""
    return math.ceil(max(image_shape[:2]) / EMBEDDING_SIDE)


def embed(images):
    """Embed images as points: reduce their size, and the differences of contrast between them.

    An image in thick or bright strokes would otherwise be far from all others. Divided by the
    fourth root of its mean square, it keeps the root of its contrast.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].

    Returns:
        float tensor `(N, F)`, F as `embedding_length` has it.

    Example:
        >>> embed(np.ones((2, 28, 28, 1), "float32")).shape
        TensorShape([2, 196])
    """
    stride = embedding_stride(images.shape[1:])
    small = tf.nn.avg_pool2d(images, 2 * stride - 1, stride, "SAME")
    flat = tf.reshape(small, (-1, math.prod(small.shape[1:])))
    return flat / energy(small)[:, tf.newaxis] ** 0.25


def embedding_length(image_shape):
    """Length of the points that `embed` makes of images `(H, W, C)`.

    Example:
        >>> embedding_length((45, 33, 3))
        495
    """
    height, width, depth = image_shape
    stride = embedding_stride(image_shape)
    return math.ceil(height / stride) * math.ceil(width / stride) * depth


def squared_distances(points, memory_bank):
    """Squared Euclidean distances of points `(N, F)` to others `(M, F)`: float tensor `(N, M)`."""
    squares = tf.reduce_sum(tf.square(points), 1)[:, tf.newaxis] + tf.reduce_sum(
        tf.square(memory_bank), 1
    )
    return tf.maximum(squares - 2 * tf.matmul(points, memory_bank, transpose_b=True), 0)


def knn_distance(points, memory_bank):
    """Square of the mean distance to the nearest neighbors in a memory bank.

    The very nearest is left out: it may be the point itself. (Outliers by the distance to the
    nearest neighbors: Ramaswamy, Rastogi and Shim, "Efficient algorithms for mining outliers from
    large data sets", SIGMOD 2000.)

    Args:
        points: float tensor or array `(N, F)`.
        memory_bank: float tensor or array `(M, F)`.

    Returns:
        float tensor `(N,)`, at least 0; 0 where the memory bank has fewer than two points.

    Example:
        >>> memory_bank = np.array([[0.0], [1.0], [3.0]])
        >>> knn_distance(np.array([[0.0], [5.0]]), memory_bank).numpy().tolist()
        [4.0, 20.25]
    """
    return tf.square(mean_knn_distances(points, memory_bank, [N_NEIGHBORS])[:, 0])


def mean_knn_distances(points, memory_bank, counts, floor=0.0):
    """Mean distances to several numbers of nearest neighbors, without the very nearest.

    Args:
        points, memory_bank: As for `knn_distance`.
        counts: Numbers of neighbors, each at least 1. Where the memory bank has fewer, all of it.
        floor: What is added to each squared distance.

    Returns:
        float tensor `(N, len(counts))`, at least 0.
    """
    counts = [min(count, max(memory_bank.shape[0] - 1, 0)) for count in counts]
    n_nearest = min(max(counts) + 1, memory_bank.shape[0])
    squares = smallest(squared_distances(points, memory_bank), n_nearest)
    distances = tf.sqrt(squares[:, 1:] + floor)  # (N, max(counts)), ascending
    return tf.stack([tf.reduce_sum(distances[:, :k], axis=1) / max(k, 1) for k in counts], axis=1)


def smallest(values, n):
    """The `n` smallest numbers of each row, ascending: float tensor `(N, M)` to `(N, n)`."""
    # Where many are wanted, NumPy takes a fraction of the time; in a graph there is no NumPy.
    if n > MAX_TOP_K and tf.executing_eagerly():
        return np.sort(np.partition(values, n - 1)[:, :n])
    return -tf.math.top_k(-values, n).values


def multiscale_knn_distances(points, memory_bank):
    """Logarithms of the mean distances to the nearest neighbors, at three scales.

    An outlier is as far from its second neighbor as from its hundredth, and an inlier is not: the
    distances at several scales together separate them. (The same distances give estimates of the
    local intrinsic dimensionality: Amsaleg et al., "Estimating local intrinsic dimensionality",
    KDD 2015.)

    Args:
        points, memory_bank: As for `knn_distance`; the memory bank has at least one point.

    Returns:
        float tensor `(N, len(SCALES))`.

    Example:
        >>> memory_bank = np.arange(1000.0)[:, np.newaxis]
        >>> multiscale_knn_distances(np.array([[500.0], [2000.0]]), memory_bank).numpy().round(1)
        array([[0. , 1.7, 3.9],
               [6.9, 6.9, 7. ]])
    """
    # No two counts are equal, so that no two distances are, however small the memory bank.
    counts = [max(n, round(scale * memory_bank.shape[0])) for n, scale in enumerate(SCALES, 1)]
    # The floor keeps the root and the logarithm of the distance of equal images from amplifying how
    # it was rounded. Moving the mean to the origin makes the rounding itself small.
    center = tf.reduce_mean(memory_bank, axis=0)
    distances = mean_knn_distances(points - center, memory_bank - center, counts, DISTANCE_FLOOR)
    return tf.math.log(distances + EPSILON)


def in_chunks(distance, points, memory_bank):
    """Apply `knn_distance` or `multiscale_knn_distances` to so many points as memory allows at once.

    Returns:
        The same as that function, as an array.
    """
    chunks = np.split(points, range(CHUNK, len(points), CHUNK))
    return np.concatenate([distance(chunk, memory_bank) for chunk in chunks])


def relative_knn_distance(points, memory_bank, outliers):
    """k-NN distance to inliers, longer for points that are nearer to known outliers.

    Anomalies often come in groups, of which some are found easily. A point that is nearer to these
    than to inliers is anomalous too, even if it is not far from either.

    Args:
        points: float tensor or array `(N, F)`.
        memory_bank: float tensor or array `(M, F)`: inliers.
        outliers: float tensor or array `(S, F)`; S may be 0.

    Returns:
        float tensor `(N,)`, at least 0.

    Example:
        >>> memory_bank = np.array([[0.0], [1.0], [2.0]])
        >>> outliers = np.array([[6.0], [7.0], [7.5]])
        >>> points = np.array([[-3.0], [5.0]])
        >>> relative_knn_distance(points, memory_bank, outliers).numpy().round().tolist()
        [1.0, 324.0]
    """
    to_inliers = knn_distance(points, memory_bank)
    if not outliers.shape[0]:
        return to_inliers
    to_outliers = knn_distance(points, outliers)
    return to_inliers * tf.square((to_inliers + EPSILON) / (to_outliers + EPSILON))


def fit_memory_bank(points, errors):
    """Divide points into inliers and outliers.

    Points with a large product of error and k-NN distance to the memory bank are left out of the
    next one, several times.

    Args:
        points: float32 array `(N, F)`, N at least 2.
        errors: float32 array `(N,)`, at least 0: errors of the reconstructions.

    Returns:
        A pair of float32 arrays: the memory bank `(M, F)`, some of the inliers; and the outliers
        `(S, F)`, where S is 0 if there are few points: see `n_top_outliers`.
    """
    n = len(points)
    inliers = np.arange(n)
    for _ in range(ROUNDS):
        memory_bank = evenly_spaced(points[inliers])
        distances = in_chunks(knn_distance, points, memory_bank)
        order = np.argsort(-errors * distances, kind="stable")
        before, inliers = inliers, np.sort(order[int(OUTLIER_SHARE * n) :])
        if np.array_equal(inliers, before):
            break  # all further rounds would be the same
    return memory_bank, points[order[: n_top_outliers(n)]]


def n_top_outliers(n):
    """How many of `n` images are taken for outliers; 0 where that were over a tenth of them.

    Example:
        >>> n_top_outliers(5000), n_top_outliers(200), n_top_outliers(100)
        (25, 11, 0)
    """
    fewest = N_NEIGHBORS + 1
    return 0 if fewest > n / 10 else max(round(TOP_OUTLIER_SHARE * n), fewest)


def evenly_spaced(points):
    """A sample `(M, F)` of points `(N, F)`, N at least 1, at equal steps: it needs no seed."""
    chosen = np.linspace(0, len(points) - 1, memory_bank_size(*points.shape))
    return points[chosen.astype(int)]


def memory_bank_size(n, length):
    """How many of `n` points of some length a memory bank holds.

    Example:
        >>> memory_bank_size(10_000, 196), memory_bank_size(10_000, 768), memory_bank_size(100, 196)
        (5000, 2730, 100)
    """
    return min(n, MAX_BANK, MAX_BANK_NUMBERS // length)


class KnnScoreFit:
    """Chooses a memory bank and outliers from the training images: see `fit_memory_bank`."""

    def __init__(self):
        self.points, self.errors = [], []

    def add(self, images, residuals, codes=None, counts=None):
        """Take in a batch: images and residuals `(B, H, W, C)`; the codes are not used.

        Nor is how many times each image counts: a copy of an image is no further neighbor.
        """
        self.points.append(embed(images).numpy())
        squares = tf.reduce_mean(tf.square(residuals), axis=(1, 2, 3))
        self.errors.append(relative_error(squares, images).numpy())

    def reference(self):
        """The reference, a dict of float32 arrays: `bank`, the memory bank `(M, F)`, and `suspects`,
        the outliers `(S, F)`. Empty if there are fewer than two images.
        """
        points, errors = np.concatenate(self.points), np.concatenate(self.errors)
        if len(points) < 2:
            return {}
        memory_bank, outliers = fit_memory_bank(points, errors)
        # Files have these names.
        return {"bank": memory_bank, "suspects": outliers}


def knn_score(maps, images, codes, reference):
    """Geometric mean of the relative error, the k-NN distance, and the ratio of two k-NN distances.

    An inlier that is reconstructed badly has a large error only, and a rare inlier that is
    reconstructed well a large distance only. An anomaly has both. The ratio is that of the
    distances to inliers and to outliers: see `relative_knn_distance`.

    Args:
        maps: Maps of the squared error, float tensor `(N, H, W)`.
        images: float tensor `(N, H, W, C)` in [0, 1].
        codes: Not used.
        reference: What `KnnScoreFit` has found.

    Returns:
        float tensor `(N,)`, at least 0.
    """
    distance = relative_knn_distance(embed(images), reference["bank"], reference["suspects"])
    return tf.pow(relative_error(mean_of_map(maps), images) * distance, 1 / 3)


def knn_shapes(image_shape, code_length):
    """Shapes of the arrays that `KnnScoreFit` finds."""
    return dict.fromkeys(("bank", "suspects"), (None, embedding_length(image_shape)))
