"""Galleries of images with captions."""

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
    SMALL,
    TITLE,
    VERMILLION,
    color_maps,
    draw_outlines,
    fit_name,
    overlay_maps,
    render,
    shorten_name,
    show,
    strips,
    text_width,
    tiles,
    to_rgb,
)

# Width in pixels of a whole gallery, at most.
MAX_WIDTH = 2000
# Pixels: the margin between cells, a line of text, the head with the titles, the foot with the bar.
MARGIN, LINE, HEAD, FOOT = 24, 21, 92, 92


# What the parts of a cell are called where a network of features has made them.
FEATURE_PARTS = (
    "original | what the network sees (features) | its reconstruction | "
    "anomaly map over the original"
)


def map_scale(pixel_threshold, overlay=False):
    """The map value to show brightest. Laid over images, maps show nothing below the threshold."""
    return (3 if overlay else 1.5) * pixel_threshold


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
        title = f"Each four: {FEATURE_PARTS}"
        pictures = map(to_rgb, (images, features, reconstructed))
        cells = list(strips(*pictures, map_picture(images, maps, scale, overlay=True)))
    elif corrupted is None:
        title = "Each pair: original | reconstruction"
        cells = list(strips(to_rgb(images), to_rgb(reconstructed)))
    else:
        title = "Each three: original | corrupted | restored"
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
    top = 0.7
    left = margin / DPI
    width = left + max(montage.shape[1], text_width(title, TITLE) + 4) / DPI
    height = montage.shape[0] / DPI + top
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((left / width, 0, 1 - left / width, 1 - top / height))
    show(axes, montage)
    axes.set_anchor("NW")
    figure.text(left / width, 1 - top / 2 / height, title, fontsize=TITLE, va="center")
    return render(figure)


def anomalies(
    images,
    reconstructed,
    anomaly_maps,
    captions,
    flagged,
    names,
    title,
    *,
    scale=None,
    features=None,
):
    """The images of the highest scores, as `anomalies.png`: original, reconstruction, anomaly map.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        reconstructed: The same of their reconstructions.
        anomaly_maps: float array `(N, H, W)`.
        captions: N lines, as `rank_captions` makes them.
        flagged: bool array `(N,)`.
        names: N names.
        title: The title of the picture.
        scale: The map value that is shown brightest; `None` takes the brightest of these maps.
        features: Pictures of what a network of features sees; `None` for one of pixels.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    if scale is None:
        # One scale for the whole picture, so that maps of normal images stay dark.
        scale = float(np.quantile(anomaly_maps, 0.995))
    seen = [] if features is None else [to_rgb(features)]
    parts = "original | reconstruction | anomaly map" if features is None else FEATURE_PARTS
    return gallery(
        strips(
            to_rgb(images),
            *seen,
            to_rgb(reconstructed),
            map_picture(images, anomaly_maps, scale, overlay=features is not None),
        ),
        captions,
        flagged,
        names,
        (title, f"each: {parts}"),
        scale,
        overlay=features is not None,
    )


def heatmaps(
    images, anomaly_maps, masks, predicted, captions, names, title, *, scale, overlay=False
):
    """Anomaly maps beside the ground truth, as `heatmaps.png`.

    Each image, with the outline of its true mask, is followed by its anomaly map, the predicted
    mask and the true mask, both white on black.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        anomaly_maps: float array `(N, H, W)`.
        masks: bool array `(N, H, W)`, true where the image is anomalous.
        predicted: bool array `(N, H, W)`, true where the map lies above its threshold.
        captions: N lines, as `rank_captions` makes them.
        names: N names.
        title: The title of the picture.
        scale: The map value that is shown brightest: one for the whole dataset, so that maps of
            normal images stay dark.
        overlay: Whether to lay the maps over the images.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    true, predicted = (
        to_rgb(np.asarray(mask, float)[..., np.newaxis]) for mask in (masks, predicted)
    )
    # Drawn on the tiles, the line stays fine on small images and whole on large ones.
    outlines = tiles(true)[..., 0] > 127
    shown = "anomaly map over the original" if overlay else "anomaly map"
    return gallery(
        strips(
            draw_outlines(tiles(to_rgb(images)), outlines),
            map_picture(images, anomaly_maps, scale, overlay),
            predicted,
            true,
        ),
        captions,
        np.zeros(len(captions), bool),
        names,
        (title, f"each: original with the true outline | {shown} | predicted mask | true mask"),
        scale,
        overlay=overlay,
    )


