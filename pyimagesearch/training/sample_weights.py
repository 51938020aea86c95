"""Sample weights: which images training trusts, and how much."""

import numpy as np
import tensorflow as tf

from pyimagesearch.data.batches import iterate_batches, subsample
from pyimagesearch.detection import neighbors
from pyimagesearch.detection.neighbors import (
    CHUNK,
    EPSILON,
    ROUNDS,
    in_chunks,
    knn_distance,
    memory_bank_size,
    squared_distances,
)

# How often it is judged anew which images are too far from the others to be compared with, and which
# are like the suspects.
PROPAGATION_STEPS = 8
# To how many suspects and usual images a doubtful one is compared, and how many times as far from the
# usual ones as from the suspects it has to be to count for nothing, and at most to count in full.
PROPAGATION_NEIGHBORS, OUTLIER_RATIO, INLIER_RATIO = 5, 0.8, 0.6


# How far to either side of the trim the weights go from 0 to 1, of the ranks by suspicion among very
# many images; among `RAMP_HALF_IMAGES`, half as far.
MAX_RAMP, RAMP_HALF_IMAGES = 0.04, 1000


def ramp_half_width(n, trim):
    """How soft the limit between suspects and others is.

    Nobody knows how many outliers there are. Past a hard limit, a rare kind of normal image would
    be ignored as one; with a soft one it counts in part, and is learnt, while what is most suspect
    counts for nothing. Among few images a rare kind is too few to be learnt, and the limit hard.

    Args:
        n: Number of images.
        trim: Share of their weight to be taken away, in [0, 1).

    Returns:
        By how much the share of images that count in part reaches to either side of the trim.

    Example:
        >>> [round(ramp_half_width(n, trim=0.05), 3) for n in (100, 1000, 10_000)]
        [0.004, 0.02, 0.036]
    """
    return min(MAX_RAMP * n / (n + RAMP_HALF_IMAGES), trim, 1 - trim)


def trimmed_sample_weights(suspicion, trim):
    """How much each image counts.

    Args:
        suspicion: float array `(n,)`, one entry an image, in any unit.
        trim: Share of the weight to be taken away, in [0, 1).

    Returns:
        float32 array `(n,)` in [0, 1]: 0 for the most suspect, 1 for most, rising evenly with rank
        in between; about `(1 - trim) n` in sum.

    Example:
        >>> trimmed_sample_weights([4, 3, 2, 1], trim=0.5).tolist()
        [0.0, 0.5, 1.0, 1.0]
    """
    n = len(suspicion)
    ranks = np.empty(n)
    ranks[np.argsort(-np.asarray(suspicion), kind="stable")] = np.arange(1, n + 1) / n
    edge = ramp_half_width(n, trim)
    if not edge:
        return np.ones(n, np.float32)
    return np.clip((ranks - trim + edge) / (2 * edge), 0, 1).astype(np.float32)


def make_sample_weighting(images, trained, recipe, seed, cluster):
    """How doubtful images are before anything is learnt, and how much who is suspected counts.

    The farther an image is from those that it is most like, and the less there is to be drawn, so
    that an error weighs more, the more doubtful it is. Later, who is so suspect that it would not
    count in full is compared with the most suspect of all and with the usual ones.

    Args:
        images: Anything that `batches.iterate_batches` takes.
        trained: int array `(n,)` of indices, ascending: which images are trained on.
        recipe: A `recipes.Recipe`.
        seed: Of the choice of the images to compare with.
        cluster: A `distribution.Cluster`: each process looks at its part of the images.

    Returns:
        A tuple of `initial_outlier_scores`, float32 array `(n,)`, and `sample_weight_fn`, as `trainer.fit_autoencoder` takes them; two
        `None` where nobody is to be suspected, or by the loss alone: where contrast is evened, the
        outliers are meant to be many, and many have many neighbours.
    """
    if not recipe.trim or recipe.even_contrast:
        return None, None
    n = len(trained)
    own = cluster.local_slice(n)
    look = tf.function(neighbors.embed, reduce_retracing=True)

    def points_of(indices):
        nothing = np.zeros((0, neighbors.embedding_length(images.shape[1:])), np.float32)
        some = (look(tf.constant(batch)) for _, batch in iterate_batches(images, indices, 256))
        return np.concatenate([nothing, *some])

    sample = np.searchsorted(trained, subsample(trained, seed))
    points = points_of(trained[sample])
    # Who counts for nothing in training is not to be compared with either.
    odd = recipe.trim - ramp_half_width(n, recipe.trim)
    bank = tf.constant(trimmed_memory_bank(points, odd, seed))

    @tf.function(reduce_retracing=True)
    def doubts_of(batch):
        far = neighbors.knn_distance(neighbors.embed(batch), bank)
        return neighbors.relative_error(far, batch)

    initial_outlier_scores = np.zeros(n, np.float32)
    parts = [
        doubts_of(tf.constant(batch)) for _, batch in iterate_batches(images, trained[own], 256)
    ]
    initial_outlier_scores[own] = np.concatenate([initial_outlier_scores[:0], *parts])

    def sample_weight_fn(suspicion):
        weights = trimmed_sample_weights(suspicion, recipe.trim)
        order = np.argsort(-suspicion, kind="stable")
        most = np.count_nonzero(weights < 1)  # no more than the trim allows
        suspects = order[: min(neighbors.n_top_outliers(n), most)]
        known = np.flatnonzero(np.isin(sample, suspects))
        inside = np.flatnonzero(weights[sample] < 1)
        # There has to be somebody to be like, on either side.
        if min(len(known), len(sample) - len(inside)) > PROPAGATION_NEIGHBORS:
            outside = np.setdiff1d(np.flatnonzero(weights < 1), sample)
            outside = outside[(outside >= own.start) & (outside < own.stop)]
            weights[sample[inside]], weights[outside] = propagate_outliers(
                points, inside, known, points_of(trained[outside])
            )
            weights[suspects] = 0
        # Each process says of its own part what is to hold for all.
        agreed = np.zeros(n, np.float32)
        agreed[own] = weights[own]
        return cluster.all_reduce_sum(agreed)

    return cluster.all_reduce_sum(initial_outlier_scores), sample_weight_fn


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
