"""Another threshold for scores that are there already: `find_anomalies.py --scores`, without TensorFlow."""

import logging
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.detection import thresholds
from pyimagesearch.reporting import page_data
from pyimagesearch.reporting.ranking import Ranking, stage_tables
from pyimagesearch.storage import atomic, files, ownership

logger = logging.getLogger(__name__)

# What follows from a threshold, of all that detection writes.
FILES = ("anomalies.csv", "flagged.txt", "report.json", "report.html")
# Of a report, which names each image that is flagged.
MAX_REPORT_BYTES = 2**28


def apply_rule(table, rule, value, rule_text):
    """Flag the images of a table by another threshold, and write what follows from it beside it.

    `anomalies.csv`, `flagged.txt`, `report.json`, and, where it is there, the page. The pictures stay
    as they are: of an image there is only a score here.

    Args:
        table: Path of an `anomalies.csv`.
        rule: A key of `thresholds.RULES`.
        value: The first argument of that rule.
        rule_text: The rule as text.

    Returns:
        A tuple of the `Ranking`, the threshold, and a bool array `(N,)` of what is flagged, in the
        order of the ranking.

    Raises:
        InputError: If the table or what lies beside it is not as detection writes it, or if the
            rule needs the scores of the training and the report has none.
    """
    folder = Path(table).parent
    if Path(table).name != FILES[0]:
        raise InputError(f"expected an anomalies.csv, received {table}: name one")
    ranking = Ranking.load(table)
    present = [name for name in FILES if (folder / name).exists()]
    atomic.check_own_files(*(folder / name for name in present))
    report = files.load_json(folder / ownership.LIST_REPORT, MAX_REPORT_BYTES)
    threshold = thresholds.RULES[rule](value, ranking.scores, calibration_of(report))
    flagged = thresholds.flag(ranking.scores, threshold)
    report |= updated(report, ranking, flagged, threshold, rule_text)
    page = None
    if (folder / "report.html").exists():
        page = page_data.with_threshold(
            read_page(folder / "report.html"), ranking, threshold, rule_text, report["metrics"]
        )
    with atomic.Transaction() as transaction:
        in_dataset = np.empty(len(flagged), bool)
        in_dataset[ranking.indices] = flagged
        stage_tables(transaction, folder, ranking, in_dataset, report)
        if page is not None:
            transaction.stage(folder / "report.html").write_bytes(page.encode())
    if (folder / "anomalies.png").exists():
        logger.info("the pictures still show the earlier threshold")
    return ranking, threshold, flagged


def calibration_of(report):
    """The calibration in a report, if there is a valid one; else an empty dict."""
    calibration = report.get("calibration")
    try:
        return calibration if calibration and thresholds.is_calibration(calibration) else {}
    except (AttributeError, KeyError, TypeError):
        return {}


def updated(report, ranking, flagged, threshold, rule_text):
    """The entries of a report that follow from a threshold, a dict."""
    chosen = np.flatnonzero(flagged)
    metrics = report.get("metrics")
    metrics = {**metrics, **of_flags(flagged, ranking.labels)} if metrics else None
    return {
        "n_images": len(flagged),
        "n_flagged": len(chosen),
        "estimated_contamination": float(np.mean(flagged)),
        "threshold": threshold,
        "threshold_rule": rule_text,
        "flagged": [
            {
                "index": int(ranking.indices[i]),
                "name": ranking.names[i],
                "score": float(ranking.scores[i]),
            }
            for i in chosen
        ],
        "metrics": metrics,
    }


def of_flags(flagged, labels):
    """The metrics that depend on the threshold: precision, recall and F1 of the known images.

    Args:
        flagged: bool array `(N,)`.
        labels: int array `(N,)`: 0 normal, 1 anomaly, -1 unknown.

    Returns:
        A dict, as `metrics.evaluate` has it.

    Example:
        >>> of_flags(np.array([True, True, False]), np.array([1, 0, 1]))
        {'precision': 0.5, 'recall': 0.5, 'f1': 0.5}
    """
    hits = int((flagged & (labels == 1)).sum())
    n_flagged, n_anomalies = int((flagged & (labels >= 0)).sum()), int((labels == 1).sum())
    both = n_flagged + n_anomalies
    return {
        "precision": hits / n_flagged if n_flagged else None,
        "recall": hits / n_anomalies if n_anomalies else None,
        "f1": 2 * hits / both if both else None,
    }


def read_page(path):
    """The text of a page that the suite has written."""
    with files.open_for_reading(path) as file:
        return file.read(page_data.MAX_PAGE_BYTES).decode("utf-8", "replace")
