"""Metrics of scores, flags and anomaly maps, given the true labels and masks.

This is the only module of detection that reads them.
"""

import cv2
import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from pyimagesearch import InputError


def evaluate(scores, flagged, labels):
    """Compare scores and flags with the labels.

    AUROC is the probability that an anomaly scores above a normal image (Fawcett, "An introduction
    to ROC analysis", 2006). Average precision is the mean of the precision at every anomaly down
    the ranking (Manning et al., "Introduction to Information Retrieval", 2008, ch. 8).

    Args:
        scores: float array `(N,)`; higher is more anomalous.
        flagged: bool array `(N,)`.
        labels: int array `(N,)`: 0 normal, 1 anomaly, -1 unknown. Unknown images are left out.

    Returns:
        `None` where every label is unknown, else a dict: `auroc`, `average_precision`,
        `precision_at_k` (k being the number of anomalies), `precision`, `recall`, `f1`,
        each in [0, 1] or `None` where it is not defined, and `n_anomalies`.

    Example:
        >>> scores = np.array([0.9, 0.8, 0.1, 0.2])
        >>> evaluate(scores, scores > 0.5, np.array([1, 0, 0, 0]))["precision"]
        0.5
    """
    labels = np.asarray(labels)
    known = labels >= 0
    if not known.any():
        return None
    scores, flagged, labels = np.asarray(scores)[known], np.asarray(flagged)[known], labels[known]
    k = int(labels.sum())
    both = 0 < k < len(labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, flagged, average="binary", zero_division=np.nan
    )
    return {
        "auroc": float(roc_auc_score(labels, scores)) if both else None,
        "average_precision": float(average_precision_score(labels, scores)) if k else None,
        "precision_at_k": precision_at_k(scores, labels, k) if k else None,
        "precision": none_if_nan(precision),
        "recall": none_if_nan(recall),
        "f1": none_if_nan(f1),
        "n_anomalies": k,
    }


