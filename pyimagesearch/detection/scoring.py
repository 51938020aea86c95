"""Scoring images: batches pass through the network and the anomaly score."""

import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.detection import feature_scores
from pyimagesearch.detection.scores import SCORES, check_score, fits
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.models.feature_autoencoder import is_feature_autoencoder
from pyimagesearch.runtime.distribution import Cluster

# Images in a compiled batch, at least. A single row is multiplied in another order than several,
# with another rounding.
MIN_BATCH_SIZE = 8
# Images in a batch to be scored, and the numbers in these images, both at most. Large images go
# through in smaller batches, because several batches are in memory at once.
BATCH_SIZE, BATCH_SIZE_ON_GPU, MAX_BATCH_NUMBERS = 256, 2048, 2**22
# Pixels in a batch that a backbone sees, whose first layers take 200 bytes for each, at most.
MAX_BACKBONE_PIXELS, MAX_BACKBONE_PIXELS_ON_GPU = 2**19, 2**22


def score_images(
    autoencoder,
    images,
    score="mse",
    reference=None,
    order=None,
    *,
    batch_size=None,
    cluster=None,
    on_batch=None,
):
    """Score images by how badly an autoencoder reconstructs them.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `batches.iterate_batches`
            takes.
        score: A key of `scores.SCORES`.
        reference: What `fit_references` returned for that score, of that model.
        order: int array `(n,)`: indices of the images to score; all N unless given.
        batch_size: Images per call of the network. It changes speed and memory, not the scores.
        cluster: A `distribution.Cluster`, within the scope of which the network was built. Each of
            its processes scores a part of the images, and all return all scores. One device unless
            given.
        on_batch: Called after each batch as `on_batch(done)`, with the number of images scored
            so far by this process.

    Returns:
        float32 array `(n,)`, at least 0; the higher, the more anomalous.

    Raises:
        InputError: If the images are not of the shape that the model takes, if the score needs
            a reference and there is none, if the model gives scores that are not finite, or if a
            process of the cluster is lost.

    Example:
        >>> from pyimagesearch.convautoencoder import ConvAutoencoder
        >>> autoencoder = ConvAutoencoder.build(8, 8, 1, seed=0)[2]
        >>> score_images(autoencoder, np.zeros((3, 8, 8, 1), "float32")).shape
        (3,)
    """
    score_batch = make_scorer(autoencoder, score, reference)
    order = np.arange(len(images)) if order is None else np.asarray(order)
    scores = np.zeros(len(order), np.float32)
    return _fill_scores(
        scores, score_batch, autoencoder, images, order, batch_size, cluster, on_batch
    )


def score_images_jointly(autoencoder, images, references, order):
    """Score images by several scores, in one pass of the network.

    Args:
        autoencoder, images, order: As for `score_images`.
        references: Dict from keys of `scores.SCORES` to what `fit_references` returned for them.

    Returns:
        A dict of the scores `(n,)` by their names, each the same as of `score_images`.

    Raises:
        InputError: As `score_images` does.
    """
    score_batch = make_joint_scorer(autoencoder, references)
    scores = _fill_scores(
        np.zeros((len(order), len(references)), np.float32),
        lambda batch: [tf.stack(list(score_batch(batch)[-1].values()), axis=1)],
        autoencoder,
        images,
        order,
    )
    return dict(zip(references, scores.T, strict=True))


def _fill_scores(
    scores, score_batch, autoencoder, images, order, batch_size=None, cluster=None, on_batch=None
):
    """Fill in scores `(n,)` or `(n, S)` by what `make_scorer` returned, as `score_images` does."""
    image_shape = tuple(images.shape[1:])
    if image_shape != autoencoder.input_shape[1:]:
        raise InputError(
            f"the model takes images of shape {autoencoder.input_shape[1:]} and these are of shape "
            f"{image_shape}: take the images that belong to the model, or train anew"
        )
    cluster = cluster or Cluster()
    batch_size = batch_size or batch_size_for(autoencoder, cluster)
    scores_of = compile_scorer(score_batch, image_shape, batch_size, cluster)
    local_scores = scores[cluster.local_slice(len(order))]
    local_order = order[cluster.local_slice(len(order))]
    done = 0
    batches = (batch for _, batch in iterate_batches(images, local_order, batch_size))
    for batch_scores in map_on_threads(scores_of, batches, threads_for(cluster)):
        local_scores[done : done + len(batch_scores)] = batch_scores
        done += len(batch_scores)
        if on_batch is not None:
            on_batch(done)
    if not np.isfinite(scores).all():
        raise InputError("the model gives scores that are not finite: train it again")
    return cluster.all_reduce_sum(scores)


