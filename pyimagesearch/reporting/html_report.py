"""What does a person see who wants to ask back? One page of HTML that needs nothing beside it."""

import base64
import hashlib
import json
import math
from pathlib import Path

import cv2
import numpy as np

# What the page may weigh: the caps below add up to less, whatever the images and their names.
MAX_MIB = 10
# Bytes of pictures, names and settings, as they stand in the page.
MAX_PICTURE_BYTES, MAX_NAME_BYTES, MAX_SETTING_BYTES = 7 << 20, 3 << 19, 1 << 18
# Highest scores that the threshold can be moved among, and epochs on a curve.
MAX_SCORES, MAX_EPOCHS = 100_000, 1000
# Letters of a name or of a setting.
MAX_TEXT = 1000
# Longer side in pixels: of a picture, and up to which a picture is kept to the pixel.
MAX_SIDE, LOSSLESS_SIDE = 256, 64


def html_report(
    scores,
    threshold,
    names,
    labels,
    columns=(),
    pictures=(),
    *,
    score,
    rule,
    edges,
    logarithmic=False,
    metrics=None,
    training=None,
    settings=None,
):
    """The report as one page: it asks no network for anything, and opens from any disk.

    What is too much for a page is left out and said to be: pictures and names of the lowest
    ranks, and scores beyond the highest `MAX_SCORES`. The bars count all of them.

    Args:
        scores: float32 array `(N,)`, N at least 1, highest first.
        threshold: The number above which an image is flagged.
        names: N names in the same order; any text.
        labels: int array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        columns: What the pictures of an image show, such as `("Original", "Reconstruction")`.
        pictures: Iterable, in the same order, of as many uint8 arrays `(H, W, 3)` an image; asked
            for no more than fit on the page.
        score: Name of the score.
        rule: What the threshold comes from, in words.
        edges: Edges of the histogram's bars, one of them the threshold; as for `bars`.
        logarithmic: As for `bars`.
        metrics: What `metrics.evaluate` returned; may be `None`.
        training: Dict with `loss` and `val_loss` by epoch, the share `trim` that is left out of
            both, and `name`, what the loss is called; may be `None`.
        settings: Dict by heading of dicts of whatever else there is to know.

    Returns:
        The page as text, of at most `MAX_MIB` MiB in UTF-8. The same input gives the same text.

    Example:
        >>> scores, labels = np.array([0.9, 0.1], "float32"), np.array([-1, -1])
        >>> told = {"score": "mse", "rule": "threshold 0.5", "edges": [0, 0.5, 1]}
        >>> text = html_report(scores, 0.5, ["</script>", "b"], labels, **told)
        >>> text.count("</script>")  # that of the data and that of the program
        2
    """
    scores, labels = np.asarray(scores, np.float32), np.asarray(labels)
    names = take_fitting((shorten_text(name) for name in names), MAX_NAME_BYTES)
    shown = zip(names, pictures, strict=False)
    pictures = take_fitting(
        ([data_uri(part) for part in parts] for _, parts in shown), MAX_PICTURE_BYTES
    )
    known = labels >= 0
    content = {
        "n": len(scores),
        "score": score,
        "rule": rule,
        "threshold": threshold,
        # Little-endian float32, so that the page compares the very numbers that were flagged.
        "scores": base64.b64encode(scores[:MAX_SCORES].astype("<f4").tobytes()).decode(),
        "bars": bars(scores, edges, logarithmic, labels == 1),
        "known": int(known.sum()),
        "anomalies": int((labels == 1).sum()),
        "labels": "".join("?01"[label + 1] for label in labels[:MAX_SCORES]) if known.any() else "",
        "names": names,
        "columns": list(columns),
        "pictures": pictures,
        "metrics": metrics,
        "training": training and curves(**training),
        "settings": take_fitting(
            (
                (shorten_text(heading), shorten_text(name), shorten_text(format_setting(value)))
                for heading, facts in (settings or {}).items()
                for name, value in facts.items()
            ),
            MAX_SETTING_BYTES,
        ),
    }
    template = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    program = template.split("<script>")[1].split("</script>")[0]
    # The browser runs the one program of this page, and nothing that a name may smuggle in.
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    return template.replace("PROGRAM_DIGEST", digest).replace("REPORT_DATA", as_json(content))


