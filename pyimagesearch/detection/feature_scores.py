"""Anomaly scores of images by their features: at each place, of the whole image, and together.

Every part takes the same form: a quantity of the image, its logarithm, and how many robust standard
deviations that lies above the median of the training images. A training image is judged by the
others alone, see `detection.gaussians`; it is recognized by its embedding.
"""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.detection import gaussians
from pyimagesearch.detection.image_quality import N_NUMBERS, sharpness_and_exposure
from pyimagesearch.detection.scores import check_score, fits
from pyimagesearch.models.backbone import STRIDES
from pyimagesearch.models.feature_autoencoder import Outputs, network_size

# The scores, and the kinds of evidence that they are made of, in the order of the reference.
EVIDENCE = ("local", "global", "neighbours", "quality")
NAMES = ("combined", *EVIDENCE, "mse")
RECOMMENDED = "combined"
# What the reference is called, which all these scores share.
REFERENCE = "features"
# Share of the places whose mean is the score `local`: a defect takes more than one place.
TOP_SHARE = 0.01
# Nearest neighbors that count, at most; no more than half of the memory bank.
NEIGHBORS = 50
# Standard deviations of the Gaussians that smooth distances, in places: all stages together, and
# each alone for the maps. And that of a map, in 256ths of the height of an image.
JOINT_BLUR, STAGE_BLUR, MAP_BLUR = 0.7, 0.5, 2.0
# What is added to a squared distance, which is about the number of channels where nothing is odd. In
# the white corner of every picture of a bottle it is nearly 0, and by how much would be chance.
LEAST_DISTANCE = 1.0
# Deviations from which on one kind of evidence is enough, its weight beyond; the same for quality.
STRONG, STRONG_WEIGHT, STRONG_QUALITY, QUALITY_WEIGHT = 3.0, 4.0, 2.5, 8.0
# Images that a reference is fitted to, at most.
MAX_MEMBERS = 10_000
# Numbers by which a training image is recognized, and the relative difference that rounding makes.
SKETCH, SKETCH_TOLERANCE = 16, 2e-3


class Membership(NamedTuple):
    """Of a batch of images, what the reference was fitted to: 1, else 0.

    Attributes:
        places: float32 tensor `(B, h, w)`: whether the place counts, at the finest grid.
        image: float32 tensor `(B,)`: whether the image counts.
        leverage: float32 tensor `(B,)`: of the image in the regression on the latent code.
        in_bank: float32 tensor `(B,)`: whether its embedding is in the memory bank.
    """

    places: tf.Tensor
    image: tf.Tensor
    leverage: tf.Tensor
    in_bank: tf.Tensor


def shapes(model):
    """The shapes of the arrays of a reference, by name; a `None` is any number.

    Args:
        model: A model of `feature_autoencoder.build`.
    """
    stages = [tuple(output.shape[1:]) for output in model.outputs[: len(STRIDES)]]
    embedding = model.outputs[-1].shape[-1]
    height, width, _ = stages[0]
    found = {}
    for stride, (h, w, c) in zip(STRIDES, stages, strict=True):
        found |= {f"whitening_{stride}": (h * w, c, c), f"influence_{stride}": (h * w,)}
        found |= {f"pooled_influence_{stride}": (1,)}
    for name, size in (("global", stages[2][2] + stages[3][2]), ("quality", N_NUMBERS)):
        found |= {f"mean_{name}": (size,), f"whitening_{name}": (1, size, size)}
        found |= {f"influence_{name}": (1,), f"pooled_influence_{name}": (1,)}
    return found | {
        "place_mean": (1 + len(STRIDES), height, width),
        "place_deviation": (1 + len(STRIDES), height, width),
        "evidence_median": (len(EVIDENCE),),
        "evidence_deviation": (len(EVIDENCE),),
        "explained": (1,),
        "bank": (None, embedding),
        "sketch_projection": (embedding, SKETCH),
        "member_sketch": (None, SKETCH),
        "member_places": (None, height, width),
        "member_leverage": (None,),
        "member_in_bank": (None,),
        "colors": (stages[1][2], 3),
        "colors_offset": (3,),
    }