def score_names(of_features):
    """The names of the scores of networks of features, or of networks of pixels."""
    return tuple(feature_scores.NAMES if of_features else SCORES)


def has_gpu():
    """Whether TensorFlow sees a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def default_batch_size(image_shape, cluster):
    """Images of shape `(H, W, C)` to score at once in one process of a cluster."""
    fitting = MAX_BATCH_NUMBERS // math.prod(image_shape)
    per_device = min(fitting, BATCH_SIZE_ON_GPU if has_gpu() else BATCH_SIZE)
    return max(per_device, MIN_BATCH_SIZE) * cluster.devices // cluster.workers


def batch_size_for(model, cluster):
    """Images to run at once through a network of pixels, or through one that has a backbone."""
    height, width, _ = image_shape = model.input_shape[1:]
    if not any(layer.name == "backbone" for layer in model.layers):
        return default_batch_size(image_shape, cluster)
    pixels = MAX_BACKBONE_PIXELS_ON_GPU if has_gpu() else MAX_BACKBONE_PIXELS
    per_device = max(pixels // (height * width), MIN_BATCH_SIZE)
    return min(per_device, BATCH_SIZE) * cluster.devices // cluster.workers


def batch_size_for_maps(model):
    """Images to run at once where the maps are kept, and nothing is compiled."""
    return min(64, batch_size_for(model, Cluster()))


def threads_for(cluster):
    """Batches to score at once: one for each core, or a single one on a GPU or several devices.

    Several cores in one small batch would wait for each other at every layer.
    """
    return 1 if has_gpu() or cluster.devices > cluster.workers else os.cpu_count()


def compile_scorer(score_batch, image_shape, batch_size, cluster):
    """Compile what `make_scorer` returns, from at most `batch_size` images to scores alone.

    The function is compiled for one shape, to which smaller batches are padded. The error is taken
    inside it: no reconstruction leaves the device.
    """
    size = max(batch_size, MIN_BATCH_SIZE)
    spec = tf.TensorSpec((size, *image_shape), tf.float32)
    run = cluster.replicate(lambda batch: score_batch(batch)[-1], spec)

    def scores_of(batch):
        n = len(batch)
        if n < size:
            batch = np.pad(batch, [(0, size - n)] + [(0, 0)] * 3)
        return run(size * cluster.workers, batch)[:n]

    return scores_of


def map_on_threads(function, batches, n_threads):
    """Apply a function to batches, several at once, and yield the results in their order."""
    pending = deque()
    with ThreadPoolExecutor(n_threads) as pool:
        for batch in batches:
            pending.append(pool.submit(function, batch))
            # No more than are worked on and about to be: memory must not grow with the images.
            if len(pending) > 2 * n_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def make_scorer(autoencoder, score, reference):
    """Put a network and a score together.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        score: A key of `scores.SCORES`.
        reference: What `fit_references` returned for that score, of that model.

    Returns:
        A function from images, float tensor `(N, H, W, C)`, to a 4-tuple: what the network sees of
        them, a picture of features `(N, H, W, 3)`, or `None` in a network of pixels; their
        reconstructions, of the shape of the images or of that picture; their anomaly maps
        `(N, H, W)`; and their scores `(N,)`.

    Raises:
        InputError: If the score needs a reference or a code and there is none, or if the reference
            belongs to another model.
    """
    if is_feature_autoencoder(autoencoder):
        feature_scores.check_reference(reference, score, autoencoder)
        return feature_scores.make_scorer(autoencoder, score, reference)
    check_score(score, SCORES)
    score_jointly = make_joint_scorer(autoencoder, {score: reference})

    def score_batch(images):
        reconstructions, maps, scores = score_jointly(images)
        return None, reconstructions, maps[score], scores[score]

    return score_batch


def make_joint_scorer(autoencoder, references):
    """Put a network of pixels and several scores together.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        references: Dict from keys of `scores.SCORES` to what `fit_references` returned for them.

    Returns:
        A function from images, float tensor `(N, H, W, C)`, to a triple: their reconstructions
        `(N, H, W, C)`; and dicts by score of anomaly maps `(N, H, W)` and of scores `(N,)`.

    Raises:
        InputError: As `make_scorer` does.
    """
    network = Autoencoder(autoencoder)
    constants = {}
    for score, reference in references.items():
        check_reference(reference or {}, score, network)
        constants[score] = {name: tf.constant(x) for name, x in (reference or {}).items()}
    with_codes = any(SCORES[score].needs_codes for score in references)

    def score_batch(images):
        preprocessed, reconstructions, codes = network.forward(images, with_codes)
        maps, scores = {}, {}
        for score, known in constants.items():
            maps[score] = SCORES[score].anomaly_map(preprocessed, reconstructions, known)
            scores[score] = SCORES[score].pool(maps[score], preprocessed, codes, known)
        return reconstructions, maps, scores

    return score_batch


def check_reference(reference, score, network):
    """Refuse a reference that is missing, or that belongs to another `Autoencoder` or score."""
    anomaly_score = SCORES[score]
    if anomaly_score.fit is not None and not reference:
        raise InputError(
            f"the score {score} needs what training has learned about normal images, and there is "
            "none beside the model: train again, or take --score mse"
        )
    shapes = anomaly_score.shapes(network.image_shape, network.code_length)
    if not fits(reference, shapes):
        raise InputError(
            f"what lies beside the model for the score {score} does not fit it: train again, or "
            "take --score mse"
        )


class Reconstructions(NamedTuple):
    """Images and what a network makes of them, float32 arrays.

    Attributes:
        images: `(n, H, W, C)` in [0, 1].
        features: What a network of features sees of them, as a picture `(n, H, W, 3)` in [0, 1];
            `None` in a network of pixels.
        reconstructions: Of the images, `(n, H, W, C)`, or of that picture, in [0, 1].
        maps: The anomaly maps, `(n, H, W)`.
    """

    images: np.ndarray
    features: np.ndarray | None
    reconstructions: np.ndarray
    maps: np.ndarray

    def take(self, order):
        """Those of some of the images, int array `(n,)` of indices."""
        return Reconstructions(*(None if part is None else part[order] for part in self))


def reconstruct(autoencoder, images, order, score="mse", reference=None, batch_size=None):
    """Reconstruct some images, few enough to fit into memory.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `batches.iterate_batches` takes.
        order: int array `(n,)`, n at least 1: indices of the images.
        score: A key of `scores.SCORES`.
        reference: What `fit_references` returned for that score, of that model.
        batch_size: Images per call of the network.

    Returns:
        `Reconstructions`.

    Raises:
        InputError: As for `make_scorer`.
    """
    score_batch = make_scorer(autoencoder, score, reference)
    batch_size = batch_size or batch_size_for_maps(autoencoder)
    parts = []
    for _, batch in iterate_batches(images, order, batch_size):
        features, reconstructions, maps, _ = score_batch(batch)
        # Where contrast is normalized, they may lie a little outside.
        parts.append((batch, features, np.clip(reconstructions, 0, 1), maps.numpy()))
    return Reconstructions(
        *(
            None if arrays[0] is None else np.concatenate(arrays)
            for arrays in zip(*parts, strict=True)
        )
    )


def rank(scores):
    """Order images by score, the highest first; of equal scores, the lower index first.

    Args:
        scores: float array `(N,)`.

    Returns:
        int array `(N,)` of indices.

    Example:
        >>> rank(np.array([0.1, 0.9, 0.1, 0.5])).tolist()
        [1, 3, 0, 2]
    """
    return np.argsort(-np.asarray(scores), kind="stable")


def summarize(scores):
    """Describe scores by a few numbers, which are stored beside a model.

    Args:
        scores: float array `(N,)`.

    Returns:
        A dict with `n`, and for N at least 1 `mean`, `std`, `min`, `median`, `max` and `mad`, the
        median absolute deviation from the median.

    Example:
        >>> summarize(np.array([1.0, 3.0]))["std"]
        1.0
    """
    if not len(scores):
        return {"n": 0}
    scores = np.asarray(scores, np.float64)
    functions = {"mean": np.mean, "std": np.std, "min": np.min, "median": np.median, "max": np.max}
    summary = {name: float(of(scores)) for name, of in functions.items()}
    return {
        "n": len(scores),
        **summary,
        "mad": float(np.median(np.abs(scores - summary["median"]))),
    }
