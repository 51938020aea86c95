"""The interactive report: one page of HTML that holds all its images and data."""

import base64
import hashlib
import itertools
import os
import re
import shlex
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from pyimagesearch.reporting.drawing import BRIGHTEST_LEVEL, MAP_COLORS, common_folder, glow
from pyimagesearch.reporting.histogram import bar_edges, bars
from pyimagesearch.reporting.page_data import as_json

# Size of the page, at most: the caps below add up to less, whatever the images and their names.
MAX_MIB = 28
# Bytes of pictures, names, settings, and notes on files as they are encoded in the page.
MAX_PICTURE_BYTES, MAX_NAME_BYTES, MAX_SETTING_BYTES, MAX_NOTE_BYTES = (
    20 << 20,
    4 << 20,
    1 << 18,
    1 << 19,
)
# Scores in the page, the highest, and epochs on a curve.
MAX_SCORES, MAX_EPOCHS = 100_000, 1000
# Letters of a name or of a setting.
MAX_TEXT = 1000
# Longer side in pixels: of a picture, at most, and of one that is stored without loss, at most.
MAX_SIDE, LOSSLESS_SIDE = 256, 64
# The column of the anomaly maps, which the page colors. Their pictures are gray.
MAP_COLUMN = "Anomaly map"


def html_report(
    detection, columns=(), pictures=(), training=None, settings=None, output=None, overlay=False
):
    """Build the report as one page that loads nothing from any network or disk.

    What is too much for a page is left out, and the page says so: pictures and names of the lowest
    ranks, and scores beyond the highest `MAX_SCORES`. The histogram counts all of them.

    Args:
        detection: A `results.Detection` of at least one image.
        columns: What the pictures of an image show, such as `("Original", "Reconstruction")`.
        pictures: Iterable, in the order of the ranking, of as many uint8 arrays for each image:
            `(H, W, 3)`, or `(H, W)` of an anomaly map, as `drawing.map_levels` returns it. No more
            are taken from it than fit on the page.
        training: Dict with `loss` and `val_loss` by epoch, the share `trim` of the images that
            both leave out, and `name`, the name of the loss; may be `None`.
        settings: Dict by heading of dicts of settings by name.
        output: The folder that the page is written to, from which it links to the image files, and
            whose table it names; `None` for neither.
        overlay: Whether the maps lie over the images at first.

    Returns:
        The page as text, of at most `MAX_MIB` MiB in UTF-8. The same input gives the same text.
    """
    dataset, ranking = detection.dataset, detection.ranking
    scores = np.asarray(detection.scores, np.float32)[ranking]
    labels = np.asarray(dataset.labels)[ranking]
    names = take_fitting((shorten_text(dataset.names[i]) for i in ranking), MAX_NAME_BYTES)
    known = labels >= 0
    edges, logarithmic = bar_edges(scores, detection.threshold)
    # Little-endian float32, so that the page compares the very numbers that were flagged.
    encoded_scores = base64.b64encode(scores[:MAX_SCORES].astype("<f4").tobytes()).decode()
    content = {
        "n": len(scores),
        "score": detection.score,
        "rule": detection.rule,
        "threshold": detection.threshold,
        "scores": encoded_scores,
        "bars": bars(scores, edges, logarithmic, labels == 1),
        "known": int(known.sum()),
        "anomalies": int((labels == 1).sum()),
        "labels": "".join("?01"[label + 1] for label in labels[:MAX_SCORES]) if known.any() else "",
        "names": names,
        # By it the browser finds the decisions again that a person has made on this page.
        "fingerprint": hashlib.sha256(as_json([encoded_scores, names]).encode()).hexdigest()[:16],
        **describe_files(dataset, ranking[: len(names)], names, output),
        **encode_pictures(pictures, columns, len(names)),
        "overlay": overlay,
        "metrics": detection.evaluation,
        "training": training and curves(**training),
        "settings": take_fitting(
            (
                (shorten_text(heading), shorten_text(name), shorten_text(format_setting(value)))
                for heading, group in (settings or {}).items()
                for name, value in group.items()
            ),
            MAX_SETTING_BYTES,
        ),
    }
    return assemble(content)


def describe_files(dataset, ranking, names, output):
    """What the page says of the files: where they are, which are of low quality, which unread."""
    quality, duplicates = (
        by_rank(dataset.quality.get(column), ranking) for column in ("quality", "duplicate_of")
    )
    skipped = ([shorten_text(name), why] for name, why in dataset.skipped.items())
    return {
        "table": shlex.quote(str(Path(output, "anomalies.csv"))) if output else None,
        "link": link_to_files(dataset, names, output),
        "quality": quality,
        "duplicates": duplicates,
        "n_skipped": len(dataset.skipped),
        "skipped": take_fitting(skipped, MAX_NOTE_BYTES),
    }


