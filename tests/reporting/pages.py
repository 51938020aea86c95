"""Reports to test."""

import numpy as np

from pyimagesearch.data import datasets
from pyimagesearch.detection import thresholds
from pyimagesearch.reporting import results
from pyimagesearch.reporting.html_report import html_report

HOSTILE_NAMES = [
    "<script>window.hurt = 1</script>.png",
    "</script><script>window.hurt = 1</script>",
    "<img src=x onerror='window.hurt = 1'>",
    "\"quotes\" and 'quotes' & &lt;entities&gt;",
    "two\nlines\tand a tab",
    "größe/日本/😀.png",
    "line\u2028and\u2029paragraph",
    "right-to-left \u202egnp.exe",
    "undecodable \udcff byte",
    "<!--<script>",
    "javascript:window.hurt = 1",
    "${1 + 1} `__proto__` REPORT_DATA PROGRAM_DIGEST",
]


def page(scores, threshold=None, names=None, labels=None, evaluation=None, data=None, **more):
    """A page of scores, the highest first. `data` are more fields of its dataset."""
    scores = np.asarray(scores, np.float32)
    n = len(scores)
    threshold = float(np.quantile(scores, 0.9)) if threshold is None else threshold
    names = [f"image {i}" for i in range(n)] if names is None else names
    labels = np.full(n, -1) if labels is None else np.asarray(labels)
    detection = results.Detection(
        dataset=datasets.Dataset(names=names, labels=labels, **{"images": None} | (data or {})),
        score="mse",
        scores=scores,
        ranking=np.arange(n),
        seconds=1.0,
        rule="quantile 0.9",
        threshold=threshold,
        flagged=thresholds.flag(scores, threshold),
        evaluation=evaluation,
    )
    return html_report(detection, **more)


def pictured(n, side=8, seed=0):
    """Three pictures for each of n images, the last a map in gray, and what they are."""
    noise = np.random.default_rng(seed).integers(0, 256, (n, 3, side, side, 3), np.uint8)
    pictures = [(original, rebuilt, gray[..., 0]) for original, rebuilt, gray in noise]
    return {"columns": ["Original", "Reconstruction", "Anomaly map"], "pictures": pictures}
