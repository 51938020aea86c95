"""Galleries of images with captions."""

import functools
from typing import NamedTuple

import cv2
import imutils
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pyimagesearch.reporting.drawing import (
    CAPTION,
    DPI,
    GRAY,
    LEGEND,
    MAP_COLORS,
    MAP_RANGE,
    SMALL,
    TITLE,
    VERMILLION,
    color_maps,
    common_folder,
    draw_outlines,
    fit_name,
    map_shares,
    overlay_maps,
    render,
    shorten_name,
    strips,
    text_width,
    tiles,
    to_rgb,
)

# Width in pixels of a whole gallery, and cells in a row, at most.
MAX_WIDTH, MAX_COLUMNS = 2000, 5
# Pixels: the margin between cells, a line of text, the head with the titles, the foot with the bar.
MARGIN, LINE, HEAD, FOOT = 24, 21, 92, 116


# What the parts of a cell are called, in words that need no introduction.
EXPECTED, ODDNESS = "what the network makes of it (reconstruction)", "how odd each place is"
PIXEL_PARTS = f"original | {EXPECTED} | {ODDNESS}"
FEATURE_PARTS = (
    "original | what the network sees (features) | what it makes of that (reconstruction) | "
    f"{ODDNESS}, over the original"
)


def map_scale(anomaly_maps, pixel_threshold=None):
    """The map value to show brightest, the same for all maps of a picture.

    It is five times the pixel threshold, so that maps of normal images stay dark. Where most maps
    are far below it, strong outliers have raised it; then most maps decide, not the outliers.

    Args:
        anomaly_maps: float array `(N, H, W)`, N at least 1: the maps of the highest scores.
        pixel_threshold: The number above which a pixel counts as anomalous; `None` without a
            calibration.

    Example:
        >>> maps = np.array([1.0, 2.0, 9000.0]).reshape(3, 1, 1)
        >>> map_scale(maps), map_scale(maps, 1.5), map_scale(maps, 4000.0)
        (10.0, 7.5, 15.0)
    """
    peaks = np.quantile(anomaly_maps, 0.995, axis=(1, 2))
    usual = float(np.median(peaks))
    if usual <= 0:
        usual = float(np.max(peaks))
    return 5 * (usual if pixel_threshold is None else min(pixel_threshold, 1.5 * usual))


def map_picture(images, anomaly_maps, scale, overlay):
    """Anomaly maps in color; laid over the images where that is asked for."""
    if overlay:
        return overlay_maps(to_rgb(images), anomaly_maps, scale)
    return color_maps(anomaly_maps, scale)