def encode_pictures(pictures, columns, most):
    """As many pictures as there is room for, of at most so many images, and how to show them."""
    first = itertools.islice(pictures, most)
    shown = take_fitting(map(encode_parts, first), MAX_PICTURE_BYTES)
    parts, peaks, ratios = zip(*shown, strict=True) if shown else ((), (), (1,))
    return {
        "columns": list(columns),
        "pictures": parts,
        "peaks": peaks,
        "ratio": ratios[0],
        "picture_mib": MAX_PICTURE_BYTES >> 20,
        "map": columns.index(MAP_COLUMN) if MAP_COLUMN in columns else None,
        "map_style": map_style(),
    }


def assemble(content):
    """Put the content into the page, together with its style and its script."""
    template, style, script = (
        Path(__file__).with_name(f"report.{kind}").read_text(encoding="utf-8")
        for kind in ("html", "css", "js")
    )
    # The browser runs the one script of this page, and no other that a name may contain.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {"STYLE": style, "DIGEST": digest, "SCRIPT": script, "DATA": as_json(content)}
    return re.sub("REPORT_([A-Z]+)", lambda match: parts[match[1]], template)


def link_to_files(dataset, names, output):
    """How the page finds the image files: what to put before a name without its folder.

    Args:
        dataset: The `Dataset`; only one of image files has links.
        names: The names in the page.
        output: The folder that the page is written to; may be `None`.

    Returns:
        A dict of the common `folder` of the names, its relative address `href` with a slash at its
        end, and the system's `separator`; `None` where there are no files, or none on this drive.
    """
    if output is None or not hasattr(dataset.images, "paths"):
        return None
    folder = common_folder(names)
    try:
        relative = Path(os.path.relpath(folder or ".", output)).as_posix()
    except ValueError:  # on another drive of Windows
        return None
    # Beginning with a dot, it can be no address of another kind, whatever the folder is called.
    href = relative if relative.startswith("..") else f"./{relative}"
    return {"folder": folder, "href": quote(os.fsencode(f"{href}/")), "separator": os.sep}


def by_rank(column, ranking):
    """The texts of a column of a table that are not empty, by rank, as many as there is room for.

    Example:
        >>> by_rank(["", "blurred", "dark"], [2, 0, 1])
        {0: 'dark', 2: 'blurred'}
    """
    texts = enumerate(column[i] for i in ranking) if column else ()
    return dict(
        take_fitting(((rank, shorten_text(text)) for rank, text in texts if text), MAX_NOTE_BYTES)
    )


def map_style():
    """How the page colors the gray pictures of maps: tables of colors, and the gray of the scale."""
    shares = np.linspace(0, 1, 33)
    color, opacity = glow(shares)
    # A little of the photo shows through.
    tables = {"map": MAP_COLORS(shares)[:, :3], "glow": np.hstack([color, 0.85 * opacity])}
    return {
        "brightest": BRIGHTEST_LEVEL,
        **{name: np.round(table.T, 3).tolist() for name, table in tables.items()},
    }


def encode_parts(parts):
    """The pictures of an image as data URIs, how bright its map is, and their width by height."""
    height, width = parts[0].shape[:2]
    peaks = [float(np.quantile(part, 0.995)) / 255 for part in parts if part.ndim == 2]
    peak = round(peaks[0], 3) if peaks else None  # a share of 1
    return [data_uri(part) for part in parts], peak, round(width / height, 4)


def format_setting(value):
    """A setting as text for people.

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
    """Cut a text that is longer than `MAX_TEXT` to its end."""
    return text if len(text) <= MAX_TEXT else "…" + text[-MAX_TEXT:]


def take_fitting(items, max_bytes):
    """List as many of the first items as take at most so many bytes of JSON."""
    kept, taken = [], 0
    for item in items:
        taken += len(as_json(item)) + 2
        if taken > max_bytes:
            break
        kept.append(item)
    return kept


def data_uri(picture):
    """Encode a picture as a data URI: small ones without loss, others reduced and compressed.

    Args:
        picture: uint8 array `(H, W, 3)`, RGB, or `(H, W)`, gray.

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
        ("png", []) if longest <= LOSSLESS_SIDE else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, 85])
    )
    picture = picture if picture.ndim == 2 else picture[..., ::-1]
    encoded = cv2.imencode(f".{kind}", picture, flags)[1].tobytes()
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def curves(loss, val_loss, trim=0.0, name="mse"):
    """The losses by epoch, of every few epochs where there are more than `MAX_EPOCHS`.

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
