"""What would somebody use who trains no network? The usual methods, to be compared with.

Each takes the images as they are and gives a score an image; a higher one is more anomalous. The
settings are one for all data: those that are usual, or that did best for the method in trials.
Those that leave suspects out are told the true share of anomalies, which nobody knows in earnest:
the comparison errs in their favour.
"""

import cv2
import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

# For every anomaly, the images that the trimmed methods leave out as suspects; and how often they
# judge anew which these are.
OUTLIER_SHARE = 2
ROUNDS = 4


def flat(images):
    """`(N, H, W, C)` to `(N, H W C)`."""
    return images.reshape(len(images), -1)


def trim_repeatedly(learnt, judged, contamination, score):
    """Score again and again by what remains of the learnt images without their worst.

    (The reweighting of the minimum covariance determinant: Rousseeuw and van Driessen, "A fast
    algorithm for the minimum covariance determinant estimator", Technometrics 1999.)

    Args:
        learnt: float array `(N, F)`.
        judged: float array `(M, F)`; `None`: the learnt ones themselves.
        contamination: Share of anomalies among the learnt.
        score: Function from the indices of those to learn from and from rows to be judged (`None`:
            all the learnt ones) to scores.

    Returns:
        float array of scores of the judged.
    """
    kept = np.arange(len(learnt))
    n_suspects = round(OUTLIER_SHARE * contamination * len(learnt))
    for _ in range(ROUNDS if n_suspects else 0):
        kept = np.argsort(score(kept, None), kind="stable")[: len(learnt) - n_suspects]
    return score(kept, judged)


def mean_distance(learnt, kept, judged, neighbours, metric="euclidean"):
    """Mean distance to the nearest of the kept learnt rows, of which no row is its own.

    Args:
        learnt: float array `(N, F)`.
        kept: int array of the indices of rows that count as neighbours.
        judged: float array `(M, F)`; `None`: the learnt rows.
        neighbours: How many.
        metric: As scikit-learn names it.
    """
    index = NearestNeighbors(algorithm="brute", metric=metric).fit(learnt[kept])
    neighbours = min(neighbours, len(kept) - 1)
    if judged is not None:
        return index.kneighbors(judged, neighbours)[0].mean(axis=1)
    distances, found = index.kneighbors(learnt, neighbours + 1)
    own = kept[found] == np.arange(len(learnt))[:, np.newaxis]
    # Whoever isn't among their own neighbours has one too many: the farthest.
    own[~own.any(axis=1), -1] = True
    return distances[~own].reshape(len(learnt), neighbours).mean(axis=1)


def pca(learnt, judged, seed, contamination=None, components=16):
    """Squared error of what some principal components make of an image."""
    learnt = flat(learnt)
    judged = learnt if judged is None else flat(judged)
    components = min(components, *learnt.shape)
    fitted = PCA(components, svd_solver="randomized", random_state=seed).fit(learnt)
    restored = fitted.inverse_transform(fitted.transform(judged))
    return np.mean(np.square(judged - restored), axis=1)


def pca_4(learnt, judged, seed, contamination=None):
    """The same with four components, which suit images that look much alike."""
    return pca(learnt, judged, seed, components=4)


def isolation_forest(learnt, judged, seed, contamination=None):
    """Liu, Ting and Zhou, "Isolation forest", ICDM 2008."""
    forest = IsolationForest(n_estimators=200, random_state=seed).fit(flat(learnt))
    return -forest.score_samples(flat(learnt if judged is None else judged))


def one_class_svm(learnt, judged, seed, contamination=None):
    """Schölkopf et al., "Estimating the support of a high-dimensional distribution", 2001."""
    machine = make_pipeline(StandardScaler(with_std=False), OneClassSVM(nu=0.05, gamma="scale"))
    machine.fit(flat(learnt))
    return -machine.score_samples(flat(learnt if judged is None else judged))


def nearest_neighbors(learnt, judged, seed, contamination=None):
    """Mean distance to the 100 nearest: Ramaswamy, Rastogi and Shim, SIGMOD 2000, averaged."""
    everything = np.arange(len(learnt))
    return mean_distance(
        flat(learnt), everything, None if judged is None else flat(judged), neighbours=100
    )


def trimmed_neighbors(learnt, judged, seed, contamination):
    """Mean distance to the 10 nearest, suspects left out, strokes of any thickness made alike."""

    def prepared(images):
        rows = flat(images)
        energy = np.sum(np.square(rows), axis=1, keepdims=True)
        return rows / np.maximum(energy, 1e-12) ** 0.25

    rows = prepared(learnt)
    return trim_repeatedly(
        rows,
        None if judged is None else prepared(judged),
        contamination,
        lambda kept, others: mean_distance(rows, kept, others, neighbours=10),
    )


def trimmed_cosine_neighbors(learnt, judged, seed, contamination):
    """Mean cosine distance to the 100 nearest, images slightly blurred, suspects left out."""

    def prepared(images):
        blurred = [cv2.GaussianBlur(image, (0, 0), 1) for image in images]
        return np.reshape(blurred, (len(images), -1))

    rows = prepared(learnt)
    return trim_repeatedly(
        rows,
        None if judged is None else prepared(judged),
        contamination,
        lambda kept, others: mean_distance(rows, kept, others, 100, metric="cosine"),
    )


def trimmed_probabilistic_pca(learnt, judged, seed, contamination):
    """Negative log-likelihood of a probabilistic PCA, suspects left out.

    (Tipping and Bishop, "Probabilistic principal component analysis", 1999.)
    """
    rows = flat(learnt)

    def score(kept, others):
        components = min(32, len(kept) - 1, rows.shape[1] - 1)
        fitted = PCA(components, svd_solver="randomized", random_state=seed).fit(rows[kept])
        return -fitted.score_samples(rows if others is None else others)

    return trim_repeatedly(rows, None if judged is None else flat(judged), contamination, score)


# Name -> function from the learnt images, float32 `(N, H, W, C)` in [0, 1], the images to be
# judged (`None`: the learnt ones themselves), a seed and the true share of anomalies among the
# learnt to scores, float `(N,)`.
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
