"""How far is an image from those of its set that it is most like?"""

import math

import numpy as np
import tensorflow as tf

from pyimagesearch.detection.anomaly_maps import mean_of_map

# Images are compared at no more pixels than this a side: what is odd about one is seen even so.
EMBEDDING_SIDE = 16
# Added to the mean square of an image: a black one is not to be divided by nothing.
EPSILON = 1e-3
# With how many images to compare, at most, and how many of these are near. Among fewer, rare kinds of
# usual images would have too few of their own.
MAX_BANK, N_NEIGHBORS = 5000, 10
# How many numbers that may be in all (8 MiB): of large images in colour, fewer are compared with.
MAX_BANK_NUMBERS = 2**21
# Shares of a bank that are near, at the scales of `multiscale_knn_distances`: 10, 100 and 1,000 of the most there are.
# Chosen as the recipe of `shapes` was. With two scales for three, or a bank of a third, codes tell a
# little less.
SCALES = (0.002, 0.02, 0.2)
# Added to squared distances there.
DISTANCE_FLOOR = 0.01
# Points that are compared with a bank at once.
CHUNK = 1000
# How often it is judged anew which images are too far from the others to be compared with.
ROUNDS = 4
# Of the images that a score learns from, the share that doesn't count as usual, and the share, the
# most suspect of these, that odd images are likely to be like.
OUTLIER_SHARE, TOP_OUTLIER_SHARE = 0.015, 0.005


def energy(images):
    """Mean square of images, and a little: `(N, H, W, C)` to `(N,)`."""
    return tf.reduce_mean(tf.square(images), axis=(1, 2, 3)) + EPSILON


def relative_error(errors, images):
    """Error by what there is to be drawn: `(N,)` and `(N, H, W, C)` to `(N,)`.

    The more is to be drawn, the larger is the error of an image that is drawn as well.
    """
    return errors / tf.sqrt(energy(images))


def embedding_stride(image_shape):
    """Of how many pixels along a side of an image `(H, W, C)` a point keeps one."""
    return math.ceil(max(image_shape[:2]) / EMBEDDING_SIDE)


def embed(images):
    """Images as points in space: made small, and their contrast brought half-way to the usual one.

    Whatever is drawn in thick or bright strokes would else be far from everything.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].

    Returns:
        float tensor `(N, F)`.

    Example:
        >>> embed(np.ones((2, 28, 28, 1), "float32")).shape
        TensorShape([2, 196])
    """
    stride = embedding_stride(images.shape[1:])
    small = tf.nn.avg_pool2d(images, 2 * stride - 1, stride, "SAME")
    flat = tf.reshape(small, (-1, math.prod(small.shape[1:])))
    # The fourth root of the mean square is the root of the contrast.
    return flat / energy(small)[:, tf.newaxis] ** 0.25


def embedding_length(image_shape):
    """How many numbers `embed` makes of an image `(H, W, C)`.

    Example:
        >>> embedding_length((45, 33, 3))
        495
    """
    height, width, depth = image_shape
    stride = embedding_stride(image_shape)
    return math.ceil(height / stride) * math.ceil(width / stride) * depth


def squared_distances(points, bank):
    """Float tensor `(N, M)`, of points `(N, F)` from others `(M, F)`."""
    squares = tf.reduce_sum(tf.square(points), 1)[:, tf.newaxis] + tf.reduce_sum(tf.square(bank), 1)
    return tf.maximum(squares - 2 * tf.matmul(points, bank, transpose_b=True), 0)


def knn_distance(points, bank):
    """Square of the mean distance to the nearest neighbours.

    The very nearest doesn't count: it might be the image itself. (Ramaswamy, Rastogi and Shim,
    "Efficient algorithms for mining outliers from large data sets", SIGMOD 2000.)

    Args:
        points: float tensor or array `(N, F)`.
        bank: The like `(M, F)`: with whom to compare.

    Returns:
        float tensor `(N,)`, at least 0; 0 where there is nobody else.

    Example:
        >>> knn_distance(np.array([[0.0], [5.0]]), np.array([[0.0], [1.0], [3.0]])).numpy().tolist()
        [4.0, 20.25]
    """
    return tf.square(mean_knn_distances(points, bank, [N_NEIGHBORS])[:, 0])


def mean_knn_distances(points, bank, counts, least=0.0):
    """Mean distances to so and so many nearest neighbours, but for the very nearest.

    Args:
        points, bank: As for `knn_distance`.
        counts: How many neighbours, at least 1 each; as many as there are, where there are fewer.
        least: What is added to each squared distance.

    Returns:
        float tensor `(N, len(counts))`, at least 0.
    """
    counts = [min(count, max(bank.shape[0] - 1, 0)) for count in counts]
    n_near = min(max(counts) + 1, bank.shape[0])
    squares = -tf.math.top_k(-squared_distances(points, bank), n_near).values
    nearest = tf.sqrt(squares[:, 1:] + least)
    return tf.stack([tf.reduce_sum(nearest[:, :k], axis=1) / max(k, 1) for k in counts], axis=1)


