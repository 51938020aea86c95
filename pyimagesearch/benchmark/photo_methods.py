"""Methods that rank photographs: ours, and those that people would pick instead.

The baselines see the features of the same backbone that ours has, at 256 pixels: the maps of strides
4, 8 and 16, each a mean over 3x3 places, brought to one grid and stacked. Each judges images by a map
of places, smoothed over 4 pixels, of which the maximum is the score, or by the image as a whole. What
they learn from may hold anomalies; as they are published, they take no notice of that.
"""

import time

import numpy as np
import tensorflow as tf
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

from pyimagesearch.benchmark.photo_piles import open_images
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.detection import calibration
from pyimagesearch.detection.feature_scores import blur
from pyimagesearch.detection.trained_model import TrainedModel
from pyimagesearch.models import feature_autoencoder
from pyimagesearch.training.recipes import make_recipe, recommended_score
from pyimagesearch.training.train import train

# Of PaDiM: channels that are drawn, and the ridge. Of PatchCore: patches that are drawn before the
# greedy choice, patches in the memory bank, and dimensions of the random projection.
PADIM_CHANNELS, PADIM_RIDGE = 100, 0.01
PATCHCORE_DRAWN, PATCHCORE_BANK, PATCHCORE_DIMENSIONS = 30_000, 3000, 32
NEIGHBORS, TREES, EXPLAINED = 50, 200, 0.9
# Height and width at which networks of pixels see photographs, but where sizes are compared.
PIXEL_SIZE = 128


class Features:
    """The features of images: `patches` `(N, h, w, C)`, `means` `(N, C)`, `embedding` `(N, E)`."""

    def __init__(self, images, extractor):
        patches, embeddings, means = [], [], []
        run = tf.function(extractor)
        for _, batch in iterate_batches(images, np.arange(len(images)), 16):
            *maps, embedding = run(tf.constant(batch))
            grid = maps[0].shape[1:3]
            fine = [tf.nn.avg_pool2d(x, 3, 1, "SAME") for x in maps[1:3]]
            stacked = tf.concat([maps[0], *(tf.image.resize(x, grid) for x in fine)], -1)
            patches.append(stacked.numpy().astype(np.float16))
            means.append(tf.concat([tf.reduce_mean(x, (1, 2)) for x in maps], -1))
            embeddings.append(embedding)
        self.patches, self.means = np.concatenate(patches), np.concatenate(means)
        self.embedding = np.concatenate(embeddings)


def padim(train, test, seed):
    """A Gaussian of random channels at each place (Defard et al., 2021)."""
    n, height, width, channels = train.patches.shape
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(channels, min(PADIM_CHANNELS, channels), replace=False))

    def places(features):
        x = features.patches[..., chosen].astype(np.float32)
        return x.reshape(len(x), -1, len(chosen)).transpose(1, 2, 0)

    x = places(train)
    mean = x.mean(-1, keepdims=True)
    covariance = np.matmul(x - mean, (x - mean).transpose(0, 2, 1)) / max(n - 1, 1)
    inverse = np.linalg.inv(covariance + PADIM_RIDGE * np.eye(len(chosen), dtype=np.float32))
    residual = places(test) - mean
    squares = (residual * np.matmul(inverse, residual)).sum(1)
    return np.sqrt(np.maximum(squares, 0)).T.reshape(-1, height, width)


def patchcore(train, test, seed):
    """The distance to the nearest patch of a greedy coreset (Roth et al., 2022)."""
    channels = train.patches.shape[-1]
    rng = np.random.default_rng(seed)
    patches = train.patches.reshape(-1, channels)
    drawn = rng.permutation(len(patches))[:PATCHCORE_DRAWN]
    patches = patches[drawn].astype(np.float32)
    projected = patches @ rng.normal(size=(channels, PATCHCORE_DIMENSIONS)).astype(np.float32)
    gaps, chosen = np.full(len(patches), np.inf, np.float32), [0]
    while len(chosen) < min(PATCHCORE_BANK, len(patches)):
        gaps = np.minimum(gaps, np.square(projected - projected[chosen[-1]]).sum(1))
        chosen.append(int(gaps.argmax()))
    bank = patches[chosen]
    norms = np.square(bank).sum(1)
    maps = []
    for image in test.patches:
        x = image.reshape(-1, channels).astype(np.float32)
        squares = np.square(x).sum(1) + (norms - 2 * x @ bank.T).min(1)
        maps.append(np.sqrt(np.maximum(squares, 0)).reshape(image.shape[:2]))
    return np.stack(maps)


