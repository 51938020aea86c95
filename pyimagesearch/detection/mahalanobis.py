"""Mahalanobis distance of latent codes, robust to outliers among the images it is fitted to."""

import numpy as np
import tensorflow as tf

from pyimagesearch.detection import neighbors
from pyimagesearch.detection.anomaly_maps import mean_of_map

# Share of the vectors that are taken for outliers.
OUTLIER_SHARE = 0.2
# How much the distance to the outliers counts in each round of `fit_robust_mahalanobis`: at first not
# at all, until those far from everything are found; then for as many rounds as it takes to settle.
INITIAL_OUTLIER_WEIGHTS, OUTLIER_WEIGHTS = (0.0,) * 4, (0.5,) * 16
# Standard deviations by which the center may move away from the outliers. A vector on the side
# opposite to them is to stay far from the center.
MAX_SHIFT = 2.0
# Added to all variances, so that a direction without variance does not decide the distance.
MIN_VARIANCE = 1e-6
# Added before a logarithm is taken.
EPSILON = 1e-6


def append_energy_and_error(codes, images, errors):
    """Append to latent codes the logarithms of the energy of the images and of their errors.

    A code that is usual for an image with many bright pixels may be unusual for one with few.

    Args:
        codes: float tensor `(N, K)`.
        images: float tensor `(N, H, W, C)`.
        errors: float tensor `(N,)`, at least 0: mean squared errors of the reconstructions.

    Returns:
        float32 tensor `(N, K + 2)`.
    """
    energies = tf.reduce_mean(tf.square(images), axis=(1, 2, 3))
    logarithms = tf.math.log(tf.stack([energies, errors], axis=1) + EPSILON)
    return tf.concat([tf.cast(codes, tf.float32), logarithms], axis=1)


def squared_distance(vectors, mean, precision):
    """Squared Mahalanobis distance: `(N, K)`, `(K,)` and `(K, K)` to `(N,)`."""
    differences = vectors - mean
    return tf.einsum("nk,kl,nl->n", differences, precision, differences)


def relative_mahalanobis(inliers, outliers, outlier_weight, counts=None):
    """Fit a Mahalanobis distance from inliers that grows fastest towards outliers.

    If both were Gaussian, the difference of their squared Mahalanobis distances would be, up to a
    constant, twice their log-likelihood ratio. Only a part of the distance to the outliers is
    subtracted, because it is not certain which vectors are outliers. In each direction, they are
    taken to vary at least as much as the inliers, so that whatever is far away remains far.

    The difference is then a squared Mahalanobis distance again. Its center is farther from the
    outliers, here by at most `MAX_SHIFT`, and it is longer in directions in which the outliers vary.
    (A relative Mahalanobis distance as in Ren et al., "A simple fix to Mahalanobis distance for
    improving near-OOD detection", 2021, but with outliers in the place of all images.)

    Args:
        inliers: float array `(N, K)`, N at least 1.
        outliers: float array `(M, K)`; M may be 0.
        outlier_weight: The part that is subtracted, in [0, 1).
        counts: A pair of float arrays `(N,)` and `(M,)`: how many times each vector counts; `None`:
            once.

    Returns:
        A dict of float64 arrays for `squared_distance`: `mean` `(K,)` and `precision` `(K, K)`.

    Example:
        >>> inliers = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
        >>> outliers = inliers * [5, 1] + [8, 0]
        >>> relative_mahalanobis(inliers, outliers, 0.5)["mean"].round(2)
        array([-0.16,  0.  ])
    """
    inlier_counts, outlier_counts = counts or (None, None)
    mean, covariance = mean_and_covariance(inliers, inlier_counts)
    covariance += MIN_VARIANCE * np.eye(len(mean))
    if not len(outliers):
        return {"mean": mean, "precision": np.linalg.inv(covariance)}
    # In units of this root, the inliers have variance 1 in any direction.
    root = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(root, (outliers - mean).T).T  # (M, K)
    shift, covariance = mean_and_covariance(whitened, outlier_counts)
    variances, axes = np.linalg.eigh(covariance)
    subtracted = outlier_weight / np.maximum(
        variances, 1
    )  # of the precision, along each axis: (K,)
    center = -subtracted * (shift @ axes) / (1 - subtracted)
    center *= MAX_SHIFT / max(MAX_SHIFT, np.linalg.norm(center))
    basis = np.linalg.solve(root.T, axes)  # (K, K)
    return {
        "mean": mean + root @ axes @ center,
        "precision": (basis * (1 - subtracted)) @ basis.T,
    }


def mean_and_covariance(vectors, counts=None):
    """Mean `(K,)` and covariance `(K, K)` of vectors `(N, K)`; each counts once, or `(N,)` times."""
    mean = np.average(vectors, axis=0, weights=counts)
    differences = vectors - mean
    if counts is None:
        return mean, differences.T @ differences / len(vectors)
    return mean, (differences * counts[:, np.newaxis]).T @ differences / counts.sum()


