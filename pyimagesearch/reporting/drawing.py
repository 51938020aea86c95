"""Drawing: colours, tiles and text that pictures are made of."""

import contextlib
import logging
import warnings
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.font_manager import FontProperties

from pyimagesearch.storage import ownership

# Its remarks on fonts and caches are no news to somebody who is looking for odd images.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# Okabe and Ito's colours, which colour-blind readers tell apart too.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#777777"
OUTLINE, FRAME = (86, 180, 233), (204, 204, 204)  # their sky blue, and a light grey, in RGB
# Light over dark, in even steps of lightness, so that it also reads in grey.
ERROR_COLORS = matplotlib.colormaps["inferno"]
DPI = 100
# Sides in pixels of a pictured image, if a whole factor takes it there.
SMALLEST_TILE, LARGEST_TILE = 112, 152
# Sizes of letters in points, to be read at half the size too, as a page may show the pictures.
TITLE, LEGEND, CAPTION, SMALL = 18, 13, 13, 10
# A fourth of the bytes that OpenCV writes otherwise.
PNG_COMPRESSION = (cv2.IMWRITE_PNG_COMPRESSION, 9)


@contextlib.contextmanager
def any_letters():
    """A name in letters that the font lacks shows as boxes; the CSV has it as it is."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def render(figure):
    """Draw a Matplotlib figure without any window."""
    canvas = FigureCanvasAgg(figure)
    with any_letters():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def text_width(text, size, weight="normal"):
    """How wide a line of text will be drawn, in whole pixels.

    Args:
        text: The line.
        size: Of the letters, in points.
        weight: `normal` or `bold`.

    Example:
        >>> text_width("wide", 10) > text_width("lil", 10) > 0
        True
    """
    renderer, font = RendererAgg(1, 1, DPI), FontProperties(size=size, weight=weight)
    with any_letters():
        return int(np.ceil(renderer.get_text_width_height_descent(text, font, ismath=False)[0]))


def to_rgb(images):
    """Images `(N, H, W, C)` in [0, 1] as uint8 `(N, H, W, 3)`. Odd channel numbers show as grey."""
    if images.shape[-1] != 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def color_errors(error_maps, scale):
    """Error maps `(N, H, W)` as uint8 `(N, H, W, 3)`: black for 0, bright from `scale` on."""
    shares = np.clip(error_maps / scale if scale > 0 else np.zeros_like(error_maps), 0, 1)
    return np.rint(ERROR_COLORS(shares)[..., :3] * 255).astype(np.uint8)


def tiles(pictures):
    """Pictures in a size to look at.

    Small ones are enlarged by a whole factor, so that every pixel stays a square; large ones are
    reduced, so that a gallery fits on a screen. What has been sized once is left as it is.

    Args:
        pictures: uint8 array `(N, H, W, 3)`.

    Returns:
        uint8 array `(N, h, w, 3)`, whose longer side is at most `LARGEST_TILE`.

    Example:
        >>> [tiles(np.zeros((1, n, n, 3), np.uint8)).shape[1] for n in (28, 90, 128, 900)]
        [112, 90, 128, 152]
    """
    height, width = pictures.shape[1:3]
    longest = max(height, width)
    factor = min(-(-SMALLEST_TILE // longest), LARGEST_TILE // longest)
    if factor:
        return pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    size = [max(1, round(side * LARGEST_TILE / longest)) for side in (width, height)]
    reduced = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.stack(reduced)


def strips(*columns):
    """Set pictures side by side.

    Args:
        *columns: uint8 arrays `(N, H, W, 3)`.

    Returns:
        uint8 array `(N, h, w, 3)`: tiles of the columns, each in a thin frame, so that white ones
        stand out from the paper, and parted by white.
    """
    framed = []
    for column in columns:
        tile = np.pad(tiles(column), [(0, 0), (1, 1), (1, 1), (0, 0)])
        tile[:, [0, -1]] = tile[:, :, [0, -1]] = FRAME
        framed += [tile, np.full((*tile.shape[:2], 2, 3), 255, np.uint8)]
    return np.concatenate(framed[:-1], axis=2)


def outlined(pictures, masks):
    """Pictures with the outlines of masks drawn in.

    Args:
        pictures: uint8 array `(N, H, W, 3)`.
        masks: bool array `(N, H, W)`.

    Returns:
        A new uint8 array `(N, H, W, 3)`.

    Example:
        >>> mask = np.zeros((1, 5, 5), bool)
        >>> mask[0, 1:4, 1:4] = True
        >>> outlined(np.zeros((1, 5, 5, 3), np.uint8), mask).any(axis=-1).sum().item()
        8
    """
    drawn = pictures.copy()
    for picture, mask in zip(drawn, masks, strict=True):
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, OUTLINE, 1)
    return drawn


def show(axes, picture):
    """Put a picture on axes without ticks and without a frame."""
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()


def shorten_name(name, longest=24):
    """The end of a name, where the file is, in one line.

    Example:
        >>> shorten_name("a/folder/in/a/folder/odd.png")
        '…der/in/a/folder/odd.png'
    """
    name = " ".join(name.splitlines())
    return name if len(name) <= longest else "…" + name[len(name) + 1 - longest :]


def fit_name(name, room):
    """As much of the end of a name as can be drawn in so many pixels, in small letters."""
    longest = len(name)
    while longest > 1 and text_width(shorten_name(name, longest), SMALL) > room:
        longest -= 1
    return shorten_name(name, longest)


def save_picture(path, picture):
    """Write a picture as PNG, marked so that it is never read as one of somebody's images.

    Args:
        path: Where to; the format is PNG whatever the suffix.
        picture: uint8 array `(H, W, 3)`, RGB.
    """
    encoded = cv2.imencode(".png", picture[..., ::-1], PNG_COMPRESSION)[1].tobytes()
    Path(path).write_bytes(ownership.mark_png(encoded))
