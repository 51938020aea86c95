"""How odd is each image, and where?"""

import math
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError, latent, neighbourhood
from pyimagesearch.architectures import Autoencoder
from pyimagesearch.distribution import Cluster
from pyimagesearch.streams import iterate_batches


def squared_error(images, reconstructions, reference=None):
    """Squared error at each pixel, averaged over the channels.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The like.
        reference: Not used: the error speaks for itself.

    Returns:
        Error maps: float tensor `(N, H, W)` in [0, 1].
    """
    return tf.reduce_mean(tf.square(images - reconstructions), axis=-1)


# Standard deviations, in pixels, of the blurs through which `local_distance` sees a residual.
BLURS = (0, 1, 2, 4)


def multiscale_residuals(residuals):
    """A residual as it is and through some blurs, side by side: `(N, H, W, C)` to `(…, F)`."""
    return tf.concat([gaussian_blur(residuals, deviation) for deviation in BLURS], axis=-1)


def gaussian_blur(images, deviation):
    """Blur with a Gaussian; beyond its edge an image goes on as its last row or column.

    Args:
        images: float tensor `(N, H, W, C)`.
        deviation: Standard deviation in pixels; 0 changes nothing.
    """
    for axis in (1, 2) if deviation else ():
        radius = int(3 * deviation + 0.5)  # 99.7 % of the weight
        offsets = np.arange(-radius, radius + 1)
        weights = np.exp(-(offsets**2) / (2 * deviation**2))
        weights = (weights / weights.sum()).astype(np.float32)
        size = images.shape[axis]
        places = np.clip(np.arange(size)[:, None] + offsets, 0, size - 1)  # (size, 2 radius + 1)
        # One row of the matrix says which pixels a pixel is made of.
        matrix = np.zeros((size, size), np.float32)
        np.add.at(matrix, (np.arange(size)[:, None], places), weights)
        equation = "ij,njwc->niwc" if axis == 1 else "ij,nhjc->nhic"
        images = tf.einsum(equation, matrix, images)
    return images


def local_distance(images, reconstructions, reference):
    """How unusual the residual is at each pixel, given the residuals that are usual there.

    The residual, with its sign, in all channels and through several blurs, is a vector at each
    pixel. Its squared Mahalanobis distance from what the reference images have at that pixel is
    smoothed; the root of that is the map. The Gaussian for each place is that of PaDiM (Defard et
    al., "PaDiM: a patch distribution modeling framework for anomaly detection and localization",
    2021), here over the residuals of an autoencoder instead of the features of a pretrained network.

    Args:
        images: float tensor or array `(N, H, W, C)` in [0, 1].
        reconstructions: The like.
        reference: What `fit_local_distance` returned.

    Returns:
        Anomaly maps: float tensor `(N, H, W)`, at least 0; about 1, or less, where nothing is
        unusual.
    """
    away = multiscale_residuals(images - reconstructions) - reference["mean"]  # (N, H, W, F)
    distances = tf.einsum("nhwf,hwfg,nhwg->nhw", away, reference["precision"], away)
    smooth = gaussian_blur(distances[..., tf.newaxis], SMOOTHING)[..., 0]
    # The mean over the features, so that 1 is usual whatever their number; rounding may have
    # gone below 0.
    return tf.sqrt(tf.maximum(smooth, 0) / reference["mean"].shape[-1])


# Pixels by which `local_distance` smooths its maps.
SMOOTHING = 3
# Variance that is added everywhere: a pixel that never changes in the reference images must not
# make an anomaly of the smallest change. (0.3 % of the pixels' range, squared.)
RIDGE = 1e-5


