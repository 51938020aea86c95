"""Drawing: the colors, tiles and text of pictures."""

import contextlib
import logging
import os
import re
import warnings
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.font_manager import FontProperties

from pyimagesearch.storage import ownership

# Its remarks on fonts and caches are of no use to the reader of a report.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# Okabe and Ito's colors, which color-blind readers can distinguish too.
BLUE, VERMILLION, GRAY = "#0072B2", "#D55E00", "#777777"
OUTLINE, FRAME = (86, 180, 233), (204, 204, 204)  # their sky blue, and a light gray, in RGB
# Light over dark, in even steps of lightness, so that it also reads in gray.
MAP_COLORS = matplotlib.colormaps["inferno"]
# The brightest value of a map over one that is nearly black, and the brightness, a share of 1, from
# which a place glows in a map that is laid over an image.
MAP_RANGE, GLOWS_FROM = 50, 0.46
# Pictures of maps in gray hold values up to this times the brightest, which is a share of white.
HEADROOM = 100
BRIGHTEST_LEVEL = float(np.log1p(MAP_RANGE) / np.log1p(MAP_RANGE * HEADROOM))
DPI = 100
# Longer side of a pictured image in pixels: small images are enlarged by a whole factor.
MIN_TILE, MAX_TILE = 112, 152
# Font sizes in points, legible at half the size too, since a page may show the pictures reduced.
TITLE, LEGEND, CAPTION, SMALL = 18, 13, 13, 10
# Beyond it, a picture takes several times as long for some hundredths of its bytes.
PNG_COMPRESSION = (cv2.IMWRITE_PNG_COMPRESSION, 6)


