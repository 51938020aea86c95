"""Sample weights: how much each training image counts, by its outlier score.

Every epoch goes the same way. Each training image has an outlier score. The images with the highest
scores, about a share `trim` of all, are candidates. The highest of these are outliers, with a weight
of 0. Other candidates become outliers too if they are near to outliers; the rest of them, rare
kinds of normal images, keep their weight.
"""

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

# Rounds in which outliers are propagated to candidates near them.
PROPAGATION_STEPS = 8
# With how many outliers and inliers a candidate is compared. Its weight falls from 1 to 0 as its
# `outlier_affinity` rises from the one ratio to the other.
PROPAGATION_NEIGHBORS, INLIER_RATIO, OUTLIER_RATIO = 5, 0.6, 0.8
# By which share of the ranks, on either side of the trim, weights rise from 0 to 1 among very many
# images; among `RAMP_HALF_IMAGES` it is half of that.
MAX_RAMP, RAMP_HALF_IMAGES = 0.04, 1000


def make_sample_weighting(images, trained, recipe, seed, cluster, frequency_weights=None):
    """Choose how the training images of a recipe are weighted.

    Args:
        images: Anything that `batches.iterate_batches` takes.
        trained: int array `(n,)` of indices, ascending: the training images.
        recipe: A `recipes.Recipe`.
        seed: Of the choice of the images to compare with.
        cluster: A `distribution.Cluster`: each process works on its slice of the images.
        frequency_weights: float array `(n,)`, above 0: how many times each training image counts
            where a share `trim` is taken away; `None`: once. A copy of an image would vouch for it:
            in comparisons with others, each counts once.

    Returns:
        A `NeighborWeighting`; a `TrimmedWeighting` if nothing is trimmed, or if contrast is
        normalized: such recipes expect many outliers, and many have near neighbors.
    """
    if not recipe.trim or recipe.normalize_contrast:
        return TrimmedWeighting(recipe.trim, frequency_weights=frequency_weights)
    return NeighborWeighting(images, trained, recipe.trim, seed, cluster, frequency_weights)


