"""The data in the page of a report, and what another threshold changes in it."""

import json
import math

from pyimagesearch import InputError
from pyimagesearch.reporting.histogram import bar_edges, bars

# Bytes of a page, at most.
MAX_PAGE_BYTES = 2**26
# Where the data stands in a page.
DATA = '<script type="application/json" id="data">', "</script>"


def with_threshold(page, ranking, threshold, rule, metrics):
    """A page with another threshold.

    Args:
        page: The text of a page, as `html_report.html_report` returns it.
        ranking: The `ranking.Ranking` that it shows.
        threshold: The number above which an image is flagged.
        rule: The rule that it comes from, as text.
        metrics: As `Detection.evaluation`.

    Returns:
        The text of the page.

    Raises:
        InputError: If it is no such page.
    """
    begin, end = DATA
    before, found, rest = page.partition(begin)
    data, ended, after = rest.partition(end)
    try:
        content = json.loads(data) if found and ended else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(
            "expected a report.html as find_anomalies.py writes it beside the table, found another: "
            "move it away, or score the images again"
        )
    edges, logarithmic = bar_edges(ranking.scores, threshold)
    content |= {
        "threshold": threshold,
        "rule": rule,
        "metrics": metrics,
        "bars": bars(ranking.scores, edges, logarithmic, ranking.labels == 1),
    }
    return before + begin + as_json(content) + end + after


def as_json(content):
    """JSON in ASCII that can't end the HTML element it stands in, with null for NaN and infinity.

    Example:
        >>> as_json({"</script>": [float("nan"), 1e999, 0.5, "\\u2028"]})
        '{"\\\\u003c/script\\\\u003e": [null, null, 0.5, "\\\\u2028"]}'
    """
    text = json.dumps(to_json_types(content), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def to_json_types(content):
    """The content in dicts, lists, finite numbers and text."""
    if isinstance(content, dict):
        return {str(key): to_json_types(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [to_json_types(value) for value in content]
    if content is None or isinstance(content, bool | int):
        return content
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return str(content)