@contextlib.contextmanager
def allow_missing_glyphs():
    """Let letters that the font lacks be drawn as boxes without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def render(figure):
    """Draw a Matplotlib figure without a window, as uint8 `(H, W, 3)`."""
    canvas = FigureCanvasAgg(figure)
    with allow_missing_glyphs():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def text_width(text, size, weight="normal"):
    """The width of a line of text as it is drawn, in whole pixels.

    Args:
        text: The line.
        size: Font size in points.
        weight: `normal` or `bold`.

    Example:
        >>> text_width("wide", 10) > text_width("lil", 10) > 0
        True
    """
    renderer, font = RendererAgg(1, 1, DPI), FontProperties(size=size, weight=weight)
    with allow_missing_glyphs():
        return int(np.ceil(renderer.get_text_width_height_descent(text, font, ismath=False)[0]))


def to_rgb(images):
    """Convert images to 8-bit RGB.

    Args:
        images: float array `(N, H, W, C)` in [0, 1]. If C is not 3, the mean of the channels is
            shown in gray.

    Returns:
        uint8 array `(N, H, W, 3)`.

    Example:
        >>> to_rgb(np.full((1, 1, 1, 1), 0.2)).tolist()
        [[[[51, 51, 51]]]]
    """
    if images.shape[-1] != 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def map_shares(anomaly_maps, scale):
    """How bright the values of anomaly maps are shown, on a logarithmic scale.

    A linear one would show either the strongest outlier or all the others, not both.

    Args:
        anomaly_maps: float array `(N, H, W)`. What is below 0 counts as 0.
        scale: The value that is shown brightest, `MAP_RANGE` times one that is nearly black.

    Returns:
        A float array `(N, H, W)`, from 0 for 0 to 1 for `scale` and more.

    Example:
        >>> map_shares(np.array([[[0.0, 0.1, 1.0, 10.0, 99.0]]]), 10.0).round(2).tolist()
        [[[0.0, 0.1, 0.46, 1.0, 1.0]]]
    """
    values = np.clip(anomaly_maps / scale if scale > 0 else np.zeros_like(anomaly_maps), 0, 1)
    return np.log1p(MAP_RANGE * values) / np.log1p(MAP_RANGE)


def map_levels(anomaly_maps, scale):
    """Anomaly maps in gray, on the same logarithmic scale, for a page that colors them itself.

    Args:
        anomaly_maps: float array `(N, H, W)`.
        scale: The value that is shown brightest; values up to `HEADROOM` times it are told apart.

    Returns:
        uint8 array `(N, H, W)`: 0 for 0, `255 * BRIGHTEST_LEVEL` for `scale`, 255 for the highest.

    Example:
        >>> map_levels(np.array([[[0.0, 10.0, 1e3, 1e9]]]), 10.0).tolist()
        [[[0, 118, 255, 255]]]
    """
    values = np.clip(
        anomaly_maps / scale if scale > 0 else np.zeros_like(anomaly_maps), 0, HEADROOM
    )
    levels = np.log1p(MAP_RANGE * values) / np.log1p(MAP_RANGE * HEADROOM)
    return np.rint(255 * levels).astype(np.uint8)


def color_maps(anomaly_maps, scale):
    """Color anomaly maps: black for 0, bright from `scale` on, as `map_shares` has it.

    Args:
        anomaly_maps: float array `(N, H, W)`.
        scale: The value that is shown brightest.

    Returns:
        uint8 array `(N, H, W, 3)`.
    """
    return np.rint(MAP_COLORS(map_shares(anomaly_maps, scale))[..., :3] * 255).astype(np.uint8)


def glow(shares):
    """The color and the opacity with which a map is laid over an image.

    Only the bright half of the colors is taken: a place that glows is told by its lightness too,
    not by its hue alone.

    Args:
        shares: float array of any shape in [0, 1], as `map_shares` returns it. Up to `GLOWS_FROM`
            nothing is shown.

    Returns:
        A tuple of two float arrays in [0, 1], `(..., 3)` and `(..., 1)`.
    """
    excess = np.clip((shares - GLOWS_FROM) / (1 - GLOWS_FROM), 0, 1)
    return MAP_COLORS(0.5 + 0.5 * excess)[..., :3], np.minimum(1, 2.5 * excess)[..., np.newaxis]


def overlay_maps(images, anomaly_maps, scale):
    """Lay anomaly maps over the images: a dim gray photo on which anomalous places glow.

    Args:
        images: uint8 array `(N, H, W, 3)`.
        anomaly_maps: float array `(N, H, W)`.
        scale: The value that is shown brightest.

    Returns:
        uint8 array `(N, H, W, 3)`.

    Example:
        >>> white = np.full((1, 1, 2, 3), 255, np.uint8)
        >>> overlay_maps(white, np.array([[[0.1, 9.0]]]), 3.0)[0, 0].tolist()
        [[115, 115, 115], [252, 255, 164]]
    """
    color, opacity = glow(map_shares(anomaly_maps, scale))
    gray = images.mean(axis=-1, keepdims=True)
    # Tinted rather than covered: where all of an image is anomalous, it still shows through.
    tinted = color * (0.6 * 255 + 0.4 * gray)
    return np.rint((1 - opacity) * 0.45 * gray + opacity * tinted).astype(np.uint8)


def tiles(pictures):
    """Resize pictures for a gallery.

    Small ones are enlarged by a whole factor, so that every pixel stays a square; large ones are
    reduced, so that a gallery fits on a screen. Tiles stay as they are.

    Args:
        pictures: uint8 array `(N, H, W, 3)`.

    Returns:
        uint8 array `(N, h, w, 3)`, whose longer side is at most `MAX_TILE`.

    Example:
        >>> [tiles(np.zeros((1, n, n, 3), np.uint8)).shape[1] for n in (28, 90, 128, 900)]
        [112, 90, 128, 152]
    """
    height, width = pictures.shape[1:3]
    longest = max(height, width)
    factor = min(-(-MIN_TILE // longest), MAX_TILE // longest)
    if factor:
        return pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    size = [max(1, round(side * MAX_TILE / longest)) for side in (width, height)]
    reduced = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.stack(reduced)


def strips(*columns):
    """Place pictures side by side.

    Args:
        *columns: uint8 arrays `(N, H, W, 3)`.

    Returns:
        uint8 array `(N, h, w, 3)`: the tiles of all columns with white between them, each in a
        thin frame, so that a white tile stands out from white paper.
    """
    framed = []
    for column in columns:
        tile = np.pad(tiles(column), [(0, 0), (1, 1), (1, 1), (0, 0)])
        tile[:, [0, -1]] = tile[:, :, [0, -1]] = FRAME
        framed += [tile, np.full((*tile.shape[:2], 2, 3), 255, np.uint8)]
    return np.concatenate(framed[:-1], axis=2)


def draw_outlines(pictures, masks):
    """Draw the outlines of masks into pictures.

    Args:
        pictures: uint8 array `(N, H, W, 3)`.
        masks: bool array `(N, H, W)`.

    Returns:
        A new uint8 array `(N, H, W, 3)`.

    Example:
        >>> mask = np.zeros((1, 5, 5), bool)
        >>> mask[0, 1:4, 1:4] = True
        >>> draw_outlines(np.zeros((1, 5, 5, 3), np.uint8), mask).any(axis=-1).sum().item()
        8
    """
    drawn = pictures.copy()
    for picture, mask in zip(drawn, masks, strict=True):
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, OUTLINE, 1)
    return drawn


def shorten_name(name, longest=24):
    """Cut a long name to its end, which is the name of the file, in one line.

    Bytes of a name that are not UTF-8, which no font can draw, are escaped as on the console.

    Example:
        >>> shorten_name("a/folder/in/a/folder/odd.png"), shorten_name("caf\\udce9.png")
        ('…der/in/a/folder/odd.png', 'caf\\\\udce9.png')
    """
    name = " ".join(name.encode("utf-8", "backslashreplace").decode().splitlines())
    return name if len(name) <= longest else "…" + name[len(name) + 1 - longest :]


def common_folder(names):
    """The folder that all names are in, with the slash at its end; may be empty.

    Example:
        >>> common_folder(["photos/a/1.png", "photos/ab/2.png"]), common_folder(["photos/1.png"])
        ('photos/', 'photos/')
    """
    # Not `os.path.commonpath`, which refuses to compare `/a` with `b` and mends `a//b`.
    return re.sub(r"[^/\\]*$", "", os.path.commonprefix(list(names)))


def fit_name(name, room):
    """Cut a name so that it is at most `room` pixels wide in small letters."""
    longest = len(name)
    while longest > 1 and text_width(shorten_name(name, longest), SMALL) > room:
        longest -= 1
    return shorten_name(name, longest)


def save_picture(path, picture):
    """Write a picture as PNG, marked as the suite's, so that it is never read as an image to score.

    Args:
        path: Where to save it; the format is PNG whatever the suffix.
        picture: uint8 array `(H, W, 3)`, RGB.
    """
    encoded = cv2.imencode(".png", picture[..., ::-1], PNG_COMPRESSION)[1].tobytes()
    Path(path).write_bytes(ownership.mark_png(encoded))
