"""Features of a few images, and what training makes of them, once more: plainly, in NumPy."""

import cv2
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from pyimagesearch.runtime.distribution import Cluster

SHAPES = [(4, 6, 2), (4, 6, 3), (2, 3, 4), (1, 2, 5)]


class FewFeatures:
    """What training uses of an `ImageFeatures`, of 30 images, without a backbone.

    Two hidden numbers of each image show in all stages. At every place is another mean.
    """

    n, shapes, cluster = 30, SHAPES, Cluster()

    def __init__(self):
        rng = np.random.default_rng(2)
        hidden = rng.normal(size=(self.n, 2))
        self.maps = []
        for h, w, c in SHAPES:
            means, slopes = rng.normal(size=(h, w, c)), rng.normal(size=(2, h, w, c))
            noise = rng.normal(size=(self.n, h, w, c)) @ rng.normal(size=(c, c))
            x = means + 0.7 * np.tensordot(hidden, slopes, 1) + 0.5 * noise
            x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
            self.maps.append(x.astype(np.float32))
        self.maps[0][7, 3, 4] += 9  # one place of one image
        self.embedding = rng.normal(size=(self.n, 20)).astype(np.float32)
        self.embedding[:9] += 2
        self.quality = rng.normal(size=(self.n, 7)).astype(np.float32)
        self.quality[21] += 12
        self.scale = [(rng.normal(size=(c + 1, c)), rng.normal(size=c)) for *_, c in SHAPES]
        self.means = np.concatenate([x.mean((1, 2)) for x in self.maps[2:]], 1)

    def batches(self):
        for some in (np.arange(11), np.arange(11, self.n)):
            yield some, [tf.constant(x[some]) for x in self.maps]

    def gather(self, function, shape, chosen=None):
        found = np.asarray(function([tf.constant(x) for x in self.maps]))
        return found if chosen is None else found[chosen]


def codes_of(features, kept, length):
    """Principal components of the last stage, of variance 1 over the images that are kept."""
    volumes = features.maps[-1].reshape(features.n, -1).astype(float)
    centered = volumes - volumes[kept].mean(0)
    _, singular, rows = np.linalg.svd(centered[kept], full_matrices=False)
    return centered @ rows[:length].T / singular[:length] * np.sqrt(kept.sum())


def leverage_by_hand(regressors, kept):
    used = regressors[kept]
    hat = regressors @ np.linalg.inv(used.T @ used) @ regressors.T
    return np.where(kept, np.diag(hat), 0)


def places_by_hand(counted, kept):
    """Of each stage, whether a place of an image counts: more than half of its finer places do."""
    fine = counted * kept[:, None, None]
    half = fine.reshape(-1, 2, 2, 3, 2).mean((2, 4)) > 0.5
    # Of six places, windows of four take three each: one lies beyond either edge.
    fourth = fine.reshape(-1, 1, 4, 2, 3).mean((2, 4)) > 0.5
    return [x.reshape(len(fine), -1).astype(float) for x in (fine, fine, half, fourth)]


class Stage:
    """Regression and covariances of one stage, at each place over what counts there."""

    def __init__(self, maps, regressors, weights):
        n, h, w, c = maps.shape
        self.x, self.weights, self.regressors = maps.reshape(n, h * w, c), weights, regressors
        self.residuals = np.empty(self.x.shape)
        self.squares = np.empty((h * w, c, c))
        for place in range(h * w):
            counts = weights[:, place] > 0
            x = self.x[:, place].astype(float)
            slopes = np.linalg.lstsq(regressors[counts], x[counts], rcond=None)[0]
            self.residuals[:, place] = r = x - regressors @ slopes
            self.squares[place] = r[counts].T @ r[counts]
        patches = self.x[weights > 0].astype(float)
        self.pooled = self.squares.sum(0) / weights.sum()
        self.ridge = 0.01 * np.cov(patches.T, bias=True) + 1e-4 * np.eye(c)

    def inverses(self, share):
        others = self.weights.sum(0) - 1
        covariances = (1 - share) * self.squares / others[:, None, None]
        return np.linalg.inv(covariances + share * self.pooled + self.ridge)

    def distances(self, share, leverage):
        """Squared Mahalanobis distances, of images that count without themselves: `(n, P)`."""
        inverses, others = self.inverses(share), self.weights.sum(0) - 1
        grown = 1 / (1 - leverage[:, None] * self.weights)
        # Of each place, how far what each of the image's places has added reaches: (n, P, Q).
        seen = np.einsum("npc,pcd->npd", self.residuals, inverses)
        reach = np.einsum("npc,nqc->npq", seen, self.residuals) ** 2
        squares = np.einsum("npc,npc->np", seen, self.residuals)
        own = share / self.weights.sum() * (reach * (self.weights * grown)[:, None]).sum(-1)
        taken = (1 - share) / others * squares * self.weights * grown + own / (squares + 1e-6)
        return squares * grown**2 / np.maximum(1 - taken, 1e-3)

    def likelihood(self, share, places, leverage):
        """The log-likelihood of each image that counts under the others, place by place."""
        total = 0
        for place in places:
            counts = np.flatnonzero(self.weights[:, place])
            for image in counts:
                # Left out of the regression, and of the covariance.
                gap = self.residuals[image, place] / (1 - leverage[image])
                squares = self.squares[place] - np.outer(gap, self.residuals[image, place])
                covariance = (1 - share) * squares / (len(counts) - 1)
                covariance = covariance + share * self.pooled + self.ridge
                total -= 0.5 * gap @ np.linalg.solve(covariance, gap)
                total -= 0.5 * np.linalg.slogdet(covariance)[1]
        return total