def linear(train, test, seed):
    """The residual of patches beyond the components that hold most of the variance."""
    channels = train.patches.shape[-1]
    mean, deviation = (
        of(train.patches.reshape(-1, channels)[::7].astype(np.float32), axis=0)
        for of in (np.mean, np.std)
    )
    rng = np.random.default_rng(seed)
    patches = train.patches.reshape(-1, channels)
    some = patches[rng.permutation(len(patches))[:50_000]].astype(np.float32)
    pca = PCA(EXPLAINED, svd_solver="full").fit((some - mean) / (deviation + 1e-3))
    maps = []
    for image in test.patches:
        x = (image.reshape(-1, channels).astype(np.float32) - mean) / (deviation + 1e-3)
        residual = x - pca.inverse_transform(pca.transform(x))
        maps.append(np.linalg.norm(residual, axis=1).reshape(image.shape[:2]))
    return np.stack(maps)


def knn(train, test, seed):
    """The mean cosine distance of the embedding to its nearest neighbors, but for itself."""
    bank, queries = (
        x.embedding / (np.linalg.norm(x.embedding, axis=1, keepdims=True) + 1e-9)
        for x in (train, test)
    )
    similar = queries @ bank.T
    if train is test:
        np.fill_diagonal(similar, -np.inf)
    k = min(NEIGHBORS, len(bank) - (train is test))
    return 1 - np.sort(similar, axis=1)[:, ::-1][:, :k].mean(1)


def isolation_forest(train, test, seed):
    """An isolation forest of the mean features (Liu, Ting and Zhou, 2008)."""
    forest = IsolationForest(n_estimators=TREES, random_state=seed).fit(train.means)
    return -forest.score_samples(test.means)


BASELINES = {
    "padim": padim,
    "patchcore": patchcore,
    "linear": linear,
    "knn": knn,
    "isolation-forest": isolation_forest,
}


def run_baseline(name, train_images, test_images, seed):
    """Fit a baseline and rank images: their scores, their maps or `None`, and seconds of both."""
    started = time.monotonic()
    model = feature_autoencoder.build(train_images.shape[1:])
    extractor = feature_autoencoder.extractor(model)
    train = test = Features(train_images, extractor)
    fitted = time.monotonic()
    if test_images is not None:
        test = Features(test_images, extractor)
    result = np.asarray(BASELINES[name](train, test, seed))
    if result.ndim == 1:
        scores, maps = result, None
    else:
        size = train_images.shape[1:3]
        maps = tf.image.resize(result[..., np.newaxis].astype(np.float32), size)[..., 0]
        maps = blur(maps, 4.0 * size[0] / 256).numpy()
        scores = maps.max((1, 2))
    return scores, maps, fitted - started, time.monotonic() - fitted


def run_ours(recipe, score, train_images, test_images, seed):
    """Train by a recipe and rank images: as `run_baseline`."""
    started = time.monotonic()
    result = train(train_images, recipe, seed=seed)
    _, references = calibration.calibrate(result, train_images, seed)
    reference = result.reference or references.get(score, {})
    fitted = time.monotonic()
    model = TrainedModel(result.autoencoder, score, {}, reference, None, {})
    images = train_images if test_images is None else test_images
    scores = model.score_images(images)
    seconds = time.monotonic() - fitted
    maps = None
    if test_images is not None:
        maps = model.reconstruct(images, np.arange(len(images))).maps
    return scores, maps, fitted - started, seconds


def run(method, pile):
    """Let a method rank a pile.

    Args:
        method: One of `photos.METHODS`.
        pile: A `photo_piles.Pile`, of which labels and masks are not looked at.

    Returns:
        A 4-tuple: scores, float array `(N,)`; anomaly maps `(N, H, W)`, or `None`; and the seconds
        of fitting and of scoring. The backbone's are part of them.
    """
    by_pixels = method.startswith("pixels")
    size = PIXEL_SIZE if by_pixels and pile.protocol != "e" else pile.size
    train_images = open_images(pile.train, size)
    test_images = None if pile.test is None else open_images(pile.test, size)
    if method in BASELINES:
        return run_baseline(method, train_images, test_images, pile.seed)
    if by_pixels:
        recipe = make_recipe("robust", batch_norm=method.endswith("batch norm"))
        # What each is best at: defects of things that stand still, or whole images.
        score = "local" if pile.protocol in ("a", "b", "e") else "mse"
        return run_ours(recipe, score, train_images, test_images, pile.seed)
    recipe = make_recipe("photos")
    return run_ours(recipe, recommended_score(recipe), train_images, test_images, pile.seed)
