"""Bars of a histogram of anomaly scores, for the picture and for the page."""

import numpy as np


def bar_edges(scores, threshold):
    """Edges of about sixty bars of a histogram, none of which stands on both sides of a threshold.

    Args:
        scores: float array `(N,)`, N at least 1.
        threshold: The number above which an image is flagged; one of the edges.

    Returns:
        A tuple of the edges, an ascending float array, the first not above any score and the last
        not below any; and a bool, whether they are equally spaced on a logarithmic scale. They
        are where the scores differ tenfold and one gap would take a third of a linear scale.
        Where no score is negative, no edge is, but of a bar for scores on a threshold of 0.

    Example:
        >>> edges, logarithmic = bar_edges(np.array([1.0, 2.0, 100.0]), 50.0)
        >>> bool(edges[0] <= 1), bool(edges[-1] >= 100), 50.0 in edges, logarithmic
        (True, True, True, True)
    """
    points = np.sort(np.append(np.asarray(scores, np.float64), threshold))
    low, middle, high = points[0], threshold, points[-1]
    gap = np.diff(points).max()
    logarithmic = bool(low > 0 and high > 10 * low and gap > (high - low) / 3)
    if logarithmic:
        low, middle, high = np.log([low, middle, high])
    width = (high - low) / 60 or 1e-6
    below, above = (int(np.ceil(part / width)) + 1 for part in (middle - low, high - middle))
    edges = middle + width * np.arange(-below, above + 1)
    if logarithmic:
        edges = np.exp(edges)
    edges[below] = threshold  # to the bit, whatever was lost in rounding
    if points[0] >= 0 > edges[0] and threshold > 0:
        edges = np.append(0.0, edges[edges > 0])
    return edges, logarithmic


def bar_counts(scores, edges):
    """Count scores by the bar of a histogram that they are in.

    Args:
        scores: float array `(N,)`, from the first edge to the last.
        edges: float array `(bars + 1,)`, ascending. A score on an edge counts in the bar below it,
            as one on the threshold is not flagged; one on the first edge in the first bar.

    Returns:
        int array `(bars,)`.

    Example:
        >>> bar_counts(np.array([6.0, 2, 1]), np.array([0.0, 2, 4, 6])).tolist()
        [2, 0, 1]
    """
    places = np.searchsorted(edges, np.asarray(scores, np.float64)) - 1
    return np.bincount(np.maximum(places, 0), minlength=len(edges) - 1)


def bars(scores, edges, logarithmic, anomalous):
    """A histogram of the scores, and of the known anomalies among them.

    Args:
        scores: float array `(N,)`, N at least 1, above the first edge and up to the last.
        edges: float array `(bars + 1,)`, ascending. A score on an edge counts below it, as one
            on the threshold is not flagged.
        logarithmic: Whether the edges are equally spaced on a logarithmic scale.
        anomalous: bool array `(N,)`: the known anomalies.

    Example:
        >>> anomalous = np.array([True, False, False])
        >>> bars(np.array([6.0, 2, 1]), np.array([0.0, 2, 4, 6]), False, anomalous)["images"]
        [2, 0, 1]
    """
    images, anomalies = (
        bar_counts(chosen, edges).tolist() for chosen in (scores, scores[anomalous])
    )
    edges = np.asarray(edges).tolist()
    return {"edges": edges, "logarithmic": logarithmic, "images": images, "anomalies": anomalies}
