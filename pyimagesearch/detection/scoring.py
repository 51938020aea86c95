"""How odd is each image, and where?"""

import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.detection.scores import SCORES
from pyimagesearch.models.architectures import Autoencoder
from pyimagesearch.runtime.distribution import Cluster


def fit_reference(autoencoder, images, order, score, batch_size=256):
    """Learn what a score needs to know about normal images.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `batches.iterate_batches` takes.
        order: int array: which of the images to learn from, at least one.
        score: A key of `SCORES`.
        batch_size: Images per call of the network.

    Returns:
        A dict of arrays, empty where the score needs no reference.
    """
    chosen = SCORES[score]
    if chosen.fit is None:
        return {}
    network = Autoencoder(autoencoder)

    @tf.function(reduce_retracing=True)
    def look(batch):
        seen, given, codes = network.forward(batch, chosen.needs_codes)
        return seen, seen - given, tf.zeros(()) if codes is None else codes

    return chosen.fit(
        look(tf.constant(batch)) for _, batch in iterate_batches(images, order, batch_size)
    )


# Images that go through a network at once, at least.
MIN_ROWS = 8


# Images in a batch to be scored, and the numbers that these hold, both at the most: large images go
# through in smaller batches, because several batches are in memory at once.
BATCH_SIZE, BATCH_SIZE_OF_GPU, MAX_BATCH_NUMBERS = 256, 2048, 2**22


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

    Several batches are under way at once, one for each core: several threads in one small batch
    would wait for each other at every layer.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `batches.iterate_batches` takes.
        score: A key of `SCORES`.
        reference: What `fit_reference` returned for that score and model.
        order: int array `(n,)`: which images to score; all N unless given.
        batch_size: Images per call of the network. It changes speed and memory, not the scores.
        cluster: A `distribution.Cluster`, within the scope of whose strategy the network was built: each
            of its processes scores a part of the images, and all know all the scores in the end.
            The one device unless given.
        on_batch: Called after each batch as `on_batch(done)`, with the number of images scored
            so far, of those that are this process's part.

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
    if tuple(images.shape[1:]) != autoencoder.input_shape[1:]:
        raise InputError(
            f"the model takes images of shape {autoencoder.input_shape[1:]} and these are of shape "
            f"{tuple(images.shape[1:])}: take the images that belong to the model, or train anew"
        )
    cluster = cluster or Cluster()
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    if batch_size is None:
        fitting = MAX_BATCH_NUMBERS // math.prod(images.shape[1:])
        batch_size = min(fitting, BATCH_SIZE_OF_GPU if on_gpu else BATCH_SIZE)
        batch_size = max(batch_size, MIN_ROWS) * cluster.devices // cluster.workers
    judged = make_scorer(autoencoder, score, reference)

    # A single row is multiplied in another order, with another rounding.
    rows = max(batch_size, MIN_ROWS)

    # The error is taken inside the compiled function: no reconstruction leaves it.
    def score_batch(batch):
        return judged(batch)[-1]

    shape = tf.TensorSpec((rows, *images.shape[1:]), tf.float32)
    score_batch = cluster.replicate(score_batch, shape)

    order = np.arange(len(images)) if order is None else np.asarray(order)
    scores = np.zeros(len(order), np.float32)
    own = cluster.local_slice(len(order))
    under_way, done = deque(), 0

    def take(place, scored):
        nonlocal done
        scores[own][place] = scored.result()[: place.stop - place.start]
        done = place.stop
        if on_batch is not None:
            on_batch(done)

    # A GPU, or a cluster of devices, takes one batch after the other.
    threads = 1 if on_gpu or cluster.devices > cluster.workers else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        place = slice(0, 0)
        for indices, batch in iterate_batches(images, order[own], batch_size):
            place = slice(place.stop, place.stop + len(indices))
            # Every batch has the same shape, so that the function is compiled once.
            if len(batch) < rows:
                batch = np.pad(batch, [(0, rows - len(batch))] + [(0, 0)] * 3)
            under_way.append((place, pool.submit(score_batch, rows * cluster.workers, batch)))
            # No more than are worked on and about to be: memory is not to grow with the images.
            if len(under_way) > 2 * threads:
                take(*under_way.popleft())
        while under_way:
            take(*under_way.popleft())
    if not np.isfinite(scores).all():
        raise InputError("the model gives scores that are no numbers: train it again")
    return cluster.all_reduce_sum(scores)