def max_bytes(model):
    """Bytes of the arrays of a reference of a model, at most."""
    sizes = (math.prod(size or MAX_MEMBERS for size in shape) for shape in shapes(model).values())
    return 4 * sum(sizes)


def check_reference(reference, score, model):
    """Refuse a score that there is not, and a reference that is missing or of another model."""
    check_score(score, NAMES)
    members = {len(reference[name]) for name in reference or () if name.startswith("member_")}
    if not reference or not fits(reference, shapes(model)) or len(members) != 1 or 0 in members:
        raise InputError(
            "expected beside the model what training has learned about its images, found none that "
            "fits it: train again"
        )


def find_members(embedding, reference):
    """Recognize training images by their embedding, float32 tensor `(B, E)`: a `Membership`."""
    sketch = tf.matmul(embedding, reference["sketch_projection"])
    members = reference["member_sketch"]
    gaps = tf.reduce_sum(tf.square(sketch[:, tf.newaxis] - members), -1)
    nearest = tf.argmin(gaps, 1, output_type=tf.int32)
    limit = SKETCH_TOLERANCE**2 * tf.reduce_sum(tf.square(sketch), -1)
    image = tf.cast(tf.reduce_min(gaps, 1) <= limit, tf.float32)

    def take(name):
        return tf.cast(tf.gather(reference[name], nearest), tf.float32)

    return Membership(
        take("member_places") * image[:, tf.newaxis, tf.newaxis],
        image,
        take("member_leverage") * image,
        take("member_in_bank") * image,
    )


def places_of_stage(places, grid):
    """The places of a coarser stage that count: those more than half of whose finer places do.

    Args:
        places: float32 tensor `(B, h, w)`.
        grid: Height and width of the stage, `(h, w)` or a half or a fourth of it.
    """
    factor = round(places.shape[1] / grid[0])
    if factor == 1:
        return places
    shares = tf.nn.avg_pool2d(places[..., tf.newaxis], factor, factor, "SAME")
    return tf.cast(shares[..., 0] > 0.5, tf.float32)


def log_distances(residuals, reference, membership):
    """Logarithms of the squared distances at each place, smoothed.

    Args:
        residuals: Four float32 tensors `(B, h, w, C)`.
        reference: The arrays of `shapes`.
        membership: A `Membership`.

    Returns:
        float32 tensor `(B, 5, h, w)` on the finest grid: of all stages together, and of each.
    """
    grid = residuals[0].shape[1:3]
    maps = []
    for stride, residual in zip(STRIDES, residuals, strict=True):
        _, height, width, channels = residual.shape
        places = places_of_stage(membership.places, (height, width))
        squares = gaussians.distances(
            tf.reshape(residual, (-1, height * width, channels)),
            gaussians.of(reference, str(stride)),
            membership.leverage,
            tf.reshape(places, (-1, height * width)),
        )
        squares = tf.reshape(squares, (-1, height, width, 1))
        maps.append(tf.image.resize(squares, grid)[..., 0])
    blurred = [blur(sum(maps), JOINT_BLUR), *(blur(x, STAGE_BLUR) for x in maps)]
    return tf.math.log(tf.stack(blurred, 1) + LEAST_DISTANCE)


def blur(maps, deviation):
    """Smooth maps, float32 tensor `(B, h, w)`, by a Gaussian of a standard deviation in places."""
    height, width = (smoothing(size, deviation) for size in maps.shape[1:])
    return tf.matmul(tf.matmul(height, maps), width, transpose_b=True)


def smoothing(size, deviation):
    """What smooths a column of some places, mirrored at its ends: float32 array `(size, size)`."""
    radius = math.ceil(3 * deviation)
    taps = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / deviation))
    # An index is mirrored more than once where the map is smaller than the kernel.
    index = (np.arange(size)[:, np.newaxis] + np.arange(-radius, radius + 1)) % (2 * size)
    index = np.where(index < size, index, 2 * size - 1 - index)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, np.newaxis], index), taps / taps.sum())
    return matrix.astype(np.float32)


def enlarging(size, places):
    """What enlarges a column of places bilinearly: float32 array `(size, places)`."""
    at = np.clip((np.arange(size) + 0.5) * places / size - 0.5, 0, places - 1)
    return np.maximum(1 - np.abs(at[:, np.newaxis] - np.arange(places)), 0).astype(np.float32)


