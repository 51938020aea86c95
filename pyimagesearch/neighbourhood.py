"""How far is an image from those of its set that it is most like?"""

import math

import numpy as np
import tensorflow as tf

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
# How often it is judged anew which images are too far from the others to be compared with, and which
# are like the suspects.
ROUNDS, PROPAGATION_STEPS = 4, 8
# Of the images that a score learns from, the share that doesn't count as usual, and the share, the
# most suspect of these, that odd images are likely to be like.
OUTLIER_SHARE, TOP_OUTLIER_SHARE = 0.015, 0.005
# To how many suspects and usual images a doubtful one is compared, and how many times as far from the
# usual ones as from the suspects it has to be to count for nothing, and at most to count in full.
PROPAGATION_NEIGHBORS, OUTLIER_RATIO, INLIER_RATIO = 5, 0.8, 0.6


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


def propagate_outliers(points, doubtful, suspects, others):
    """How much doubtful images may count, by the company they keep.

    Who is like a suspect becomes one, and so on, as long as that is nearer to suspects than to
    usual images: odd images of one kind are found one by the other. A rare kind of usual images is
    nearer to itself and to the rest, and counts. (Label propagation from a few whose label is
    known: Zhu and Ghahramani, "Learning from labeled and unlabeled data with label propagation",
    2002, here by the shortest distances alone.)

    Args:
        points: float32 array `(N, F)`: images to compare with.
        doubtful: int array `(D,)`: which of these are in doubt.
        suspects: int array: which of these are certainly suspects, more than `PROPAGATION_NEIGHBORS`.
        others: float32 array `(M, F)`: more that are in doubt, and are not compared with.

    Returns:
        Two float32 arrays in [0, 1], `(D,)` and `(M,)`: 0 for who is like a suspect, 1 for who is
        not at all.

    Example:
        >>> points = np.array([*range(20), 40, 41, 42, 43, 45, 46, 47], np.float32)[:, np.newaxis]
        >>> found, _ = propagate_outliers(points, np.arange(18, 27), np.arange(20, 26), points[:0])
        >>> found.tolist()
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    odd = np.zeros(len(points), bool)
    odd[suspects] = True

    def likeness(squares):  # (D, N) -> (D,)
        far, near = (
            np.sqrt(
                np.partition(some, PROPAGATION_NEIGHBORS - 1, axis=1)[:, :PROPAGATION_NEIGHBORS]
            ).mean(axis=1)
            for some in (squares[:, ~odd], squares[:, odd])
        )
        return (far + EPSILON) / (near + EPSILON)

    squares = squared_distances(points[doubtful], points).numpy()
    squares[np.arange(len(doubtful)), doubtful] = np.inf  # nobody is their own company
    for _ in range(PROPAGATION_STEPS):
        alike = doubtful[likeness(squares) > OUTLIER_RATIO]
        odd[doubtful] = False
        odd[alike] = odd[suspects] = True
    found = [likeness(squares)]
    for part in np.split(others, range(CHUNK, len(others), CHUNK)):
        found.append(likeness(squared_distances(part, points).numpy()))
    counts = np.clip((OUTLIER_RATIO - np.concatenate(found)) / (OUTLIER_RATIO - INLIER_RATIO), 0, 1)
    return np.split(counts.astype(np.float32), [len(doubtful)])


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


def trimmed_memory_bank(points, trim, seed):
    """Some of the points that have others near them.

    Points far from a random bank are left out of the next one, again and again, so that in the end
    a few odd images that are like each other find nobody near.

    Args:
        points: float32 array `(N, F)`, N at least 1.
        trim: Share of them that may be odd ones, in [0, 1).
        seed: Of the choice.

    Returns:
        float32 array `(M, F)`, M as `memory_bank_size` has it.
    """
    rng = np.random.default_rng([seed, 1])
    kept = np.arange(len(points))

    def draw():
        return points[rng.choice(kept, memory_bank_size(len(kept), points.shape[1]), replace=False)]

    for _ in range(ROUNDS):
        far = in_chunks(knn_distance, points, draw())
        kept = np.argsort(far, kind="stable")[: len(points) - int(trim * len(points))]
    return draw()
