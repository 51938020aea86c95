"""Baselines: the usual outlier detectors, which train no network.

Each takes the images as they are and returns a score for each; a higher score is more anomalous.
The settings are the same for all data: the usual ones, or those that did best for the method in
trials. The trimmed methods are given the true share of anomalies, which is unknown in practice: the
comparison errs in their favor.
"""

import cv2
import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

# The images that the trimmed methods leave out, for every anomaly that there is, and how often they
# choose anew which these are.
TRIMMED_PER_ANOMALY = 2
ROUNDS = 4


def flatten(images):
    """`(N, H, W, C)` to `(N, H * W * C)`; `None` stays `None`."""
    return None if images is None else images.reshape(len(images), -1)


def trim_repeatedly(train, test, contamination, score_fn):
    """Score by a model of the train rows without their highest scores, refitted a few times.

    (The reweighting of the minimum covariance determinant: Rousseeuw and van Driessen, "A fast
    algorithm for the minimum covariance determinant estimator", Technometrics 1999.)

    Args:
        train: float array `(N, F)`.
        test: float array `(M, F)`; `None`: the train rows themselves.
        contamination: Share of anomalies among the train rows, in [0, 1).
        score_fn: Function `(kept, rows)` that fits a model to the train rows at the int array of
            indices `kept`, and returns the scores of `rows`; `None`: of all train rows.

    Returns:
        float array `(M,)`, the scores of the test rows.
    """
    kept = np.arange(len(train))
    n_trimmed = round(TRIMMED_PER_ANOMALY * contamination * len(train))
    for _ in range(ROUNDS if n_trimmed else 0):
        kept = np.argsort(score_fn(kept, None), kind="stable")[: len(train) - n_trimmed]
    return score_fn(kept, test)


def mean_distance(train, kept, test, n_neighbors, metric="euclidean"):
    """Mean distance to the nearest of the kept train rows; no row is a neighbor of itself.

    Args:
        train: float array `(N, F)`.
        kept: int array of the indices of the train rows that count as neighbors.
        test: float array `(M, F)`; `None`: the train rows themselves.
        n_neighbors: How many neighbors.
        metric: A name of scikit-learn's.

    Returns:
        float array `(M,)`.
    """
    index = NearestNeighbors(algorithm="brute", metric=metric).fit(train[kept])
    n_neighbors = min(n_neighbors, len(kept) - 1)
    if test is not None:
        return index.kneighbors(test, n_neighbors)[0].mean(axis=1)
    distances, found = index.kneighbors(train, n_neighbors + 1)  # two (N, n_neighbors + 1)
    is_itself = kept[found] == np.arange(len(train))[:, np.newaxis]
    # A row that isn't among its own neighbors has one neighbor too many: the farthest.
    is_itself[~is_itself.any(axis=1), -1] = True
    return distances[~is_itself].reshape(len(train), n_neighbors).mean(axis=1)


def pca(train, test, seed, contamination=None, n_components=16):
    """Squared error of the reconstruction by some principal components."""
    train = flatten(train)
    test = train if test is None else flatten(test)
    n_components = min(n_components, *train.shape)
    fitted = PCA(n_components, svd_solver="randomized", random_state=seed).fit(train)
    restored = fitted.inverse_transform(fitted.transform(test))
    return np.mean(np.square(test - restored), axis=1)


def pca_4(train, test, seed, contamination=None):
    """The same with four components, which suit images that look much alike."""
    return pca(train, test, seed, n_components=4)


def isolation_forest(train, test, seed, contamination=None):
    """Liu, Ting and Zhou, "Isolation forest", ICDM 2008."""
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(flatten(train))
    return -forest.score_samples(flatten(train if test is None else test))


def one_class_svm(train, test, seed, contamination=None):
    """Schölkopf et al., "Estimating the support of a high-dimensional distribution", 2001."""
    machine = make_pipeline(StandardScaler(with_std=False), OneClassSVM(nu=0.05, gamma="scale"))
    machine.fit(flatten(train))
    return -machine.score_samples(flatten(train if test is None else test))


def nearest_neighbors(train, test, seed, contamination=None):
    """Mean distance to the 100 nearest: Ramaswamy, Rastogi and Shim, SIGMOD 2000, averaged."""
    return mean_distance(flatten(train), np.arange(len(train)), flatten(test), n_neighbors=100)


def trimmed_neighbors(train, test, seed, contamination):
    """Mean distance to the 10 nearest, trimmed; strokes of any thickness are scaled alike."""

    def preprocess(images):
        rows = flatten(images)
        energy = np.sum(np.square(rows), axis=1, keepdims=True)
        return rows / np.maximum(energy, 1e-12) ** 0.25

    rows = preprocess(train)
    return trim_repeatedly(
        rows,
        None if test is None else preprocess(test),
        contamination,
        lambda kept, others: mean_distance(rows, kept, others, n_neighbors=10),
    )


def trimmed_cosine_neighbors(train, test, seed, contamination):
    """Mean cosine distance to the 100 nearest of slightly blurred images, trimmed."""

    def preprocess(images):
        blurred = [cv2.GaussianBlur(image, (0, 0), 1) for image in images]
        return np.reshape(blurred, (len(images), -1))

    rows = preprocess(train)
    return trim_repeatedly(
        rows,
        None if test is None else preprocess(test),
        contamination,
        lambda kept, others: mean_distance(rows, kept, others, 100, metric="cosine"),
    )


def trimmed_probabilistic_pca(train, test, seed, contamination):
    """Negative log-likelihood of a probabilistic PCA, trimmed.

    (Tipping and Bishop, "Probabilistic principal component analysis", 1999.)
    """
    rows = flatten(train)

    def score(kept, others):
        n_components = min(32, len(kept) - 1, rows.shape[1] - 1)
        fitted = PCA(n_components, svd_solver="randomized", random_state=seed).fit(rows[kept])
        return -fitted.score_samples(rows if others is None else others)

    return trim_repeatedly(rows, flatten(test), contamination, score)


# Name -> function `(train, test, seed, contamination)` to float scores `(M,)`: train images, float32
# `(N, H, W, C)` in [0, 1]; test images `(M, H, W, C)`, or `None` for the train images themselves; a
# seed; and the true share of anomalies among the train images.
BASELINES = {
    "pca-4": pca_4,
    "pca-16": pca,
    "isolation-forest": isolation_forest,
    "one-class-svm": one_class_svm,
    "knn": nearest_neighbors,
    "knn-trimmed": trimmed_neighbors,
    "knn-cosine-trimmed": trimmed_cosine_neighbors,
    "ppca-trimmed": trimmed_probabilistic_pca,
}