def make_scorer(autoencoder, score, reference):
    """The whole way of an image through a network and a score.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        score: A key of `SCORES`.
        reference: What `fit_reference` returned for that score and model.

    Returns:
        A function from images, float tensor `(N, H, W, C)`, to their reconstructions of that
        shape, their maps `(N, H, W)` and their scores `(N,)`.

    Raises:
        InputError: If the score needs a reference or a code and there is none.
    """
    chosen = SCORES[score]
    network = Autoencoder(autoencoder)
    reference = reference or {}
    shapes = chosen.shapes(network.image_shape, network.code_length)
    if chosen.fit is not None and not reference:
        raise InputError(
            f"the score {score} needs what training has learnt about normal images and there is "
            "none beside the model: train again, or take --score mse"
        )
    fits = reference.keys() == shapes.keys() and all(
        len(reference[name].shape) == len(shape)
        and all(
            size in (None, found) for found, size in zip(reference[name].shape, shape, strict=True)
        )
        for name, shape in shapes.items()
    )
    if not fits:
        # What lies beside a model may belong to another.
        raise InputError(
            f"what is beside the model for the score {score} does not fit it: train again, or take "
            "--score mse"
        )
    constants = {name: tf.constant(array) for name, array in reference.items()}

    def judged(images):
        seen, given, codes = network.forward(images, chosen.needs_codes)
        maps = chosen.maps(seen, given, constants)
        return given, maps, chosen.pool(maps, seen, codes, constants)

    return judged


def reconstruct(autoencoder, images, order, score="mse", reference=None, batch_size=64):
    """Reconstruct some images, to look at: all of these fit into memory.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `batches.iterate_batches` takes.
        order: int array `(n,)`: which images, at least one.
        score: A key of `SCORES`.
        reference: What `fit_reference` returned for that score and model.
        batch_size: Images per call of the network.

    Returns:
        A tuple of the images and the reconstructions, both float32 `(n, H, W, C)` in [0, 1], and
        the anomaly maps, float32 `(n, H, W)`.
    """
    judged = make_scorer(autoencoder, score, reference)
    originals, reconstructions, maps = [], [], []
    for _, batch in iterate_batches(images, order, batch_size):
        given, some_maps, _ = judged(batch)
        originals.append(batch)
        # Those of images of evened contrast may go a little beyond.
        reconstructions.append(np.clip(given, 0, 1))
        maps.append(some_maps.numpy())
    return tuple(map(np.concatenate, (originals, reconstructions, maps)))


def rank(scores):
    """Order of the images, highest score first; of equal scores, the lower index first.

    Example:
        >>> rank(np.array([0.1, 0.9, 0.1, 0.5])).tolist()
        [1, 3, 0, 2]
    """
    return np.argsort(-np.asarray(scores), kind="stable")


def summarize(scores):
    """Describe scores in a few numbers, to be kept beside a model.

    Args:
        scores: float array `(N,)`.

    Returns:
        A dict with `n`, and for N at least 1 `mean`, `std`, `min`, `median` and `max`.

    Example:
        >>> summarize(np.array([1.0, 3.0]))["std"]
        1.0
    """
    if not len(scores):
        return {"n": 0}
    scores = np.asarray(scores, np.float64)
    functions = {"mean": np.mean, "std": np.std, "min": np.min, "median": np.median, "max": np.max}
    return {"n": len(scores), **{name: float(of(scores)) for name, of in functions.items()}}