def multiscale_knn_distances(points, bank):
    """How far the nearest of the usual are, the nearer ones, and a good part of all.

    One who is far from everybody is as far from the second as from the hundredth: it is by the
    distances at several scales together that such are known. (What the local intrinsic
    dimensionality is estimated from: Amsaleg et al., "Estimating local intrinsic dimensionality",
    KDD 2015.)

    Args:
        points, bank: As for `knn_distance`.

    Returns:
        float tensor `(N, len(SCALES))`: logarithms of mean distances.

    Example:
        >>> bank = np.arange(1000.0)[:, np.newaxis]
        >>> multiscale_knn_distances(np.array([[500.0], [2000.0]]), bank).numpy().round(1)
        array([[0. , 1.7, 3.9],
               [6.9, 6.9, 7. ]])
    """
    # No two alike: of few images as well, each is to tell something that the others don't.
    counts = [max(n, round(scale * bank.shape[0])) for n, scale in enumerate(SCALES, start=1)]
    # The root and the logarithm of next to nothing, between images that are the same, would make much
    # of how it was rounded; and rounding is the less, the nearer to the origin all are.
    centre = tf.reduce_mean(bank, axis=0)
    far = mean_knn_distances(points - centre, bank - centre, counts, DISTANCE_FLOOR)
    return tf.math.log(far + EPSILON)


def in_chunks(measure, points, bank):
    """`knn_distance` or `multiscale_knn_distances` of as many points as memory has no room for at once: an array."""
    parts = np.split(points, range(CHUNK, len(points), CHUNK))
    return np.concatenate([measure(part, bank) for part in parts])


def relative_knn_distance(points, bank, suspects):
    """How far images are from usual ones, and how much farther than from suspects.

    An odd image is seldom alone: others of its kind are the most suspect of all. Who is nearer to
    these than to usual images is odd too, though perhaps not far from either.

    Args:
        points: float tensor or array `(N, F)`.
        bank: The like `(M, F)`: usual ones.
        suspects: The like `(S, F)`; may be empty.

    Returns:
        float tensor `(N,)`, at least 0.

    Example:
        >>> bank, suspects = np.array([[0.0], [1.0], [2.0]]), np.array([[6.0], [7.0], [7.5]])
        >>> relative_knn_distance(np.array([[-3.0], [5.0]]), bank, suspects).numpy().round().tolist()
        [1.0, 324.0]
    """
    far = knn_distance(points, bank)
    if not suspects.shape[0]:
        return far
    return far * tf.square((far + EPSILON) / (knn_distance(points, suspects) + EPSILON))


def fit_memory_bank(points, errors):
    """Find out with whom images are to be compared.

    Args:
        points: float32 array `(N, F)`.
        errors: float32 array `(N,)`, at least 0: the errors of their reconstructions.

    Returns:
        A dict of float32 arrays: `bank` `(M, F)`, usual ones, and `suspects` `(S, F)`, none where
        there are too few images to tell; empty if there are fewer than two images.
    """
    n = len(points)
    if n < 2:
        return {}
    kept = np.arange(n)
    for _ in range(ROUNDS):
        bank = evenly_spaced(points[kept])
        order = np.argsort(-errors * in_chunks(knn_distance, points, bank), kind="stable")
        kept = np.sort(order[int(OUTLIER_SHARE * n) :])
    return {"bank": bank, "suspects": points[order[: n_top_outliers(n)]]}


def n_top_outliers(n):
    """How many of `n` images are the most suspect; none where these would be too many to be odd.

    Example:
        >>> n_top_outliers(5000), n_top_outliers(200), n_top_outliers(100)
        (25, 11, 0)
    """
    fewest = N_NEIGHBORS + 1
    return 0 if fewest > n / 10 else max(round(TOP_OUTLIER_SHARE * n), fewest)


def evenly_spaced(points):
    """Some of the points `(N, F)`, N at least 1, evenly spread: their order is not that of anything."""
    chosen = np.linspace(0, len(points) - 1, memory_bank_size(*points.shape))
    return points[chosen.astype(int)]


def memory_bank_size(n, length):
    """With how many of `n` points of some `length` to compare.

    Example:
        >>> memory_bank_size(10_000, 196), memory_bank_size(10_000, 768), memory_bank_size(100, 196)
        (5000, 2730, 100)
    """
    return min(n, MAX_BANK, MAX_BANK_NUMBERS // length)


def fit_knn_score(seen):
    """Keep some of the images to compare others with, as points: see `fit_memory_bank`.

    Args:
        seen: Iterable of triples of images, residuals and codes, as `fit_reference` makes them.

    Returns:
        A dict with `bank`, float32 array `(M, F)`, and `suspects`, `(S, F)`; empty if there are
        too few images.
    """
    points, errors = [], []
    for images, residuals, _ in seen:
        points.append(embed(images).numpy())
        squares = tf.reduce_mean(tf.square(residuals), axis=(1, 2, 3))
        errors.append(relative_error(squares, images).numpy())
    return fit_memory_bank(np.concatenate(points), np.concatenate(errors))


def knn_score(maps, images, codes, reference):
    """Error by what there is to be drawn, and how far an image is from usual ones.

    An image that is odd in one of the two alone, a usual one drawn badly or a rare one drawn well,
    stays behind those that are odd in both. Their product has a third factor, in
    `relative_knn_distance`: how much farther it is from usual ones than from suspects; of the three,
    this is the geometric mean.
    """
    oddity = relative_knn_distance(embed(images), **reference)
    return tf.pow(relative_error(mean_of_map(maps), images) * oddity, 1 / 3)
