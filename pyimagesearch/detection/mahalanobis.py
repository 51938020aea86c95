"""How usual is a code?"""

import numpy as np
import tensorflow as tf

from pyimagesearch.detection import neighbors
from pyimagesearch.detection.anomaly_maps import mean_of_map

# Share of the images that are taken for suspects.
OUTLIER_SHARE = 0.2
# How much it counts not to be like a suspect, in each round of judging anew who is one: at first
# not at all, until those who are far from everything are known; then as long as it takes to settle.
INITIAL_CONTRASTS, CONTRASTS = (0.0,) * 4, (0.5,) * 16
# Standard deviations by which the centre may move away from the suspects: what is odd in the opposite
# way is to stay odd.
MAX_SHIFT = 2.0
# What keeps codes that hardly vary in some direction from making a marvel of it.
MIN_VARIANCE = 1e-6
# What is added before a logarithm is taken.
EPSILON = 1e-6


def append_energy_and_error(codes, images, errors):
    """Codes, and the logarithms of how much there is to be drawn and of the error.

    A code that is usual for a large image may be unusual for a small one.

    Args:
        codes: float tensor `(N, K)`.
        images: float tensor `(N, H, W, C)`.
        errors: float tensor `(N,)`: mean squared error of the reconstructions, at least 0.

    Returns:
        float32 tensor `(N, K + 2)`.
    """
    energies = tf.reduce_mean(tf.square(images), axis=(1, 2, 3))
    sizes = tf.math.log(tf.stack([energies, errors], axis=1) + EPSILON)
    return tf.concat([tf.cast(codes, tf.float32), sizes], axis=1)


def squared_distance(vectors, mean, precision):
    """Squared Mahalanobis distance: `(N, K)`, `(K,)` and `(K, K)` to `(N,)`."""
    away = vectors - mean
    return tf.einsum("nk,kl,nl->n", away, precision, away)


def relative_mahalanobis(usual, suspects, contrast):
    """A distance from the usual that grows fastest towards the suspects.

    Were both Gaussian, the difference of their squared Mahalanobis distances would be, but for a
    constant, twice the log-likelihood ratio of the two. Of the distance from the suspects only a
    part is taken off, as who is one is not certain; and they are taken to vary at least as much as
    the usual in any direction, so that whatever is far away is odd. The difference is then a squared
    Mahalanobis distance too: from a centre farther from the suspects, here by no more than
    `MAX_SHIFT`, and longer where it is they who vary. (A relative Mahalanobis distance, as in Ren et
    al., "A simple fix to Mahalanobis distance for improving near-OOD detection", 2021, but with
    suspects in the place of all images.)

    Args:
        usual: float array `(N, K)`, N at least 1.
        suspects: float array `(M, K)`; may be empty.
        contrast: The part that is taken off, in [0, 1).

    Returns:
        A dict of `mean`, `(K,)`, and `precision`, `(K, K)`, for `squared_distance`.

    Example:
        >>> usual = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])
        >>> relative_mahalanobis(usual, usual * [5, 1] + [8, 0], 0.5)["mean"].round(2)
        array([-0.16,  0.  ])
    """
    mean = usual.mean(axis=0)
    covariance = (usual - mean).T @ (usual - mean) / len(usual) + MIN_VARIANCE * np.eye(len(mean))
    if not len(suspects):
        return {"mean": mean, "precision": np.linalg.inv(covariance)}
    root = np.linalg.cholesky(covariance)
    # In these units the usual ones vary by 1 in any direction.
    away = np.linalg.solve(root, (suspects - mean).T).T  # (M, K)
    shift = away.mean(axis=0)
    variances, axes = np.linalg.eigh((away - shift).T @ (away - shift) / len(away))
    taken = contrast / np.maximum(variances, 1)
    centre = -taken * (shift @ axes) / (1 - taken)
    centre *= MAX_SHIFT / max(MAX_SHIFT, np.linalg.norm(centre))
    basis = np.linalg.solve(root.T, axes)  # (K, K)
    return {
        "mean": mean + root @ axes @ centre,
        "precision": (basis * (1 - taken)) @ basis.T,
    }


