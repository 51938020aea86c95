"""The table of anomaly scores."""

from collections.abc import Callable
from dataclasses import dataclass

from pyimagesearch.detection.anomaly_maps import (
    fit_local_distance,
    local_distance,
    local_shapes,
    maximum_of_map,
    mean_of_map,
    squared_error,
)
from pyimagesearch.detection.mahalanobis import code_distance, code_shapes, fit_code_distance
from pyimagesearch.detection.neighbors import embedding_length, fit_knn_score, knn_score


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
            name: (None, embedding_length(image)) for name in ("bank", "suspects")
        },
    ),
}