def fit_local_distance(seen):
    """Learn which residuals are usual at each pixel.

    Args:
        seen: Iterable of triples of images, residuals and codes, as `fit_reference` makes them;
            only the residuals are looked at.

    Returns:
        A dict of float32 arrays: `mean` `(H, W, F)` and `precision` `(H, W, F, F)`.
    """
    n, total, squares = 0, 0.0, 0.0
    for _, batch, _ in seen:
        vectors = multiscale_residuals(tf.constant(batch, tf.float32)).numpy().astype(np.float64)
        n += len(vectors)
        total = total + vectors.sum(axis=0)  # (H, W, F)
        squares = squares + np.einsum("nhwf,nhwg->hwfg", vectors, vectors, optimize=True)
    mean = total / n
    covariance = squares / n - np.einsum("hwf,hwg->hwfg", mean, mean)
    covariance += RIDGE * np.eye(mean.shape[-1])
    return {
        "mean": mean.astype(np.float32),
        "precision": np.linalg.inv(covariance).astype(np.float32),
    }


def fit_code_distance(seen):
    """Learn which codes are usual, with which sizes and in which company.

    Who has usual codes and sizes is found first, then which distances from these are usual too: see
    `latent.fit_robust_mahalanobis` and `neighbourhood.multiscale_knn_distances`.

    Args:
        seen: Iterable of triples of images, residuals and codes, as `fit_reference` makes them.

    Returns:
        A dict of float32 arrays: `bank` `(M, K + 2)`, usual codes with their sizes; `mean` `(L,)`
        and `precision` `(L, L)` of codes with sizes and company.
    """
    vectors = []
    for images, residuals, codes in seen:
        errors = tf.reduce_mean(tf.square(residuals), axis=(1, 2, 3))
        vectors.append(latent.append_energy_and_error(codes, images, errors).numpy())
    vectors = np.concatenate(vectors)
    suspicion = latent.squared_distance(vectors, **latent.fit_robust_mahalanobis(vectors)).numpy()
    usual, _ = latent.split_inliers(suspicion)
    bank = neighbourhood.evenly_spaced(vectors[np.sort(usual)])
    company = neighbourhood.in_chunks(neighbourhood.multiscale_knn_distances, vectors, bank)
    return {
        "bank": bank,
        **latent.fit_robust_mahalanobis(np.concatenate([vectors, company], axis=1), suspicion),
    }


def code_distance(maps, images, codes, reference):
    """How unlikely a code is, with how much is to be drawn, how much is left out, and its company.

    The squared Mahalanobis distance of all these from the usual ones, longer towards suspects: see
    `latent.relative_mahalanobis`. (Without company, from usual ones alone, for a linear network, and with the
    error in place of its logarithm: probabilistic principal component analysis, Tipping and Bishop,
    1999.)
    """
    vectors = latent.append_energy_and_error(codes, images, mean_of_map(maps))
    company = neighbourhood.multiscale_knn_distances(vectors, reference["bank"])
    vectors = tf.concat([vectors, company], axis=1)
    return latent.squared_distance(vectors, reference["mean"], reference["precision"])


def fit_knn_score(seen):
    """Keep some of the images to compare others with, as points: see `neighbourhood.fit_memory_bank`.

    Args:
        seen: Iterable of triples of images, residuals and codes, as `fit_reference` makes them.

    Returns:
        A dict with `bank`, float32 array `(M, F)`, and `suspects`, `(S, F)`; empty if there are
        too few images.
    """
    points, errors = [], []
    for images, residuals, _ in seen:
        points.append(neighbourhood.embed(images).numpy())
        squares = tf.reduce_mean(tf.square(residuals), axis=(1, 2, 3))
        errors.append(neighbourhood.relative_error(squares, images).numpy())
    return neighbourhood.fit_memory_bank(np.concatenate(points), np.concatenate(errors))


def knn_score(maps, images, codes, reference):
    """Error by what there is to be drawn, and how far an image is from usual ones.

    An image that is odd in one of the two alone, a usual one drawn badly or a rare one drawn well,
    stays behind those that are odd in both. Their product has a third factor, in
    `neighbourhood.relative_knn_distance`: how much farther it is from usual ones than from suspects; of the three,
    this is the geometric mean.
    """
    oddity = neighbourhood.relative_knn_distance(neighbourhood.embed(images), **reference)
    return tf.pow(neighbourhood.relative_error(mean_of_map(maps), images) * oddity, 1 / 3)