def fit_robust_mahalanobis(vectors, outlier_scores=None, counts=None):
    """Fit a Mahalanobis distance to vectors with outliers among them.

    In turns, the vectors of the highest distances are taken for outliers, and the distance is
    fitted to the others (as in the reweighting of the minimum covariance determinant: Rousseeuw and
    van Driessen, "A fast algorithm for the minimum covariance determinant estimator", Technometrics
    1999).

    Args:
        vectors: float array `(N, K)`, N at least 1.
        outlier_scores: float array `(N,)`: how likely each vector is an outlier, in any unit, where
            this is known well. Unless given, the rounds begin with the last number of each vector,
            and with no weight of the outliers.
        counts: float array `(N,)`, above 0: how many times each vector counts; `None`: once.

    Returns:
        A dict of float32 arrays for `squared_distance`: `mean` `(K,)` and `precision` `(K, K)`.

    Example:
        >>> vectors = np.random.default_rng(0).standard_normal((1000, 2))
        >>> vectors[:100] += [10, 0]
        >>> fitted = fit_robust_mahalanobis(vectors)
        >>> squared_distance(np.float32([[-4, 0], [0, 0], [4, 0]]), **fitted).numpy().argsort()
        array([1, 0, 2])
    """
    vectors = np.asarray(vectors, np.float64)
    outlier_weights = OUTLIER_WEIGHTS
    if outlier_scores is None:
        outlier_weights = INITIAL_OUTLIER_WEIGHTS + OUTLIER_WEIGHTS
        outlier_scores = vectors[:, -1]
    for outlier_weight in outlier_weights:
        parts = split_inliers(outlier_scores, counts)
        fitted = relative_mahalanobis(
            *(vectors[part] for part in parts),
            outlier_weight,
            counts if counts is None else tuple(counts[part] for part in parts),
        )
        outlier_scores = squared_distance(vectors, **fitted).numpy()
    return {name: array.astype(np.float32) for name, array in fitted.items()}


def split_inliers(outlier_scores, counts=None):
    """Split into inliers and outliers.

    Args:
        outlier_scores: float array `(N,)`, N at least 1.
        counts: float array `(N,)`, above 0: how many times each counts; `None`: once.

    Returns:
        Two int arrays of indices, each in ascending order of the scores. The outliers are the
        share `OUTLIER_SHARE` of the highest scores.

    Example:
        >>> inliers, outliers = split_inliers(np.array([0.1, 0.9, 0.3, 0.4, 0.2]))
        >>> inliers.tolist(), outliers.tolist()
        ([0, 4, 2, 3], [1])
    """
    order = np.argsort(outlier_scores, kind="stable")
    n_inliers = round((1 - OUTLIER_SHARE) * len(order))
    if counts is not None:
        # Those of which the larger part lies in this share of the weight.
        middles = np.cumsum(counts[order]) - counts[order] / 2
        n_inliers = np.searchsorted(middles, (1 - OUTLIER_SHARE) * counts.sum())
    return np.split(order, [max(1, n_inliers)])


class CodeDistanceFit:
    """Fits `code_distance` to the training images.

    Inliers are found first by their codes, energies and errors. They become the memory bank, and
    the distances of all images to it become further numbers of their vectors.
    """

    def __init__(self):
        self.vectors, self.counts = [], []

    def add(self, images, residuals, codes, counts=None):
        """Take in a batch: images and residuals `(B, H, W, C)`, codes `(B, K)`.

        How many times each image counts, `(B,)`, is for the Gaussians. In the memory bank each
        counts once: a copy of an image is no further neighbor.
        """
        if counts is not None:
            self.counts.append(counts)
        errors = tf.reduce_mean(tf.square(residuals), axis=(1, 2, 3))
        self.vectors.append(append_energy_and_error(codes, images, errors).numpy())

    def reference(self):
        """The reference, a dict of float32 arrays: `bank`, the memory bank `(M, K + 2)`; and `mean`
        `(L,)` and `precision` `(L, L)`, L being K + 2 and the number of k-NN distances.
        """
        vectors = np.concatenate(self.vectors)
        counts = np.concatenate(self.counts) if self.counts else None
        fitted = fit_robust_mahalanobis(vectors, counts=counts)
        outlier_scores = squared_distance(vectors, **fitted).numpy()
        inliers, _ = split_inliers(outlier_scores, counts)
        memory_bank = neighbors.evenly_spaced(vectors[np.sort(inliers)])
        distances = neighbors.in_chunks(neighbors.multiscale_knn_distances, vectors, memory_bank)
        vectors = np.concatenate([vectors, distances], axis=1)
        return {"bank": memory_bank, **fit_robust_mahalanobis(vectors, outlier_scores, counts)}


def code_distance(maps, images, codes, reference):
    """Squared Mahalanobis distance of the code, energy, error and k-NN distances of an image.

    It is relative to outliers: see `relative_mahalanobis`. (Without k-NN distances and outliers,
    for a linear network, and with the error itself, this is probabilistic principal component
    analysis: Tipping and Bishop, 1999.)

    Args:
        maps: Maps of the squared error, float tensor `(N, H, W)`.
        images: float tensor `(N, H, W, C)` in [0, 1].
        codes: float tensor `(N, K)`.
        reference: What `CodeDistanceFit` has found.

    Returns:
        float tensor `(N,)`, at least 0.
    """
    vectors = append_energy_and_error(codes, images, mean_of_map(maps))
    distances = neighbors.multiscale_knn_distances(vectors, reference["bank"])
    vectors = tf.concat([vectors, distances], axis=1)
    return squared_distance(vectors, reference["mean"], reference["precision"])


def code_shapes(image_shape, code_length):
    """Shapes of the arrays that `CodeDistanceFit` finds."""
    bank = None if code_length is None else code_length + 2
    all_numbers = None if code_length is None else bank + len(neighbors.SCALES)
    return {"bank": (None, bank), "mean": (all_numbers,), "precision": (all_numbers, all_numbers)}