class TrimmedWeighting:
    """Sample weights by the rank of the outlier scores alone, which are the losses.

    Args:
        trim: Share of the weight to take away, in [0, 1).
        initial_outlier_scores: float array `(n,)`, at least 0, in any unit: what is known of the
            training images before anything is learned; `None`: nothing.
        frequency_weights: As for `make_sample_weighting`.

    Attributes:
        trim, initial_outlier_scores, frequency_weights: As given.

    Example:
        >>> TrimmedWeighting(trim=0.5)(np.array([4, 3, 2, 1])).tolist()
        [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, trim, initial_outlier_scores=None, frequency_weights=None):
        self.trim = trim
        self.initial_outlier_scores = initial_outlier_scores
        self.frequency_weights = frequency_weights

    def outlier_scores(self, losses):
        """Outlier scores by the losses of the last epoch: both float arrays `(n,)`."""
        if self.initial_outlier_scores is None:
            return losses
        return losses * self.initial_outlier_scores

    def __call__(self, outlier_scores):
        """Sample weights, float32 array `(n,)` in [0, 1], by the outlier scores `(n,)`."""
        return trimmed_sample_weights(outlier_scores, self.trim, self.frequency_weights)


class NeighborWeighting(TrimmedWeighting):
    """Sample weights by the rank of the outlier scores, and by what candidates are near to.

    The initial outlier score is the k-NN distance to a sample of the training images, relative to
    how much there is to draw: the more, the less an error means. Later it is multiplied by the
    loss.

    Args:
        images, trained, seed, cluster, frequency_weights: As for `make_sample_weighting`.
        trim: As for `TrimmedWeighting`, above 0.
    """

    def __init__(self, images, trained, trim, seed, cluster, frequency_weights=None):
        super().__init__(trim, frequency_weights=frequency_weights)
        self.images, self.trained, self.cluster = images, trained, cluster
        self.local = cluster.local_slice(len(trained))
        self._image_spec = tf.TensorSpec((None, *images.shape[1:]), tf.float32)
        self._embed = tf.function(
            neighbors.embed, input_signature=[self._image_spec], autograph=False
        )
        # Places in `trained` of the images to compare with, and their embeddings.
        self.sample = np.searchsorted(trained, subsample(trained, seed))
        self.embeddings = self.embed(trained[self.sample])
        self.initial_outlier_scores = self._relative_distances(seed)

    def embed(self, indices):
        """Embeddings of some images, float32 array `(M, F)`."""
        none = np.zeros((0, neighbors.embedding_length(self.images.shape[1:])), np.float32)
        batches = iterate_batches(self.images, indices, 256)
        return np.concatenate([none, *(self._embed(tf.constant(batch)) for _, batch in batches)])

    def _relative_distances(self, seed):
        """Relative k-NN distance of every training image, float32 array `(n,)`."""
        # Images that will weigh nothing are not to be compared with either.
        outlier_share = self.trim - ramp_half_width(len(self.trained), self.trim)
        memory_bank = tf.constant(trimmed_memory_bank(self.embeddings, outlier_share, seed))

        @tf.function(input_signature=[self._image_spec], autograph=False)
        def score(batch):
            distances = knn_distance(neighbors.embed(batch), memory_bank)
            return neighbors.relative_error(distances, batch)

        scores = np.zeros(len(self.trained), np.float32)
        batches = iterate_batches(self.images, self.trained[self.local], 256)
        parts = [score(tf.constant(batch)) for _, batch in batches]
        scores[self.local] = np.concatenate([scores[:0], *parts])
        return self.cluster.all_reduce_sum(scores)

    def __call__(self, outlier_scores):
        """Sample weights, float32 array `(n,)` in [0, 1], by the outlier scores `(n,)`."""
        weights = super().__call__(outlier_scores)
        candidates = np.flatnonzero(weights < 1)
        n_outliers = min(neighbors.n_top_outliers(len(weights)), len(candidates))
        outliers = np.argsort(-outlier_scores, kind="stable")[:n_outliers]
        # The same as places in the sample.
        sampled_outliers = np.flatnonzero(np.isin(self.sample, outliers))
        sampled_candidates = np.flatnonzero(weights[self.sample] < 1)
        n_inliers = len(self.sample) - len(sampled_candidates)
        if min(len(sampled_outliers), n_inliers) > PROPAGATION_NEIGHBORS:
            others = np.setdiff1d(candidates, self.sample)
            others = others[(others >= self.local.start) & (others < self.local.stop)]
            weights[self.sample[sampled_candidates]], weights[others] = propagate_outliers(
                self.embeddings,
                sampled_candidates,
                sampled_outliers,
                self.embed(self.trained[others]),
            )
            weights[outliers] = 0
        # Each process contributes its own slice.
        local = np.zeros_like(weights)
        local[self.local] = weights[self.local]
        return self.cluster.all_reduce_sum(local)


def trimmed_sample_weights(outlier_scores, trim, frequency_weights=None):
    """Sample weights by the rank of the outlier scores.

    The limit is soft. How many outliers there are is not known: past a hard limit a rare kind of
    normal image would be ignored, while with part of its weight it is learned.

    Args:
        outlier_scores: float array `(n,)`, in any unit.
        trim: Share of the weight to take away, in [0, 1).
        frequency_weights: float array `(n,)`, above 0: how many times each image counts in the
            ranks; `None`: once.

    Returns:
        float32 array `(n,)` in [0, 1]: 0 for the highest scores, 1 for most, rising evenly with
        rank in between; about `(1 - trim) n` in sum.

    Example:
        >>> trimmed_sample_weights([4, 3, 2, 1], trim=0.5).tolist()
        [0.0, 0.5, 1.0, 1.0]
        >>> trimmed_sample_weights([4, 3, 2, 1], trim=0.5, frequency_weights=[1, 1, 1, 5]).tolist()
        [0.0, 0.0, 0.0, 1.0]
    """
    n = len(outlier_scores)
    counts = np.ones(n) if frequency_weights is None else np.asarray(frequency_weights, float)
    order = np.argsort(-np.asarray(outlier_scores), kind="stable")
    ranks = np.empty(n)
    ranks[order] = np.cumsum(counts[order])
    ranks /= ranks.max()
    half_width = ramp_half_width(n, trim)
    if not half_width:
        return np.ones(n, np.float32)
    return np.clip((ranks - trim + half_width) / (2 * half_width), 0, 1).astype(np.float32)


def ramp_half_width(n, trim):
    """How far the ramp of the sample weights from 0 to 1 reaches to either side of the trim.

    Args:
        n: Number of images. Among few, a rare kind is too few to be learned, and the ramp short.
        trim: Share of the weight to take away, in [0, 1).

    Returns:
        A share of the ranks.

    Example:
        >>> [round(ramp_half_width(n, trim=0.05), 3) for n in (100, 1000, 10_000)]
        [0.004, 0.02, 0.036]
    """
    return min(MAX_RAMP * n / (n + RAMP_HALF_IMAGES), trim, 1 - trim)


def propagate_outliers(embeddings, candidates, outliers, others):
    """Sample weights of candidates, by whether they are near to outliers or to inliers.

    A candidate about as near to outliers as to inliers, or nearer, becomes an outlier, and so does
    what is near to that: outliers of one kind are found one by the other. A rare kind of normal
    images is nearer to itself and to the inliers, and keeps its weight. (Label propagation: Zhu and
    Ghahramani, "Learning from labeled and unlabeled data with label propagation", 2002, here by
    the shortest distances alone.)

    Args:
        embeddings: float32 array `(N, F)`: the images to compare with.
        candidates: int array `(D,)`: which of these are candidates.
        outliers: int array: which of these are outliers for certain, more than
            `PROPAGATION_NEIGHBORS`.
        others: float32 array `(M, F)`: further candidates, which are not compared with.

    Returns:
        Two float32 arrays in [0, 1], `(D,)` and `(M,)`: 0 near outliers, 1 far from them.

    Example:
        >>> points = np.array([*range(20), 40, 41, 42, 43, 45, 46, 47], np.float32)[:, np.newaxis]
        >>> weights, _ = propagate_outliers(points, np.arange(18, 27), np.arange(20, 26), points[:0])
        >>> weights.tolist()
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    is_outlier = np.zeros(len(embeddings), bool)
    is_outlier[outliers] = True
    squares = squared_distances(embeddings[candidates], embeddings).numpy()  # (D, N)
    squares[np.arange(len(candidates)), candidates] = np.inf  # none is its own neighbor
    for _ in range(PROPAGATION_STEPS):
        affinity = outlier_affinity(squares, is_outlier)
        is_outlier[candidates] = affinity > OUTLIER_RATIO
        is_outlier[outliers] = True
    affinities = [outlier_affinity(squares, is_outlier)]
    for part in np.split(others, range(CHUNK, len(others), CHUNK)):
        squares = squared_distances(part, embeddings).numpy()
        affinities.append(outlier_affinity(squares, is_outlier))
    excess = OUTLIER_RATIO - np.concatenate(affinities)
    weights = np.clip(excess / (OUTLIER_RATIO - INLIER_RATIO), 0, 1).astype(np.float32)
    return np.split(weights, [len(candidates)])


