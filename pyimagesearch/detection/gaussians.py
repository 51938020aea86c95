"""Gaussians of residuals at each place, shrunk by likelihood, each image judged leave-one-out.

A Gaussian that is fitted to a few hundred images has seen each of them, and so finds none of them
very unusual. Here the distance of a training image is that to the Gaussian of all *other* training
images. It follows from the one Gaussian of all of them, because leaving an image out changes a sum
of squares by a matrix of rank one (Sherman and Morrison, 1950; for regression, Cook, "Detection of
influential observation in linear regression", 1977).
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Of an image that determines the Gaussian at its place nearly alone, the leave-one-out distance is
# that of its residual divided by this, at most.
MIN_REMAINDER = 1e-3


class Gaussians(NamedTuple):
    """Gaussians at P places, of residuals of C numbers.

    Attributes:
        whitening: float32 array `(P, C, C)`: the inverse Cholesky factors of the covariances. The
            product with a residual has the identity as its covariance.
        influence: float32 array `(P,)`: of one training image on the covariance of a place; what
            `distances` takes to leave it out.
        pooled_influence: float32 array `(1,)`: the same, of each of its places on what all
            covariances have in common.
    """

    whitening: np.ndarray
    influence: np.ndarray
    pooled_influence: np.ndarray


def of(arrays, name):
    """The `Gaussians` that are stored among arrays under a name."""
    return Gaussians(*(arrays[f"{field}_{name}"] for field in Gaussians._fields))


def as_arrays(gaussians, name):
    """Gaussians as arrays by their names, of which `of` makes them again."""
    return {f"{field}_{name}": array for field, array in gaussians._asdict().items()}


class Sums:
    """The sums over images that regression and covariance are made of, at each of P places.

    They add up over batches and over workers, so that memory does not grow with the images.

    Args:
        places, channels, regressors: The numbers P, C and K.

    Attributes:
        arrays: float64 arrays: the sums of weights `(P,)`, of the products of regressors
            `(P, K, K)`, of values and regressors `(P, C, K)`, and of values `(P, C, C)`.
    """

    def __init__(self, places, channels, regressors):
        shapes = (), (regressors, regressors), (channels, regressors), (channels, channels)
        self.arrays = [np.zeros((places, *shape)) for shape in shapes]

    def add(self, values, regressors, weights):
        """Add a batch.

        Args:
            values: float32 tensor `(B, P, C)`.
            regressors: float32 array `(B, K)`, the first of which is 1.
            weights: float32 array `(B, P)` of 0 and 1.
        """
        counts = weights.T[:, np.newaxis]  # (P, 1, B)
        x = tf.transpose(values, (1, 2, 0)) * counts
        z = regressors.T * counts
        batch = (
            weights.sum(0),
            tf.matmul(z, z, transpose_b=True),
            tf.matmul(x, z, transpose_b=True),
            tf.matmul(x, x, transpose_b=True),
        )
        for total, part in zip(self.arrays, batch, strict=True):
            total += np.asarray(part)

    def regress(self, k):
        """Regress the values on the first `k` regressors, by least squares.

        Returns:
            The coefficients, float64 `(P, C, K)`, with zeros from `k` on.
        """
        n, zz, xz, _ = self.arrays
        # A place at which no image counts has coefficients 0.
        gram = zz[:, :k, :k] + 1e-6 * np.maximum(n, 1)[:, None, None] * np.eye(k)
        coefficients = np.zeros_like(xz)
        coefficients[..., :k] = np.linalg.solve(gram, xz[..., :k].transpose(0, 2, 1)).transpose(
            0, 2, 1
        )
        return coefficients

    def residual_squares(self, coefficients, places=slice(None)):
        """The sums of squares and products of the residuals.

        Args:
            coefficients: What `regress` returns.
            places: Which of the places; all unless given.

        Returns:
            float64 array `(P, C, C)`, of which the part above the diagonal is rounded otherwise.
        """
        _, _, xz, xx = self.arrays
        return xx[places] - tf.matmul(coefficients[places], xz[places], transpose_b=True).numpy()

    def residual_covariance(self, coefficients):
        """The covariance of the residuals of all places together, float64 `(C, C)`."""
        n, _, xz, xx = self.arrays
        explained = tf.tensordot(coefficients, xz, ((0, 2), (0, 2))).numpy()
        return (xx.sum(0) - explained) / max(n.sum(), 1)

    def total_covariance(self):
        """The covariance of the values of all places together, float64 `(C, C)`."""
        n, _, xz, xx = self.arrays
        total = max(n.sum(), 1)
        mean = xz[..., 0].sum(0) / total
        return xx.sum(0) / total - np.outer(mean, mean)


def fit(squares, n, target, ridge, share):
    """Make Gaussians of sums of squares, shrunk towards a target.

    Args:
        squares: float64 array `(P, C, C)`: sums of squares and products of residuals. Only what is
            not above the diagonal counts.
        n: float64 array `(P,)`: the number of images in each.
        target: float64 array `(C, C)`: the covariance to shrink to.
        ridge: float64 array `(C, C)`: what is added to each covariance.
        share: The share of the target, in [0, 1]. (Friedman, "Regularized discriminant analysis",
            1989.)

    Returns:
        A pair: `Gaussians`, and the logarithms of the determinants of the covariances, `(P,)`.

    Example:
        >>> gaussians, _ = fit(np.full((1, 1, 1), 36.0), np.array([10.0]), 0, np.zeros((1, 1)), 0.0)
        >>> gaussians.whitening.ravel().tolist()
        [0.5]
    """
    others = np.maximum(n - 1, 1)
    covariance = squares * ((1 - share) / others)[:, None, None] + (share * target + ridge)
    factors = tf.linalg.cholesky(covariance)
    identity = tf.eye(covariance.shape[-1], dtype=factors.dtype)
    whitening = tf.linalg.triangular_solve(factors, identity).numpy().astype(np.float32)
    log_determinants = 2 * np.log(tf.linalg.diag_part(factors).numpy()).sum(-1)
    influence = ((1 - share) / others).astype(np.float32)
    pooled_influence = np.float32([share / max(n.sum(), 1)])
    return Gaussians(whitening, influence, pooled_influence), log_determinants


def distances(residuals, gaussians, leverage, weights):
    """Squared Mahalanobis distances at each place, of training images leave-one-out.

    An image is left out of the covariance of the place exactly, and out of what all places have in
    common by the first term of the series, which is summed as if it were a geometric one.

    Args:
        residuals: float32 tensor `(B, P, C)`.
        gaussians: `Gaussians`, arrays or tensors.
        leverage: float32 tensor `(B,)`: of each image in the regression, in [0, 1).
        weights: float32 tensor `(B, P)`: 1 where the image is one of those that the Gaussian was
            fitted to, else 0.

    Returns:
        float32 tensor `(B, P)`, at least 0.
    """
    white, squares = whiten(residuals, gaussians.whitening)
    grown = leave_out(leverage[:, tf.newaxis], weights)
    # What the image has added to the common covariance, seen in the metric of each place.
    own = residuals * (weights * tf.sqrt(grown))[..., tf.newaxis]
    products = tf.matmul(own, own, transpose_a=True)  # (B, C, C)
    metric = tf.transpose(tf.matmul(white, gaussians.whitening), (1, 0, 2))  # (B, P, C)
    pooled = tf.reduce_sum(tf.matmul(metric, products) * metric, -1)
    taken = squares * gaussians.influence * weights * grown
    taken += gaussians.pooled_influence * pooled / (squares + 1e-6)
    return squares * tf.square(grown) / tf.maximum(1 - taken, MIN_REMAINDER)


def whiten(residuals, whitening):
    """Residuals `(B, P, C)` whitened at each place, `(P, B, C)`, and their squares, `(B, P)`."""
    white = tf.matmul(tf.transpose(residuals, (1, 0, 2)), whitening, transpose_b=True)
    return white, tf.transpose(tf.reduce_sum(tf.square(white), -1))


def leave_out(leverage, weights):
    """By what a residual grows when its image is left out of the regression."""
    return 1 / (1 - tf.minimum(leverage, 1 - MIN_REMAINDER) * weights)


def log_likelihood(residuals, gaussians, log_determinants, leverage, weights):
    """The leave-one-out log-likelihood of images under Gaussians, up to a constant.

    Args:
        residuals: float32 array `(B, P, C)`.
        gaussians, log_determinants: As `fit` returns them.
        leverage: float32 array `(B,)`.
        weights: float32 array `(B, P)`: the images and places that are counted, all of which the
            Gaussians were fitted to.

    Returns:
        The sum over images and places, a number.
    """
    leverage = tf.constant(leverage, tf.float32)
    _, squares = whiten(residuals, gaussians.whitening)
    grown = leave_out(leverage[:, tf.newaxis], weights)
    left = tf.maximum(1 - squares * gaussians.influence * weights * grown, MIN_REMAINDER)
    logs = (
        squares * tf.square(grown) / left + log_determinants.astype(np.float32) + tf.math.log(left)
    )
    return -0.5 * float(np.sum(logs.numpy() * weights, dtype=np.float64))