def reconstructions(images, reconstructed, corrupted=None, features=None, maps=None, scale=None):
    """Originals beside their reconstructions, as `recon_vis.png`.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], N at least 1.
        reconstructed: The same of their reconstructions.
        corrupted: The same of the corrupted images that the network restored; they are shown
            between the two. `None` where it reconstructed the originals.
        features: The same of what a network of features sees; `None` for one of pixels.
        maps: With features, the anomaly maps, float array `(N, H, W)`, laid over the originals.
        scale: With features, the map value that is shown brightest.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    if features is not None:
        parts = FEATURE_PARTS
        pictures = map(to_rgb, (images, features, reconstructed))
        cells = list(strips(*pictures, map_picture(images, maps, scale, overlay=True)))
    elif corrupted is None:
        parts = f"original | {EXPECTED}"
        cells = list(strips(to_rgb(images), to_rgb(reconstructed)))
    else:
        parts = "original | corrupted | restored"
        cells = list(strips(to_rgb(images), to_rgb(corrupted), to_rgb(reconstructed)))
    margin = 12
    tile = (cells[0].shape[1] + margin, cells[0].shape[0] + margin)
    # imutils leaves the rest of the last row black; here the paper is white.
    columns = min(4 if features is None else 2, len(cells))
    rows = -(-len(cells) // columns)
    cells += [np.full_like(cells[0], 255)] * (rows * columns - len(cells))
    padded = [
        cv2.copyMakeBorder(cell, 0, margin, 0, margin, cv2.BORDER_CONSTANT, value=(255,) * 3)
        for cell in cells
    ]
    montage = imutils.build_montages(padded, tile, (columns, rows))[0]
    texts = (("Images and what the network makes of them", TITLE), (f"each: {parts}", LEGEND))
    top = HEAD / DPI
    left = margin / DPI
    width = left + max(montage.shape[1], *(text_width(*text) + 4 for text in texts)) / DPI
    height = montage.shape[0] / DPI + top
    figure = Figure(figsize=(width, height), dpi=DPI)
    # Pixel by pixel, without any resampling.
    figure.figimage(montage, margin, 0, origin="upper")
    for (text, size), down, color in zip(texts, (36, 66), ("black", GRAY), strict=True):
        figure.text(left / width, 1 - down / DPI / height, text, fontsize=size, color=color)
    return render(figure)


class Caption(NamedTuple):
    """What stands above an image: a line of text, its name, and whether the line stands out."""

    text: str
    name: str
    is_marked: bool = False

    @property
    def weight(self):
        """The weight of the font of the line."""
        return "bold" if self.is_marked else "normal"


def rank_captions(scores, names, flagged=None, remarks=None):
    """Captions with rank and score.

    Args:
        scores: float array `(N,)`, highest first.
        names: N names.
        flagged: bool array `(N,)`; `None` where it is not to be written.
        remarks: N words to add, some of them empty; `None` for none.

    Returns:
        A list of N captions.

    Example:
        >>> captions = rank_captions([0.9, 0.12345], "ab", [True, False], ["injected", ""])
        >>> [caption.text for caption in captions]
        ['#1  0.9000  flagged  injected', '#2  0.1235']
    """
    flagged = [False] * len(scores) if flagged is None else flagged
    remarks = [""] * len(scores) if remarks is None else remarks
    captions = []
    for rank, (score, name, flag, remark) in enumerate(
        zip(scores, names, flagged, remarks, strict=True), 1
    ):
        words = (f"#{rank}", f"{score:#.4g}", "flagged" if flag else "", remark)
        captions.append(Caption("  ".join(filter(None, words)), name, bool(flag)))
    return captions


def anomalies(
    images, reconstructed, anomaly_maps, captions, title, *, scale, least=None, features=None
):
    """The images of the highest scores, as `anomalies.png`: original, reconstruction, anomaly map.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        reconstructed: The same of their reconstructions.
        anomaly_maps: float array `(N, H, W)`.
        captions: N captions, as `rank_captions` makes them.
        title: The title of the picture.
        scale: The map value that is shown brightest, as `map_scale` returns it.
        least: How many of the images to show; those after them fill the last row. `None`: all.
        features: Pictures of what a network of features sees; `None` for one of pixels.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    seen = [] if features is None else [to_rgb(features)]
    parts = PIXEL_PARTS if features is None else FEATURE_PARTS
    return gallery(
        strips(
            to_rgb(images),
            *seen,
            to_rgb(reconstructed),
            map_picture(images, anomaly_maps, scale, overlay=features is not None),
        ),
        captions,
        (title, f"each: {parts}"),
        scale,
        least=least,
        overlay=features is not None,
    )


