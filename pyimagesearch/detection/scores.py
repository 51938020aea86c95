"""The table of anomaly scores of pixels, each a function to a map and one from it to a number."""

from collections.abc import Callable
from dataclasses import dataclass

from pyimagesearch import InputError
from pyimagesearch.detection.anomaly_maps import (
    LocalDistanceFit,
    local_distance,
    local_shapes,
    maximum_of_map,
    mean_of_map,
    squared_error,
)
from pyimagesearch.detection.mahalanobis import CodeDistanceFit, code_distance, code_shapes
from pyimagesearch.detection.neighbors import KnnScoreFit, knn_score, knn_shapes


@dataclass(frozen=True)
class AnomalyScore:
    """A way to score images. The higher a score, the more anomalous the image.

    What a score knows about normal images is its *reference*, a dict of arrays by name.

    Attributes:
        anomaly_map: Function from images, reconstructions and the reference to anomaly maps
            `(N, H, W)`.
        pool: Function from anomaly maps, images, codes and the reference to scores `(N,)`.
        fit: Class of what learns the reference. An object of it takes in images, residuals and
            codes by `add`, batch by batch; then `reference` returns it. `None` where the score
            needs none.
        shapes: Function from the shape `(H, W, C)` of the images and the length of the codes to
            the shapes of the arrays of the reference, by name. A `None` in a shape is any size.
        needs_codes: Whether it needs the latent codes. If not, they are passed as `None`.
        fit_on_inliers: Whether the outliers that training has found are left out of what it is
            fitted to. If not, `fit` is robust to outliers.
    """

    anomaly_map: Callable
    pool: Callable
    fit: Callable | None = None
    shapes: Callable = lambda image_shape, code_length: {}
    needs_codes: bool = False
    fit_on_inliers: bool = False


# What --score calls it -> the score.
SCORES = {
    # The mean squared error of the reconstruction.
    "mse": AnomalyScore(squared_error, lambda maps, *_: mean_of_map(maps)),
    # A Mahalanobis distance of the residual at each pixel, as PaDiM takes of features.
    "local": AnomalyScore(
        local_distance,
        lambda maps, *_: maximum_of_map(maps),
        LocalDistanceFit,
        local_shapes,
        fit_on_inliers=True,
    ),
    # The Mahalanobis distance of the latent code.
    "code": AnomalyScore(
        squared_error, code_distance, CodeDistanceFit, code_shapes, needs_codes=True
    ),
    # The k-NN distance.
    "neighbours": AnomalyScore(squared_error, knn_score, KnnScoreFit, knn_shapes),
}


def check_score(score, known):
    """Refuse a score that a model has not."""
    if score not in known:
        raise InputError(
            f"expected a score of this model ({', '.join(known)}), received {score}: take one of "
            "these, or --score auto"
        )


# Arrays of a reference that are of another dtype than float32.
DTYPES = {"member_places": "uint8"}


def fits(arrays, shapes):
    """Whether arrays have exactly these names, dtypes and shapes, in which `None` is any number.

    A memory bank has at least one entry, among which the nearest is looked for.

    Example:
        >>> import numpy as np
        >>> fits({"bank": np.zeros((3, 2), np.float32)}, {"bank": (None, 2)})
        True
    """
    return arrays.keys() == shapes.keys() and all(
        len(arrays[name].shape) == len(shape)
        and arrays[name].dtype == DTYPES.get(name, "float32")
        and (name != "bank" or len(arrays[name]) > 0)
        and all(
            size in (None, found) for found, size in zip(arrays[name].shape, shape, strict=True)
        )
        for name, shape in shapes.items()
    )