def logs_by_hand(stages, shares, leverage):
    """Logarithms of smoothed distances on the finest grid: all stages together, and each."""
    maps = []
    for stage, share, (h, w, _) in zip(stages, shares, SHAPES, strict=True):
        squares = stage.distances(share, leverage).reshape(-1, h, w)
        maps.append(np.stack([cv2.resize(x, (6, 4)) for x in squares]))
    blurred = [
        gaussian_filter(x, (0, deviation, deviation), mode="reflect", radius=(0, radius, radius))
        for x, deviation, radius in [(sum(maps), 0.7, 3), *((x, 0.5, 2) for x in maps)]
    ]
    return np.log(np.stack(blurred, 1) + 1)


def robust(values):
    center = np.median(values, axis=0)
    return center, 1.4826 * np.median(np.abs(values - center), axis=0)


def smooth(maps):
    sigma = (0,) * (maps.ndim - 2) + (2, 2)
    return gaussian_filter(maps, sigma, mode="reflect", truncate=3)


def vector_logs_by_hand(vectors, kept, shares):
    """Logarithms of Mahalanobis distances of vectors, shrunk to the diagonal by the likeliest share."""
    used = vectors[kept].astype(float)
    mean, deviation = used.mean(0), used.std(0) + 1e-3
    x, used = (vectors - mean) / deviation, (used - mean) / deviation
    n, width = used.shape
    target = np.diag(np.diag(used.T @ used)) / n
    best = None
    for share in shares:
        fixed = share * target + 0.01 * np.eye(width)
        likelihood, squares = 0, []
        for image in range(len(vectors)):
            others = x[kept & (np.arange(len(x)) != image)]
            r = others - others.mean(0)
            # Divided alike whether one is left out or not.
            covariance = (1 - share) * r.T @ r / (n - 1) + fixed
            gap = x[image] - others.mean(0)
            squares.append(gap @ np.linalg.solve(covariance, gap))
            if kept[image]:
                likelihood -= 0.5 * (squares[-1] + np.linalg.slogdet(covariance)[1])
        if best is None or likelihood > best[0]:
            best = likelihood, np.log(np.array(squares) + 1e-6)
    return best[1]


def neighbor_logs_by_hand(embedding, bank):
    """Logarithms of the mean cosine distance to the nearest half of the bank, without itself."""
    roots = np.sign(embedding) * np.sqrt(np.abs(embedding))
    roots = (roots / np.linalg.norm(roots, axis=1, keepdims=True)).astype(float)
    logs = []
    for image, root in enumerate(roots):
        similar = np.sort([root @ roots[other] for other in bank if other != image])
        logs.append(np.log(1 - similar[-min(50, len(bank) // 2) :].mean()))
    return np.array(logs)


def combined_by_hand(z, explained):
    local, whole, neighbors, quality = z.T
    weak = (explained * local + (1 - explained) * neighbors) / np.hypot(explained, 1 - explained)
    strong = sum(np.maximum(x - 3, 0) for x in (local, whole, neighbors))
    return np.log1p(np.exp(weak + 4 * strong + 8 * np.maximum(quality - 2.5, 0)))