def standardize_places(logs, reference):
    """By how many deviations each place is more unusual than it is in training images.

    Args:
        logs: What `log_distances` returns.
        reference: The arrays of `shapes`.

    Returns:
        Two float32 tensors `(B, h, w)`: by the distances of all stages together, which the score
        `local` is made of; and the sum of those of each stage, which shows finer where it is.
    """
    z = (logs - reference["place_mean"]) / reference["place_deviation"]
    return z[:, 0], tf.reduce_sum(z[:, 1:], 1)


def local_evidence(places):
    """The mean of the most unusual places, `TOP_SHARE` of them: `(B, h, w)` to `(B,)`."""
    flat = tf.reshape(places, (-1, places.shape[1] * places.shape[2]))
    top, _ = tf.math.top_k(flat, max(1, round(TOP_SHARE * flat.shape[1])))
    return tf.reduce_mean(top, 1)


def image_evidence(places, means, quality, embedding, reference, members, in_bank):
    """All evidence that there is of images: float32 tensor `(B, 4)` in the order of `EVIDENCE`.

    Args:
        places: The first of what `standardize_places` returns.
        means: What `mean_features` returns.
        quality: What `sharpness_and_exposure` returns.
        embedding: float32 tensor `(B, E)`, as the backbone has it.
        reference: The arrays of `shapes`, but for `evidence_median` and `evidence_deviation`.
        members, in_bank: `image` and `in_bank` of a `Membership`.
    """
    evidence = (
        local_evidence(places),
        vector_evidence(means, reference, "global", members),
        neighbor_evidence(directions(embedding), reference["bank"], in_bank),
        vector_evidence(quality, reference, "quality", members),
    )
    return tf.stack(evidence, 1)


def vector_evidence(vectors, reference, name, members):
    """The logarithm of the squared Mahalanobis distance of vectors, `(B, C)` to `(B,)`.

    Args:
        vectors: float32 tensor `(B, C)`.
        reference: The arrays of `shapes`.
        name: `global` or `quality`: by which Gaussian.
        members: float32 tensor `(B,)`: 1 for those it was fitted to, else 0.
    """
    count = float(reference["member_sketch"].shape[0])
    squares = gaussians.distances(
        (vectors - reference[f"mean_{name}"])[:, tf.newaxis],
        gaussians.of(reference, name),
        members / count,  # its leverage, with the mean alone
        members[:, tf.newaxis],
    )
    return tf.math.log(squares[:, 0] + 1e-6)


