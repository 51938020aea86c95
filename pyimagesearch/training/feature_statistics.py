"""Statistics of features and residuals over the training images, in closed form.

Large products are TensorFlow's: after each one of NumPy's, its threads keep the cores busy in vain.
"""

from functools import partial

import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import gaussians
from pyimagesearch.detection.scoring import map_on_threads, threads_for

# Images that determine the encoder, the likelihood, and the statistics of places, each at most; and
# those in the memory bank.
MAX_ENCODER_IMAGES, MAX_LIKELIHOOD_IMAGES, MAX_PLACE_IMAGES, MAX_BANK_IMAGES = (
    1000,
    1000,
    2000,
    2000,
)
# Shares of the covariance of all places in that of one place, and of the diagonal in that of whole
# images, of which the likelihood chooses; and the number of places where it is taken.
PLACE_SHARES, WHOLE_SHARES = (0.0, 0.1, 0.3, 0.6, 0.9), (0.02, 0.1, 0.3, 0.6, 0.9)
LIKELIHOOD_PLACES = 16
# Share of the covariance of all patches that is added to each covariance, and the same of 1, which
# keeps it regular where there is nothing but one color.
RIDGE, FLOOR = 0.01, 1e-4
# Deviations beyond which a distance counts as just that in the mean and deviation of its place,
# and the standard deviation of the Gaussian that smooths these, in places.
PLACE_CLIP, PLACE_BLUR = 4.0, 2.0
# Makes a median absolute deviation the standard deviation of a Gaussian.
MAD_SCALE = 1.4826


def fit_encoder(features, kept, code_length, seed):
    """Fit the encoder: the principal components of the last stage, scaled to a variance of 1.

    Args:
        features: An `ImageFeatures`.
        kept: bool array `(n,)`: the images that count.
        code_length: The number of components.
        seed: Of the choice of the images.

    Returns:
        A pair of float32 arrays, the kernel `(D, code_length)` and the bias `(code_length,)`; the
        kernel is 0 where there are fewer components.
    """
    shape = features.shapes[-1]
    size = int(np.prod(shape))
    chosen = subsample(np.flatnonzero(kept), seed, MAX_ENCODER_IMAGES)
    volumes = features.gather(lambda maps: flatten(maps[-1]), (size,), chosen)
    mean = volumes.mean(0)
    volumes -= mean
    values, vectors = np.linalg.eigh(
        tf.matmul(volumes, volumes, transpose_b=True).numpy().astype(np.float64)
    )
    used = min(code_length, len(values) - 1)
    values, vectors = values[: -1 - used : -1], vectors[:, : -1 - used : -1]
    there = values > 1e-6 * values.max(initial=0)
    scaled = np.where(there, vectors / np.where(there, values, 1) * np.sqrt(len(volumes)), 0)
    kernel = np.zeros((size, code_length), np.float32)
    kernel[:, :used] = tf.matmul(volumes, scaled.astype(np.float32), transpose_a=True)
    return kernel, -tf.linalg.matvec(kernel, mean, transpose_a=True).numpy()


def flatten(maps):
    """Volumes `(B, h, w, C)` as rows `(B, h * w * C)`."""
    return tf.reshape(maps, (len(maps), -1))