def outlier_affinity(squares, is_outlier):
    """Mean distance to the nearest inliers, divided by that to the nearest outliers.

    Args:
        squares: float32 array `(D, N)` of squared distances.
        is_outlier: bool array `(N,)`, with at least `PROPAGATION_NEIGHBORS` of either.

    Returns:
        float32 array `(D,)`, above 0: the higher, the nearer to outliers.
    """
    k = PROPAGATION_NEIGHBORS
    to_inliers, to_outliers = (
        np.sqrt(np.partition(some, k - 1, axis=1)[:, :k]).mean(axis=1)
        for some in (squares[:, ~is_outlier], squares[:, is_outlier])
    )
    return (to_inliers + EPSILON) / (to_outliers + EPSILON)


def trimmed_memory_bank(embeddings, trim, seed):
    """Draw a memory bank from those embeddings that have others near them.

    Embeddings far from a random bank are left out of the next one, several times over. In the end
    a few outliers that are like each other find none of their kind in it.

    Args:
        embeddings: float32 array `(N, F)`, N at least 1.
        trim: Share of them that may be outliers, in [0, 1).
        seed: Of the draws.

    Returns:
        float32 array `(M, F)`, M as `memory_bank_size` has it.
    """
    rng = np.random.default_rng([seed, 1])
    kept = np.arange(len(embeddings))

    def draw():
        size = memory_bank_size(len(kept), embeddings.shape[1])
        return embeddings[rng.choice(kept, size, replace=False)]

    for _ in range(ROUNDS):
        distances = in_chunks(knn_distance, embeddings, draw())
        n_kept = len(embeddings) - int(trim * len(embeddings))
        kept = np.argsort(distances, kind="stable")[:n_kept]
    return draw()