def neighbor_evidence(embedding, bank, in_bank):
    """The logarithm of the mean cosine distance to the nearest neighbors, but for itself.

    Args:
        embedding: float32 tensor `(B, E)`, as `directions` returns it.
        bank: float32 tensor `(M, E)`, likewise.
        in_bank: float32 tensor `(B,)`: 1 where the image itself is in the bank, else 0.

    Returns:
        float32 tensor `(B,)`.
    """
    size = bank.shape[0]
    k = max(1, min(NEIGHBORS, size // 2))
    similar, _ = tf.math.top_k(tf.matmul(embedding, bank, transpose_b=True), min(k + 1, size))
    itself = similar[:, 0] * in_bank + similar[:, -1] * (1 - in_bank) * float(k < size)
    total = tf.reduce_sum(similar, 1) - itself
    return tf.math.log(tf.maximum(1 - total / max(1, similar.shape[1] - 1), 1e-6))


def directions(embedding):
    """The signed square roots of embeddings `(B, E)`, of length 1.

    Roots keep a few strong numbers from deciding alone (Arandjelovic and Zisserman, "Three things
    everyone should know to improve object retrieval", 2012).
    """
    return tf.math.l2_normalize(tf.sign(embedding) * tf.sqrt(tf.abs(embedding)), axis=-1)


def mean_features(features):
    """The features of the two late stages, each the mean over all places: `(B, C)`."""
    return tf.concat([tf.reduce_mean(x, (1, 2)) for x in features[2:]], -1)


def robust_z(evidence, reference):
    """Robust deviations of the evidence, `(B, 4)` in the order of `EVIDENCE`, from the usual."""
    return (evidence - reference["evidence_median"]) / reference["evidence_deviation"]


def scores_of(z, errors, explained):
    """All scores, a dict of float32 tensors `(B,)` at least 0, by their names.

    Where things stand where they always stand, an unusual place says most; where they don't, the
    nearest neighbors do. The share of the variance that the autoencoder explains tells which is the
    case. Strong evidence of any kind is enough alone. Quality counts only where it is extreme: most
    photos that are a little dark are usual.

    Args:
        z: What `robust_z` returns.
        errors: float32 tensor `(B,)`: mean squared errors of the reconstruction.
        explained: That share, in [0, 1].
    """
    local, whole, neighbors, quality = (z[:, i] for i in range(len(EVIDENCE)))
    weak = explained * local + (1 - explained) * neighbors
    strong = sum(tf.nn.relu(x - STRONG) for x in (local, whole, neighbors))
    combined = (
        weak / tf.sqrt(tf.square(explained) + tf.square(1 - explained))
        + STRONG_WEIGHT * strong
        + QUALITY_WEIGHT * tf.nn.relu(quality - STRONG_QUALITY)
    )
    by_name = dict(zip(EVIDENCE, (local, whole, neighbors, quality), strict=True))
    return {
        RECOMMENDED: _softplus(combined),
        **{name: _softplus(x) for name, x in by_name.items()},
        "mse": errors,
    }


def _softplus(x):
    """`log(1 + exp(x))`, which keeps the order and what stands out, and is never negative."""
    # TensorFlow's own becomes infinite for large x in LiteRT, and ONNX has no `log1p`.
    return tf.nn.relu(x) + tf.math.log(1 + tf.exp(-tf.abs(x)))


def mean_squared_error(residuals):
    """Mean squares of the residuals of the four stages, each stage counting alike: `(B,)`."""
    return sum(tf.reduce_mean(tf.square(x), (1, 2, 3)) for x in residuals) / len(residuals)


def color_picture(features, reference, size):
    """Features of the second stage as a picture: their first three principal components as colors.

    Args:
        features: float32 tensor `(B, h, w, C)`.
        reference: The arrays of `shapes`.
        size: Height and width of the picture.

    Returns:
        float32 tensor `(B, H, W, 3)` in [0, 1].
    """
    colors = tf.tensordot(features, reference["colors"], 1) + reference["colors_offset"]
    return tf.clip_by_value(tf.image.resize(colors, size), 0, 1)


def image_maps(places, size):
    """Anomaly maps of the size of the images, `(B, H, W)`, of those of places, `(B, h, w)`."""
    height, width = (
        smoothing(side, MAP_BLUR * size[0] / 256) @ enlarging(side, of)
        for side, of in zip(size, places.shape[1:], strict=True)
    )
    return tf.matmul(tf.matmul(height, places), width, transpose_b=True)


def make_scorer(model, score, reference):
    """Put a model of `feature_autoencoder.build` and a score together.

    Args:
        model: The Keras model.
        score: One of `NAMES`.
        reference: The arrays of `shapes`, float32 but for `member_places`, which is uint8.

    Returns:
        A function from images, float32 tensor `(B, H, W, C)`, to a 4-tuple: a picture of the
        features that the network sees, and one of their reconstruction, float32 `(B, H, W, 3)` in
        [0, 1]; their anomaly maps `(B, H, W)`, in deviations from the usual; and scores `(B,)`.
    """
    constants = {name: tf.constant(array) for name, array in reference.items()}
    size = model.input_shape[1:3]

    def score_batch(images):
        features, decoded, embedding = Outputs.of(model, images)
        membership = find_members(embedding, constants)
        residuals = [x - y for x, y in zip(features, decoded, strict=True)]
        places, fine = standardize_places(
            log_distances(residuals, constants, membership), constants
        )
        seen = tf.image.resize(images, network_size(size))
        evidence = image_evidence(
            places,
            mean_features(features),
            sharpness_and_exposure(seen),
            embedding,
            constants,
            membership.image,
            membership.in_bank,
        )
        z, errors = robust_z(evidence, constants), mean_squared_error(residuals)
        scores = scores_of(z, errors, constants["explained"])[score]
        maps = image_maps(fine, size)
        pictures = (color_picture(x[1], constants, size) for x in (features, decoded))
        return (*pictures, maps, scores)

    return score_batch