def accumulate(features, regressors, places, seed, kept):
    """Add up the sums of all stages, and pick images and places for the likelihood.

    Args:
        features: An `ImageFeatures`.
        regressors: float32 array `(n, K)`.
        places: Function from indices of images `(B,)` to four float32 arrays `(B, h * w)` of
            weights, of the places of each stage.
        seed: Of the choice of the images.
        kept: bool array `(n,)`: the images that count.

    Returns:
        A pair: a `gaussians.Sums` of each stage; and of each stage a triple of `likelihood_places`,
        values `(m, places, C)` and weights `(m, places)` of this worker's chosen images, and their
        indices.
    """
    sums = [gaussians.Sums(h * w, c, regressors.shape[1]) for h, w, c in features.shapes]
    chosen = subsample(np.flatnonzero(kept), seed, MAX_LIKELIHOOD_IMAGES)
    picked = [likelihood_places(h * w) for h, w, _ in features.shapes]
    samples, samples_of = [[] for _ in sums], []
    for indices, maps in features.batches():
        rows = np.flatnonzero(np.isin(indices, chosen))
        samples_of.append(indices[rows])
        add = partial(_add_batch, regressors[indices], rows)
        stages = zip(sums, picked, maps, places(indices), strict=True)
        found = map_on_threads(add, stages, threads_for(features.cluster))
        for sample, part in zip(samples, found, strict=True):
            sample.append(part)
    for total in sums:
        total.arrays = [features.cluster.all_reduce_sum(array) for array in total.arrays]
    samples_of = np.concatenate([np.zeros(0, int), *samples_of])
    return sums, [
        (places, *map(np.concatenate, zip(*parts, strict=True)), samples_of)
        for places, parts in zip(picked, samples, strict=True)
    ]


def _add_batch(regressors, rows, stage):
    """Add a batch to the sums of a stage, and pick values and weights of some rows."""
    total, picked, x, weights = stage
    x = tf.reshape(x, (len(x), -1, x.shape[-1]))
    total.add(x, regressors, weights)
    some = np.ix_(rows, picked)
    return x.numpy()[some], weights[some]