def heatmaps(images, anomaly_maps, masks, predicted, captions, *, scale, least=None, overlay=False):
    """Anomaly maps beside the ground truth, as `heatmaps.png`.

    Each image, with the outline of its true mask, is followed by its anomaly map, the predicted
    mask and the true mask, both white on black.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        anomaly_maps: float array `(N, H, W)`.
        masks: bool array `(N, H, W)`, true where the image is anomalous.
        predicted: bool array `(N, H, W)`, true where the map lies above its threshold.
        captions: N captions, as `rank_captions` makes them.
        scale: The map value that is shown brightest, as `map_scale` returns it.
        least: As for `anomalies`.
        overlay: Whether to lay the maps over the images.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    true, predicted = (
        to_rgb(np.asarray(mask, float)[..., np.newaxis]) for mask in (masks, predicted)
    )
    # Drawn on the tiles, the line stays fine on small images and whole on large ones.
    outlines = tiles(true)[..., 0] > 127
    shown = f"{ODDNESS}, over the original" if overlay else ODDNESS
    return gallery(
        strips(
            draw_outlines(tiles(to_rgb(images)), outlines),
            map_picture(images, anomaly_maps, scale, overlay),
            predicted,
            true,
        ),
        captions,
        (
            "Anomaly maps of the oddest images",
            f"each: original with the true outline | {shown} | predicted mask | true mask",
        ),
        scale,
        least=least,
        overlay=overlay,
    )


def columns_of(most, n, least):
    """In how many columns, of at most so many, the fewest cells of the last row stay empty.

    Args:
        most: The number of columns that there is room for.
        n: How many cells there are.
        least: How many of them to show; the others fill the last row.

    Example:
        >>> columns_of(3, 29, 25), columns_of(5, 7, 7), columns_of(5, 12, 12)
        (3, 4, 4)
    """
    some = range(most, most // 2, -1)
    return min(some, key=lambda columns: max(0, -(-least // columns) * columns - n))


def gallery(cells, captions, titles, scale, *, least=None, overlay=False):
    """Lay out captioned strips in rows, under a title and above a color bar.

    Everything is measured before it is placed: no caption runs into another or off the paper.

    Args:
        cells: uint8 array `(N, h, w, 3)`, N at least 1.
        captions: N captions. Names go to the right of the lines, or below these where there is no
            room, without the folder that all are in and shortened at their beginning.
        titles: A pair of the title, and of a line below that says what the parts of a cell are.
        scale: The map value that is shown brightest.
        least: As for `anomalies`.
        overlay: Whether the maps are laid over the images.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    widths = [text_width(caption.text, CAPTION, caption.weight) for caption in captions]
    width = max(cells.shape[2], *widths)  # of a cell with its caption
    least = min(least or len(cells), len(cells))
    most = min(MAX_COLUMNS, least, max(1, (MAX_WIDTH - MARGIN) // (width + MARGIN)))
    columns = columns_of(most, len(cells), least)
    rows = -(-least // columns)
    cells, captions, widths = (some[: rows * columns] for some in (cells, captions, widths))

    folder = common_folder(caption.name for caption in captions)
    names = [shorten_name(caption.name.removeprefix(folder)) for caption in captions]
    lines, rooms = place_names(names, widths, width)
    height = lines * LINE + cells.shape[1] + 18

    texts = tuple(zip(titles, (TITLE, LEGEND), strict=True))
    across = MARGIN + max(
        columns * (width + MARGIN), *(text_width(*text) + MARGIN for text in texts)
    )
    down = HEAD + rows * height + FOOT
    figure = Figure(figsize=(across / DPI, down / DPI), dpi=DPI)
    write = functools.partial(write_on, figure, across, down)
    write(titles[0], MARGIN, 36, TITLE)
    write(titles[1], MARGIN, 66, LEGEND, color=GRAY)
    for i, cell in enumerate(cells):
        left = MARGIN + i % columns * (width + MARGIN)
        upper = HEAD + i // columns * height
        style = {
            "color": VERMILLION if captions[i].is_marked else "black",
            "fontweight": captions[i].weight,
        }
        write(captions[i].text, left, upper + LINE - 5, CAPTION, **style)
        name = fit_name(names[i], rooms[i])
        if lines == 1:
            write(name, left + cell.shape[1], upper + LINE - 5, SMALL, "right", color=GRAY)
        else:
            write(name, left, upper + 2 * LINE - 5, SMALL, color=GRAY)
        # Pixel by pixel, without any resampling.
        lower = down - upper - lines * LINE - len(cell)
        figure.figimage(cell, left, lower, origin="upper")
    draw_color_bar(figure, across, down, scale, overlay)
    if folder:
        name = fit_name(f"all in {folder}", across - 2 * MARGIN)
        write(name, MARGIN, down - 8, SMALL, color=GRAY)
    return render(figure)


def place_names(names, widths, width):
    """Whether names go into the 1st or the 2nd line of cells of a width, and their room there."""
    rooms = [width - taken - 10 for taken in widths]
    if all(text_width(name, SMALL) <= room for name, room in zip(names, rooms, strict=True)):
        return 1, rooms
    return 2, [width] * len(names)


def write_on(figure, across, down, text, x, y, size, align="left", **settings):
    """Write text on a base line `y` pixels below the upper edge. Names are not formulas."""
    place = {"x": x / across, "y": 1 - y / down, "ha": align}
    figure.text(s=text, fontsize=size, parse_math=False, **place, **settings)


def draw_color_bar(figure, across, down, scale, overlay):
    """Draw the scale of the anomaly maps above the foot of a figure of that many pixels."""
    scale = scale if scale > 0 else 1.0
    ramp = np.linspace(0, 1, 256)
    colors = MAP_COLORS(ramp)[:, :3]
    if overlay:
        white = np.full((1, 1, 256, 3), 255, np.uint8)
        values = scale / MAP_RANGE * np.expm1(ramp * np.log1p(MAP_RANGE))
        colors = overlay_maps(white, values, scale)[0, 0] / 255
    norm = matplotlib.colors.FuncNorm(
        (
            lambda values: map_shares(np.asarray(values), scale),
            lambda shares: scale / MAP_RANGE * np.expm1(shares * np.log1p(MAP_RANGE)),
        ),
        0,
        scale,
    )
    width = min(300, across - 2 * MARGIN)
    axes = figure.add_axes((MARGIN / across, 58 / down, width / across, 14 / down))
    mapping = matplotlib.cm.ScalarMappable(norm, matplotlib.colors.ListedColormap(colors))
    ticks = [0, *(round_number(scale / divisor) for divisor in (30, 8, 2))]
    figure.colorbar(mapping, cax=axes, orientation="horizontal", extend="max", ticks=ticks)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(labelsize=SMALL)
    title = f"{ODDNESS}: anomaly map value, logarithmic, one scale for all"
    axes.set_title(title, fontsize=SMALL, loc="left", pad=4)


def round_number(value):
    """The number of one digit next to a positive one."""
    return float(f"{value:.0e}")