def mean_of_map(maps):
    """Mean over the pixels: every pixel counts."""
    return tf.reduce_mean(maps, axis=(1, 2))


def maximum_of_map(maps):
    """The highest value: one odd place is enough."""
    return tf.reduce_max(maps, axis=(1, 2))


@dataclass(frozen=True)
class AnomalyScore:
    """A way to score images.

    Attributes:
        maps: Function from images, reconstructions and a reference to maps `(N, H, W)`.
        pool: Function from maps, images, codes and a reference to one score an image, `(N,)`.
        fit: Function from an iterable of triples of images, residuals and codes to the reference,
            or `None` where the score needs none.
        shapes: Function from the `(H, W, C)` of images and the length of codes to the shapes of
            the arrays of the reference, by name; `None` stands for any size.
        of_codes: Whether it needs codes; they are `None` for a score that doesn't.
        of_trusted: Whether it learns from images that training trusted alone; else it judges itself.
    """

    maps: Callable
    pool: Callable
    fit: Callable | None = None
    shapes: Callable = lambda image, code: {}
    needs_codes: bool = False
    fit_on_inliers: bool = False


def local_shapes(image, code):
    """Shapes of what `fit_local_distance` returns."""
    n = len(BLURS) * image[2]
    return {"mean": (*image[:2], n), "precision": (*image[:2], n, n)}


def code_shapes(image, code):
    """Shapes of what `fit_code_distance` returns."""
    n_vector = None if code is None else code + 2
    n = None if code is None else n_vector + len(neighbourhood.SCALES)
    return {"bank": (None, n_vector), "mean": (n,), "precision": (n, n)}


SCORES = {
    "mse": AnomalyScore(squared_error, lambda maps, *_: mean_of_map(maps)),
    "local": AnomalyScore(
        local_distance,
        lambda maps, *_: maximum_of_map(maps),
        fit_local_distance,
        local_shapes,
        fit_on_inliers=True,
    ),
    "code": AnomalyScore(
        squared_error, code_distance, fit_code_distance, code_shapes, needs_codes=True
    ),
    "neighbours": AnomalyScore(
        squared_error,
        knn_score,
        fit_knn_score,
        lambda image, code: {
            name: (None, neighbourhood.embedding_length(image)) for name in ("bank", "suspects")
        },
    ),
}


def forward_fn(network, needs_codes=False):
    """Make the forward pass of an autoencoder.

    Args:
        network: An `architectures.Autoencoder`.
        needs_codes: Whether the code is asked for.

    Returns:
        A function from images to a triple: the preprocessed images `(N, H, W, C)`, their
        reconstructions of that shape, and their codes `(N, K)` or `None`.
    """

    def forward(images):
        preprocessed = network.preprocess(images)
        if needs_codes:
            return preprocessed, *network.reconstruct_with_codes(preprocessed)
        return preprocessed, network.model(images, training=False), None

    return forward


def fit_reference(autoencoder, images, order, score, batch_size=256):
    """Learn what a score needs to know about normal images.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `streams.iterate_batches` takes.
        order: int array: which of the images to learn from, at least one.
        score: A key of `SCORES`.
        batch_size: Images per call of the network.

    Returns:
        A dict of arrays, empty where the score needs no reference.
    """
    chosen = SCORES[score]
    if chosen.fit is None:
        return {}
    steps = forward_fn(Autoencoder(autoencoder), chosen.needs_codes)

    @tf.function(reduce_retracing=True)
    def look(batch):
        seen, given, codes = steps(batch)
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
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `streams.iterate_batches` takes.
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
    steps = forward_fn(network, chosen.needs_codes)
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
        seen, given, codes = steps(images)
        maps = chosen.maps(seen, given, constants)
        return given, maps, chosen.pool(maps, seen, codes, constants)

    return judged


def reconstruct(autoencoder, images, order, score="mse", reference=None, batch_size=64):
    """Reconstruct some images, to look at: all of these fit into memory.

    Args:
        autoencoder: Keras model from `(N, H, W, C)` to the same.
        images: Anything that `streams.iterate_batches` takes.
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