def likelihood_places(places):
    """Places for the likelihood, evenly spread: indices of at most `LIKELIHOOD_PLACES`."""
    step = max(1, places // LIKELIHOOD_PLACES)
    return np.arange(step // 2, places, step)[:LIKELIHOOD_PLACES]


def leverage_of(regressors, kept):
    """The leverage of images in a regression on those that count: float32 array `(n,)`."""
    used = regressors[kept].astype(np.float64)
    gram = used.T @ used + 1e-6 * len(used) * np.eye(used.shape[1])
    leverage = np.einsum("nk,nk->n", regressors, np.linalg.solve(gram, regressors.T).T)
    return np.where(kept, np.minimum(leverage, 1), 0).astype(np.float32)


def fit_stage(k, total, share):
    """Fit the decoder and the Gaussians of one stage.

    Args:
        k: How many of the regressors are used.
        total: A `gaussians.Sums`.
        share: The share of the covariance of all places, one of `PLACE_SHARES`.

    Returns:
        A pair: the coefficients, float32 `(P, C, K)`, and the `gaussians.Gaussians`.
    """
    coefficients = total.regress(k)
    squares = total.residual_squares(coefficients)
    fitted, _ = gaussians.fit(squares, total.arrays[0], *_common(total, coefficients), share)
    return coefficients.astype(np.float32), fitted


def _common(total, coefficients):
    """What the covariances of a stage are shrunk to, and what is added to each."""
    covariance = total.total_covariance()
    ridge = RIDGE * covariance + FLOOR * np.eye(len(covariance))
    return total.residual_covariance(coefficients), ridge


def share_likelihoods(regressors, leverage, total, sample):
    """The log-likelihood of images by all others, for each share of the common covariance.

    Args:
        regressors: float32 array `(n, k)`: those that are used.
        leverage: float32 array `(n,)` of the images in a regression on them.
        total: A `gaussians.Sums`.
        sample: As `accumulate` returns it, of this stage.

    Returns:
        float64 array `(5,)`, for `PLACE_SHARES`: a sum over this worker's images.
    """
    k = regressors.shape[1]
    places, values, weights, indices = sample
    coefficients = total.regress(k)
    target, ridge = _common(total, coefficients)
    squares, n = total.residual_squares(coefficients, places), total.arrays[0]
    some = coefficients[places][..., :k].astype(np.float32)
    residuals = values - tf.einsum("bk,pck->bpc", regressors[indices], some)
    likelihoods = []
    for share in PLACE_SHARES:
        fitted = gaussians.fit(squares, n[places], target, ridge, share)
        likelihoods.append(gaussians.log_likelihood(residuals, *fitted, leverage[indices], weights))
    # Stages count by their places, of which all were looked at, or few.
    return np.array(likelihoods) * len(n) / len(places)


def fit_vectors(name, vectors, kept, shares):
    """Fit a Gaussian to vectors of whole images, shrunk to its diagonal.

    Args:
        name: `global` or `quality`: what the arrays are called.
        vectors: float32 array `(n, C)`.
        kept: bool array `(n,)`: the images that count.
        shares: The shares of the diagonal to choose from.

    Returns:
        The arrays of the reference, a dict.
    """
    used = vectors[kept].astype(np.float64)
    mean, deviation = used.mean(0), used.std(0) + 1e-3
    used = (used - mean) / deviation
    squares = tf.matmul(used, used, transpose_a=True).numpy()[np.newaxis]
    n, width = np.array([len(used)], float), used.shape[1]
    target = squares[0] * np.eye(width) / len(used)
    ridge = RIDGE * np.eye(width)
    weights = np.ones((len(used), 1), np.float32)
    leverage = np.full(len(used), 1 / len(used), np.float32)
    best = None
    for share in shares:
        fitted, log_determinants = gaussians.fit(squares, n, target, ridge, share)
        residuals = used[:, np.newaxis].astype(np.float32)
        likelihood = gaussians.log_likelihood(
            residuals, fitted, log_determinants, leverage, weights
        )
        if best is None or likelihood > best[0]:
            best = likelihood, fitted
    fitted = best[1]
    whitening = fitted.whitening / deviation.astype(np.float32)
    # The target is the diagonal of the very same covariance: not of a pool.
    pooled_influence = np.zeros(1, np.float32)
    arrays = gaussians.as_arrays(
        gaussians.Gaussians(whitening, fitted.influence, pooled_influence), name
    )
    return {f"mean_{name}": mean.astype(np.float32), **arrays}


def fit_place_statistics(logs):
    """The mean and deviation of log-distances at each place, robust and smoothed over places.

    Args:
        logs: float32 array `(m, 5, h, w)` of images that count.

    Returns:
        The arrays of the reference, a dict.
    """
    center, deviation = robust_deviations(logs)
    clipped = np.minimum(logs, center + PLACE_CLIP * (deviation + 1e-3))
    mean = smooth(clipped.mean(0))
    return {
        "place_mean": mean.astype(np.float32),
        "place_deviation": np.sqrt(smooth(clipped.var(0)) + 1e-6).astype(np.float32),
    }


def smooth(maps):
    """Smooth maps `(..., h, w)` over neighboring places."""
    sigma = (0,) * (maps.ndim - 2) + (PLACE_BLUR, PLACE_BLUR)
    return gaussian_filter(maps, sigma, mode="reflect", truncate=3)


def robust_deviations(values):
    """The median of values over images, and their robust deviation: `(n, ...)` to two `(...)`."""
    center = median(values)
    return center, MAD_SCALE * median(np.abs(values - center))


def median(values):
    """The median over images, as `np.median` has it, several times as fast: `(n, ...)` to `(...)`."""
    ordered = np.sort(values.reshape(len(values), -1).T.copy(), axis=-1)
    middle = ordered[:, (len(values) - 1) // 2 : len(values) // 2 + 1]
    return middle.mean(-1).reshape(values.shape[1:])


def fit_colors(total):
    """Choose the colors of the second stage: its first three principal components.

    Args:
        total: Its `gaussians.Sums`.

    Returns:
        The arrays of the reference, a dict.
    """
    n, _, xz, _ = total.arrays
    mean = xz[..., 0].sum(0) / max(n.sum(), 1)
    values, vectors = np.linalg.eigh(total.total_covariance())
    vectors = vectors[:, :-4:-1]
    vectors = vectors * np.where(vectors.sum(0) < 0, -1, 1)
    # From black at two standard deviations below the mean to full color at two above.
    colors = vectors / (4 * np.sqrt(values[:-4:-1] + 1e-6))
    return {
        "colors": colors.astype(np.float32),
        "colors_offset": (0.5 - mean @ colors).astype(np.float32),
    }