def as_json(content):
    """JSON in ASCII that can't end the element it stands in, with null for what is no number.

    Example:
        >>> as_json({"</script>": [float("nan"), 1e999, 0.5, "\\u2028"]})
        '{"\\\\u003c/script\\\\u003e": [null, null, 0.5, "\\\\u2028"]}'
    """
    text = json.dumps(to_json_types(content), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def to_json_types(content):
    """Whatever it is in dicts, lists, finite numbers and text that is not too long."""
    if isinstance(content, dict):
        return {str(key): to_json_types(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [to_json_types(value) for value in content]
    if content is None or isinstance(content, bool | int):
        return content
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    return str(content)


def format_setting(value):
    """A setting as one reads it.

    Example:
        >>> [format_setting(value) for value in (None, True, 0.05, [8, 16], "mse")]
        ['–', 'yes', '0.05', '8, 16', 'mse']
    """
    if isinstance(value, list | tuple):
        return ", ".join(map(format_setting, value))
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    return str(value)


def shorten_text(text):
    """The end of a text, if it is longer than any sensible one."""
    return text if len(text) <= MAX_TEXT else "…" + text[-MAX_TEXT:]


def take_fitting(items, most):
    """As many of the first items as take no more than so many bytes of JSON, as a list."""
    kept, taken = [], 0
    for item in items:
        taken += len(as_json(item)) + 2
        if taken > most:
            break
        kept.append(item)
    return kept


def data_uri(picture):
    """A picture as a URI that holds it: small ones to the pixel, others reduced and compressed.

    Args:
        picture: uint8 array `(H, W, 3)`, RGB.

    Example:
        >>> data_uri(np.zeros((28, 28, 3), np.uint8))[:22]
        'data:image/png;base64,'
    """
    longest = max(picture.shape[:2])
    if longest > MAX_SIDE:
        height, width = (max(1, round(side * MAX_SIDE / longest)) for side in picture.shape[:2])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    # A photograph as PNG would take five times the bytes of a JPEG.
    kind, flags = (
        ("png", []) if longest <= LOSSLESS_SIDE else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, 90])
    )
    encoded = cv2.imencode(f".{kind}", picture[..., ::-1], flags)[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def bars(scores, edges, logarithmic, odd):
    """A histogram of the scores, and of the known anomalies among them.

    Args:
        scores: float array `(N,)`, N at least 1, above the first edge and up to the last.
        edges: float array `(bars + 1,)`, ascending. A score on an edge counts below it, as one
            on the threshold is not flagged.
        logarithmic: Whether the edges keep equal distances on a logarithmic scale.
        odd: bool array `(N,)`: the known anomalies.

    Example:
        >>> odd = np.array([True, False, False])
        >>> bars(np.array([6.0, 2, 1]), np.array([0.0, 2, 4, 6]), False, odd)["images"]
        [2, 0, 1]
    """
    places = np.searchsorted(edges, np.asarray(scores, np.float64)) - 1
    images, anomalies = (
        np.bincount(chosen, minlength=len(edges) - 1).tolist() for chosen in (places, places[odd])
    )
    edges = np.asarray(edges).tolist()
    return {"edges": edges, "logarithmic": logarithmic, "images": images, "anomalies": anomalies}


def curves(loss, val_loss, trim=0.0, name="mse"):
    """The losses by epoch, thinned out where there are more than a curve can show.

    Example:
        >>> curves([0.3, 0.2], [])["epochs"]
        [1, 2]
    """
    step = -(-max(len(loss), 1) // MAX_EPOCHS)
    return {
        "epochs": list(range(1, len(loss) + 1, step)),
        "loss": list(loss[::step]),
        "val_loss": list(val_loss[::step]),
        "trim": trim,
        "name": name,
    }