def precision_at_k(scores, labels, k):
    """Share of anomalies among the `k` highest scores.

    Of equal scores around rank `k`, each counts by its probability to be among the first `k`, so
    that the order of the images does not matter.

    Args:
        scores: float array `(N,)`.
        labels: int array `(N,)` of 0 and 1.
        k: From 1 to N.

    Returns:
        A number in [0, 1].

    Example:
        >>> precision_at_k(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0]), k=2)
        0.75
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    last = np.sort(scores)[-k]
    above, tied = scores > last, scores == last
    hits = labels[above].sum() + (k - above.sum()) * labels[tied].mean()
    return float(hits / k)


def evaluate_maps(anomaly_maps, masks):
    """Compare anomaly maps with masks.

    Args:
        anomaly_maps: float array `(N, H, W)`; higher is more anomalous.
        masks: bool array `(N, H, W)`, true where the image is anomalous.

    Returns:
        A dict: `pixel_auroc` and `aupro`, each in [0, 1] or `None` where it is not defined.

    Raises:
        InputError: If the two differ in shape, or if the maps are not finite.

    Example:
        >>> masks = np.array([[[False, True], [False, False]]])
        >>> evaluate_maps(masks * 0.7, masks)
        {'pixel_auroc': 1.0, 'aupro': 1.0}
    """
    return {
        "pixel_auroc": pixel_auroc(anomaly_maps, masks),
        "aupro": aupro(anomaly_maps, masks),
    }


def pixel_auroc(anomaly_maps, masks):
    """The probability that an anomalous pixel has a higher value than a normal one.

    The pixels of all images are taken together, so that one large anomaly outweighs many small
    ones; `aupro` gives them equal weight (Bergmann et al., "MVTec AD", CVPR 2019).

    Args:
        anomaly_maps: float array `(N, H, W)`; higher is more anomalous.
        masks: bool array `(N, H, W)`, true where the image is anomalous.

    Returns:
        A number in [0, 1], 0.5 for random maps; `None` where all pixels are of one kind.

    Raises:
        InputError: If the two differ in shape, or if the maps are not finite.

    Example:
        >>> maps = np.array([[[0.1, 0.4], [0.3, 0.2]]])
        >>> pixel_auroc(maps, np.array([[[False, True], [False, True]]]))
        0.75
    """
    anomaly_maps, masks = check_maps(anomaly_maps, masks)
    if masks.all() or not masks.any():
        return None
    return float(roc_auc_score(masks.ravel(), anomaly_maps.ravel()))


def aupro(anomaly_maps, masks, limit=0.3):
    """Area under the per-region overlap, the share of each anomaly that the maps cover.

    At a threshold, the overlap is the share of an anomalous region that lies above it, averaged
    over the regions of all images. The false positive rate is the share of all normal pixels that
    lie above it. As the threshold falls, they draw a curve. The area under it, up to a limit of the
    rate, is divided by the limit. A region is a set of anomalous pixels that touch, corners
    included. A small one counts as much as a large one (Bergmann et al., "MVTec AD", CVPR 2019, and
    "The MVTec Anomaly Detection Dataset", International Journal of Computer Vision, 2021).

    Args:
        anomaly_maps: float array `(N, H, W)`; higher is more anomalous.
        masks: bool array `(N, H, W)`, true where the image is anomalous.
        limit: The false positive rate to stop at, above 0 and at most 1.

    Returns:
        A number in [0, 1]: 1 for perfect maps; half the limit for random and for constant maps,
        since the area under the diagonal is `limit**2 / 2`. `None` where there is no region or
        no normal pixel.

    Raises:
        InputError: If the limit is out of range, if the two arrays differ in shape, or if the
            maps are not finite.

    Example:
        >>> masks = np.array([[[False, True], [False, False]]])
        >>> round(aupro(np.zeros((1, 2, 2)), masks), 6)
        0.15
    """
    anomaly_maps, masks = check_maps(anomaly_maps, masks)
    if not 0 < limit <= 1:
        raise InputError(f"expected a limit of AUPRO above 0 and at most 1, received {limit}")
    if masks.all() or not masks.any():
        return None

    # As the threshold falls past a pixel, an anomalous one adds its share of its region to the
    # overlap, and a normal one its share of the normal pixels to the rate.
    falling = np.argsort(anomaly_maps, axis=None)[::-1]  # (N * H * W,)
    values = anomaly_maps.ravel()[falling]
    # The threshold passes equal values in one step, so that their order does not matter.
    last_of_equals = np.append(values[1:] != values[:-1], True)
    rate, overlap = (
        np.insert(np.cumsum(shares.ravel()[falling])[last_of_equals], 0, 0.0)
        for shares in (~masks, region_shares(masks))
    )
    # Divided by their last values, both end at 1 exactly, in spite of rounding.
    rate, overlap = rate / rate[-1], overlap / overlap[-1]

    # The curve up to the limit, where it is cut between two points.
    end = np.searchsorted(rate, limit)  # rate[end - 1] < limit <= rate[end]
    part = (limit - rate[end - 1]) / (rate[end] - rate[end - 1])
    at_limit = overlap[end - 1] + part * (overlap[end] - overlap[end - 1])
    area = np.trapezoid(np.append(overlap[:end], at_limit), np.append(rate[:end], limit))
    return float(min(area / limit, 1.0))  # rounding may carry a perfect map beyond 1


def region_shares(masks):
    """The share of each pixel in its region.

    Args:
        masks: bool array `(N, H, W)`.

    Returns:
        float64 array `(N, H, W)`: 1 / size of the region, and 0 outside. A region is a set of
        true pixels of one image that touch by an edge or a corner.

    Example:
        >>> region_shares(np.array([[[1, 0, 0, 1], [0, 1, 0, 1]]], bool)).tolist()
        [[[0.5, 0.0, 0.0, 0.5], [0.0, 0.5, 0.0, 0.5]]]
    """
    shares = np.zeros(masks.shape)
    for share, mask in zip(shares, masks, strict=True):
        if mask.any():
            _, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)  # (H, W)
            share[mask] = 1 / np.bincount(regions.ravel())[regions[mask]]
    return shares


def check_maps(anomaly_maps, masks):
    """Return both as arrays `(N, H, W)`, the masks of bool, and refuse what cannot be compared.

    Raises:
        InputError: If the two differ in shape, or if the maps are not finite.
    """
    anomaly_maps, masks = np.asarray(anomaly_maps), np.asarray(masks, bool)
    if anomaly_maps.ndim != 3 or anomaly_maps.shape != masks.shape:
        raise InputError(
            "expected anomaly maps and masks of one shape (N, H, W), received "
            f"{anomaly_maps.shape} and {masks.shape}: resize the masks to the maps"
        )
    if not np.isfinite(anomaly_maps).all():
        raise InputError(
            "expected anomaly maps of finite numbers, received some that are not: train again"
        )
    return anomaly_maps, masks


def none_if_nan(value):
    """The value as a float, or `None` for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)


def format_evaluation(evaluation):
    """One line for a person.

    Args:
        evaluation: What `evaluate` returns, with or without what `evaluate_maps` returns.

    Returns:
        The number of anomalies and each metric that is defined.

    Example:
        >>> format_evaluation({"auroc": 0.75, "n_anomalies": 2, "pixel_auroc": 0.9, "aupro": None})
        '2 anomalies, auroc 0.7500, pixel auroc 0.9000'
    """
    n = evaluation["n_anomalies"]
    if not n:
        return "there are no anomalies"
    figures = [
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in evaluation.items()
        if name != "n_anomalies" and value is not None
    ]
    return f"{n:,} {'anomaly' if n == 1 else 'anomalies'}, {', '.join(figures)}"