def rank_captions(scores, flagged=None, remarks=None):
    """Captions with rank and score.

    Args:
        scores: float array `(N,)`, highest first.
        flagged: bool array `(N,)`; `None` where it is not to be written.
        remarks: N words to add, some of them empty; `None` for none.

    Returns:
        A list of N lines.

    Example:
        >>> rank_captions([0.9, 0.12345], [True, False], ["injected", ""])
        ['#1  0.9000  flagged  injected', '#2  0.1235']
    """
    flags = [""] * len(scores) if flagged is None else ["flagged" if f else "" for f in flagged]
    remarks = [""] * len(scores) if remarks is None else remarks
    return [
        "  ".join(filter(None, (f"#{rank}", f"{score:#.4g}", flag, remark)))
        for rank, (score, flag, remark) in enumerate(zip(scores, flags, remarks, strict=True), 1)
    ]


def gallery(cells, captions, marked, names, titles, scale, *, overlay=False):
    """Lay out captioned strips in rows, under a title and above a color bar.

    Everything is measured before it is placed: no caption runs into another or off the paper.

    Args:
        cells: uint8 array `(N, h, w, 3)`, N at least 1.
        captions: N lines, one for each cell.
        marked: bool array `(N,)`: which captions stand out.
        names: N names. They go to the right of the captions, or below these where there is no
            room, shortened at their beginning.
        titles: A pair of the title, and of a line below that says what the parts of a cell are.
        scale: The map value that is shown brightest.
        overlay: Whether the maps are laid over the images.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    weights = ["bold" if is_marked else "normal" for is_marked in marked]
    widths = [
        text_width(caption, CAPTION, weight)
        for caption, weight in zip(captions, weights, strict=True)
    ]
    width = max(cells.shape[2], *widths)  # of a cell with its caption
    names = [shorten_name(name) for name in names]
    rooms = [width - taken - 10 for taken in widths]
    lines = 1
    if any(text_width(name, SMALL) > room for name, room in zip(names, rooms, strict=True)):
        lines, rooms = 2, [width] * len(names)
    height = lines * LINE + cells.shape[1] + 18

    columns = min(5, len(cells), max(1, (MAX_WIDTH - MARGIN) // (width + MARGIN)))
    rows = -(-len(cells) // columns)
    texts = tuple(zip(titles, (TITLE, LEGEND), strict=True))
    across = MARGIN + max(
        columns * (width + MARGIN), *(text_width(*text) + MARGIN for text in texts)
    )
    down = HEAD + rows * height + FOOT
    figure = Figure(figsize=(across / DPI, down / DPI), dpi=DPI)

    def write(text, x, y, size, align="left", **settings):
        """Write text on a base line `y` pixels below the upper edge. Names are not formulas."""
        figure.text(
            x / across, 1 - y / down, text, fontsize=size, ha=align, parse_math=False, **settings
        )

    write(titles[0], MARGIN, 36, TITLE)
    write(titles[1], MARGIN, 66, LEGEND, color=GRAY)
    for i, cell in enumerate(cells):
        left = MARGIN + i % columns * (width + MARGIN)
        upper = HEAD + i // columns * height
        color = VERMILLION if marked[i] else "black"
        write(captions[i], left, upper + LINE - 5, CAPTION, color=color, fontweight=weights[i])
        name = fit_name(names[i], rooms[i])
        if lines == 1:
            write(name, left + cell.shape[1], upper + LINE - 5, SMALL, "right", color=GRAY)
        else:
            write(name, left, upper + 2 * LINE - 5, SMALL, color=GRAY)
        # Pixel by pixel, without any resampling.
        lower = down - upper - lines * LINE - len(cell)
        figure.figimage(cell, left, lower, origin="upper")
    draw_color_bar(figure, across, down, scale, overlay)
    return render(figure)


def draw_color_bar(figure, across, down, scale, overlay):
    """Draw the scale of the anomaly maps at the foot of a figure of that many pixels."""
    colors = MAP_COLORS
    if overlay:
        white, ramp = np.full((1, 1, 256, 3), 255, np.uint8), np.linspace(0, 1, 256)
        colors = matplotlib.colors.ListedColormap(overlay_maps(white, ramp, 1)[0, 0] / 255)
    width = min(300, across - 2 * MARGIN)
    axes = figure.add_axes((MARGIN / across, 40 / down, width / across, 14 / down))
    mapping = matplotlib.cm.ScalarMappable(
        matplotlib.colors.Normalize(0, max(scale, 1e-12)), colors
    )
    figure.colorbar(mapping, cax=axes, orientation="horizontal", extend="max")
    axes.tick_params(labelsize=SMALL)
    axes.locator_params(nbins=5)
    axes.set_title("anomaly map value", fontsize=SMALL, loc="left", pad=4)
