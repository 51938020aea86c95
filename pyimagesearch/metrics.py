"""Were we right? The only module that reads the hidden labels."""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)


def evaluate(scores, flagged, labels):
    """Compare scores and flags with the truth.

    AUROC is the chance that an anomaly scores above a normal image; average precision sums up
    the precision at every anomaly down the ranking (both: Fawcett, "An introduction to ROC
    analysis", 2006; Manning et al., "Introduction to Information Retrieval", 2008, ch. 8).

    Args:
        scores: float array `(N,)`; higher is more anomalous.
        flagged: bool array `(N,)`.
        labels: int array `(N,)`: 0 normal, 1 anomaly, -1 unknown. Unknown images are left out.

    Returns:
        `None` where every label is unknown, else a dict: `auroc`, `average_precision`,
        `precision_at_k` (k being the number of true anomalies), `precision`, `recall`, `f1`,
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
    auroc = average_precision = at_k = None
    if k:
        average_precision = float(average_precision_score(labels, scores))
        at_k = precision_at_k(scores, labels, k)
        if k < len(labels):
            auroc = float(roc_auc_score(labels, scores))
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, flagged, average="binary", zero_division=np.nan
    )
    return {
        "auroc": auroc,
        "average_precision": average_precision,
        "precision_at_k": at_k,
        "precision": defined(precision),
        "recall": defined(recall),
        "f1": defined(f1),
        "n_anomalies": k,
    }


def precision_at_k(scores, labels, k):
    """Share of true anomalies among the `k` highest scores.

    Where equal scores straddle rank `k`, each of them counts by its chance to be among the
    first `k`, so that the result does not depend on the order of the images.

    Args:
        scores: float array `(N,)`.
        labels: int array `(N,)` of 0 and 1.
        k: From 1 to N.

    Example:
        >>> precision_at_k(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0]), k=2)
        0.75
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    last = np.sort(scores)[-k]
    above, tied = scores > last, scores == last
    hits = labels[above].sum() + (k - above.sum()) * labels[tied].mean()
    return float(hits / k)


def defined(value):
    """The value as a float, or `None` for NaN, which JSON cannot say."""
    return None if np.isnan(value) else float(value)


def in_words(verdict):
    """What `evaluate` returns, as one line."""
    if not verdict["n_anomalies"]:
        return "there are no anomalies"
    figures = [
        f"{name.replace('_', ' ')} {value:.4f}"
        for name, value in verdict.items()
        if name != "n_anomalies" and value is not None
    ]
    return f"{verdict['n_anomalies']:,} anomalies, {', '.join(figures)}"