def fit_robust_mahalanobis(vectors, suspicion=None):
    """Learn which vectors are usual, among some that are not.

    Which are the suspects and what the others have in common is found in turns (as in reweighting
    for the minimum covariance determinant: Rousseeuw and van Driessen, "A fast algorithm for the
    minimum covariance determinant estimator", Technometrics 1999).

    Args:
        vectors: float array `(N, K)`, N at least 1.
        suspicion: float array `(N,)`: who is suspect to begin with, if that is known well; unless
            given, it is those whose last number is large, until one knows better.

    Returns:
        A dict of float32 arrays: `mean` `(K,)` and `precision` `(K, K)`, for `squared_distance`.

    Example:
        >>> vectors = np.random.default_rng(0).standard_normal((1000, 2))
        >>> vectors[:100] += [10, 0]
        >>> fitted = fit_robust_mahalanobis(vectors)
        >>> squared_distance(np.float32([[-4, 0], [0, 0], [4, 0]]), **fitted).numpy().argsort()
        array([1, 0, 2])
    """
    vectors = np.asarray(vectors, np.float64)
    contrasts = CONTRASTS if suspicion is not None else INITIAL_CONTRASTS + CONTRASTS
    suspicion = vectors[:, -1] if suspicion is None else suspicion
    for contrast in contrasts:
        usual, suspects = split_inliers(suspicion)
        found = relative_mahalanobis(vectors[usual], vectors[suspects], contrast)
        suspicion = squared_distance(vectors, **found).numpy()
    return {name: array.astype(np.float32) for name, array in found.items()}


def split_inliers(suspicion):
    """Which are usual and which are suspects: int arrays, ascending by suspicion `(N,)`.

    Example:
        >>> usual, suspects = split_inliers(np.array([0.1, 0.9, 0.3, 0.4, 0.2]))
        >>> usual.tolist(), suspects.tolist()
        ([0, 4, 2, 3], [1])
    """
    order = np.argsort(suspicion, kind="stable")
    return np.split(order, [max(1, round((1 - OUTLIER_SHARE) * len(order)))])


def fit_code_distance(seen):
    """Learn which codes are usual, with which sizes and in which company.

    Who has usual codes and sizes is found first, then which distances from these are usual too: see
    `fit_robust_mahalanobis` and `neighbors.multiscale_knn_distances`.

    Args:
        seen: Iterable of triples of images, residuals and codes, as `fit_reference` makes them.

    Returns:
        A dict of float32 arrays: `bank` `(M, K + 2)`, usual codes with their sizes; `mean` `(L,)`
        and `precision` `(L, L)` of codes with sizes and company.
    """
    vectors = []
    for images, residuals, codes in seen:
        errors = tf.reduce_mean(tf.square(residuals), axis=(1, 2, 3))
        vectors.append(append_energy_and_error(codes, images, errors).numpy())
    vectors = np.concatenate(vectors)
    suspicion = squared_distance(vectors, **fit_robust_mahalanobis(vectors)).numpy()
    usual, _ = split_inliers(suspicion)
    bank = neighbors.evenly_spaced(vectors[np.sort(usual)])
    company = neighbors.in_chunks(neighbors.multiscale_knn_distances, vectors, bank)
    return {
        "bank": bank,
        **fit_robust_mahalanobis(np.concatenate([vectors, company], axis=1), suspicion),
    }


def code_distance(maps, images, codes, reference):
    """How unlikely a code is, with how much is to be drawn, how much is left out, and its company.

    The squared Mahalanobis distance of all these from the usual ones, longer towards suspects: see
    `relative_mahalanobis`. (Without company, from usual ones alone, for a linear network, and with the
    error in place of its logarithm: probabilistic principal component analysis, Tipping and Bishop,
    1999.)
    """
    vectors = append_energy_and_error(codes, images, mean_of_map(maps))
    company = neighbors.multiscale_knn_distances(vectors, reference["bank"])
    vectors = tf.concat([vectors, company], axis=1)
    return squared_distance(vectors, reference["mean"], reference["precision"])


def code_shapes(image, code):
    """Shapes of what `fit_code_distance` returns."""
    n_vector = None if code is None else code + 2
    n = None if code is None else n_vector + len(neighbors.SCALES)
    return {"bank": (None, n_vector), "mean": (n,), "precision": (n, n)}
