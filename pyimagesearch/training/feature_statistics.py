"""Statistics of features and residuals over the training images, in closed form."""

import numpy as np
from scipy.ndimage import gaussian_filter

from pyimagesearch.data.batches import subsample
from pyimagesearch.detection import gaussians

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
    values, vectors = np.linalg.eigh((volumes @ volumes.T).astype(np.float64))
    kernel = np.zeros((size, code_length), np.float32)
    for i in range(min(code_length, len(values) - 1)):
        value, vector = values[-1 - i], vectors[:, -1 - i]
        if value > 1e-6 * values[-1] > 0:
            kernel[:, i] = (vector / value * np.sqrt(len(volumes))) @ volumes
    return kernel, -mean @ kernel


def flatten(maps):
    """Volumes `(B, h, w, C)` as rows `(B, h * w * C)`."""
    return maps.reshape(len(maps), -1)


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
        weights = places(indices)
        rows = np.flatnonzero(np.isin(indices, chosen))
        samples_of.append(indices[rows])
        for stage, x in enumerate(maps):
            x = x.reshape(len(x), -1, x.shape[-1])
            sums[stage].add(x, regressors[indices], weights[stage])
            some = np.ix_(rows, picked[stage])
            samples[stage].append((x[some], weights[stage][some]))
    for total in sums:
        total.arrays = [features.cluster.all_reduce_sum(array) for array in total.arrays]
    samples_of = np.concatenate([np.zeros(0, int), *samples_of])
    return sums, [
        (places, *map(np.concatenate, zip(*parts, strict=True)), samples_of)
        for places, parts in zip(picked, samples, strict=True)
    ]


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


def fit_stage(total, sample, regressors, leverage, cluster, share=None):
    """Fit the decoder and the Gaussians of one stage.

    Args:
        total: A `gaussians.Sums`.
        sample: As `accumulate` returns it, of this stage.
        regressors: float32 array `(n, k)`: those that are used.
        leverage: float32 array `(n,)` of the images in a regression on them.
        cluster: A `distribution.Cluster`.
        share: The share of the covariance of all places; `None`: that of `PLACE_SHARES` which makes
            the log-likelihood of the images by all others highest.

    Returns:
        A 4-tuple: the coefficients, float32 `(P, C, K)`; the `gaussians.Gaussians`; that
        log-likelihood, if it was looked at, else 0; and the share.
    """
    k = regressors.shape[1]
    coefficients, squares, n = total.regress(k)
    covariance = total.total_covariance()
    ridge = RIDGE * covariance + FLOOR * np.eye(len(covariance))
    target = squares.sum(0, keepdims=True) / max(n.sum(), 1)
    likelihood = 0.0
    if share is None:
        likelihood, share = _choose_share(
            (squares, n, target, ridge), coefficients, sample, regressors, leverage, cluster
        )
    fitted, _ = gaussians.fit(squares, n, target, ridge, share)
    return coefficients.astype(np.float32), fitted, likelihood, share


def _choose_share(sums, coefficients, sample, regressors, leverage, cluster):
    """The highest log-likelihood over `PLACE_SHARES`, and the share that has it: see `fit_stage`."""
    squares, n, target, ridge = sums
    k = regressors.shape[1]
    places, values, weights, indices = sample
    residuals = values - np.einsum(
        "bk,pck->bpc", regressors[indices], coefficients[places][..., :k].astype(np.float32)
    )
    likelihoods = []
    for share in PLACE_SHARES:
        some = gaussians.fit(squares[places], n[places], target, ridge, share)
        likelihoods.append(gaussians.log_likelihood(residuals, *some, leverage[indices], weights))
    likelihoods = cluster.all_reduce_sum(np.array(likelihoods))
    best = int(np.argmax(likelihoods))
    # Stages count by their places, of which all were looked at, or few.
    return likelihoods[best] * len(squares) / len(places), PLACE_SHARES[best]


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
    squares = (used.T @ used)[np.newaxis]
    n, width = np.array([len(used)], float), used.shape[1]
    target = squares * np.eye(width) / len(used)
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
    median, deviation = robust_deviations(logs)
    clipped = np.minimum(logs, median + PLACE_CLIP * (deviation + 1e-3))
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
    median = np.median(values, 0)
    return median, MAD_SCALE * np.median(np.abs(values - median), 0)


def fit_colors(features, kept, seed):
    """Choose the colors of the second stage: its first three principal components.

    Args:
        features: An `ImageFeatures`.
        kept: bool array `(n,)`: the images that count.
        seed: Of the choice of the images.

    Returns:
        The arrays of the reference, a dict.
    """
    chosen = subsample(np.flatnonzero(kept), seed, 100)
    patches = features.gather(lambda maps: maps[1], features.shapes[1], chosen)
    patches = patches.reshape(-1, patches.shape[-1])
    mean = patches.mean(0)
    values, vectors = np.linalg.eigh(np.cov((patches - mean).T))
    vectors = vectors[:, :-4:-1]
    vectors = vectors * np.where(vectors.sum(0) < 0, -1, 1)
    # From black at two standard deviations below the mean to full color at two above.
    colors = vectors / (4 * np.sqrt(values[:-4:-1] + 1e-6))
    return {
        "colors": colors.astype(np.float32),
        "colors_offset": (0.5 - mean @ colors).astype(np.float32),
    }
