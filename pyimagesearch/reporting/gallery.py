"""Galleries of images with captions. Every function returns a picture, uint8 `(H, W, 3)` in RGB."""

import cv2
import imutils
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pyimagesearch.reporting.drawing import (
    CAPTION,
    DPI,
    ERROR_COLORS,
    GREY,
    LEGEND,
    SMALL,
    TITLE,
    VERMILLION,
    color_errors,
    fit_name,
    outlined,
    render,
    shorten_name,
    show,
    strips,
    text_width,
    tiles,
    to_rgb,
)

# Width in pixels of a whole gallery, at most.
WIDEST = 2000


def reconstructions(images, reconstructed, spoilt=None):
    """Originals beside their reconstructions, as `recon_vis.png`.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], N at least 1.
        reconstructed: The like.
        spoilt: The like: what the reconstructions were made of, where that was not the images
            themselves but spoilt ones; shown between the two.
    """
    if spoilt is None:
        title = "Each pair: original | reconstruction"
        cells = list(strips(to_rgb(images), to_rgb(reconstructed)))
    else:
        title = "Each three: clean | spoilt | restored"
        cells = list(strips(to_rgb(images), to_rgb(spoilt), to_rgb(reconstructed)))
    margin = 12
    tile = (cells[0].shape[1] + margin, cells[0].shape[0] + margin)
    # imutils leaves the rest of the last row black; here the paper is white.
    columns = min(4, len(cells))
    rows = -(-len(cells) // columns)
    cells += [np.full_like(cells[0], 255)] * (rows * columns - len(cells))
    padded = [
        cv2.copyMakeBorder(cell, 0, margin, 0, margin, cv2.BORDER_CONSTANT, value=(255,) * 3)
        for cell in cells
    ]
    montage = imutils.build_montages(padded, tile, (columns, rows))[0]
    top = 0.7
    left = margin / DPI
    width, height = (
        left + max(montage.shape[1], text_width(title, TITLE) + 4) / DPI,
        montage.shape[0] / DPI + top,
    )
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((left / width, 0, 1 - left / width, 1 - top / height))
    show(axes, montage)
    axes.set_anchor("NW")
    figure.text(left / width, 1 - top / 2 / height, title, fontsize=TITLE, va="center")
    return render(figure)


def anomalies(
    images, reconstructed, error_maps, scores, flagged, names, title, scale=None, notes=None
):
    """The highest-ranked images, as `anomalies.png`: original, reconstruction, error map.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        reconstructed: The like.
        error_maps: float array `(N, H, W)`.
        scores: float array `(N,)`.
        flagged: bool array `(N,)`.
        names: N names.
        title: What to write above.
        scale: The error that is shown brightest; `None` takes the brightest of these images.
        notes: N short remarks for the captions, or `None`. A remark may be empty.
    """
    if scale is None:
        # One scale for the whole picture, so that what is normal stays dark.
        scale = float(np.quantile(error_maps, 0.995))
    captions = [
        "  ".join(filter(None, (ranked, "flagged" if is_flagged else "", note)))
        for ranked, is_flagged, note in zip(
            ranks(scores), flagged, notes or [""] * len(scores), strict=True
        )
    ]
    return gallery(
        strips(to_rgb(images), to_rgb(reconstructed), color_errors(error_maps, scale)),
        captions,
        flagged,
        names,
        title,
        "each: original | reconstruction | error map",
        scale,
    )


def heatmaps(images, anomaly_maps, masks, predicted, scores, names, scale, title):
    """Where the images are odd, and where they truly are, as `heatmaps.png`.

    Each image, with the outline of its true mask, is followed by its error map, the predicted
    mask and the true mask, both white on black.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        anomaly_maps: float array `(N, H, W)`.
        masks: bool array `(N, H, W)`, true where the image is anomalous.
        predicted: bool array `(N, H, W)`, true where it was found to be.
        scores: float array `(N,)`.
        names: N names.
        scale: The map value that is shown brightest: one for the whole set, so that maps of
            normal images stay dark.
        title: What to write above.
    """
    truth, found = (to_rgb(np.asarray(mask, float)[..., np.newaxis]) for mask in (masks, predicted))
    # The line is drawn last, in the size to look at: it stays fine on small images, whole on large.
    outlines = tiles(truth)[..., 0] > 127
    return gallery(
        strips(
            outlined(tiles(to_rgb(images)), outlines),
            color_errors(anomaly_maps, scale),
            found,
            truth,
        ),
        ranks(scores),
        np.zeros(len(scores), bool),
        names,
        title,
        "each: original with the true outline | error map | predicted mask | true mask",
        scale,
    )


def ranks(scores):
    """Rank and score of each image for its caption, of scores in falling order.

    Example:
        >>> ranks([0.9, 0.12345])
        ['#1  0.9000', '#2  0.1235']
    """
    return [f"#{rank}  {score:#.4g}" for rank, score in enumerate(scores, start=1)]


def gallery(cells, captions, marked, names, title, legend, scale):
    """Lay out captioned strips in rows, under a title and above a colour bar.

    Everything is measured before it is placed: no caption runs into another or off the paper.

    Args:
        cells: uint8 array `(N, h, w, 3)`, N at least 1.
        captions: N lines, one for each cell.
        marked: bool array `(N,)`: whose captions stand out.
        names: N names. They go to the right of the captions, or below these where there is no
            room, shortened at their beginning.
        title: What to write above.
        legend: What the parts of a cell are.
        scale: The map value that is shown brightest.
    """
    side, line, top, bottom = 24, 21, 92, 92  # margin between cells, line of text, head and foot
    weights = ["bold" if is_marked else "normal" for is_marked in marked]
    widths = [
        text_width(*of) for of in zip(captions, [CAPTION] * len(captions), weights, strict=True)
    ]
    width = max(cells.shape[2], *widths)  # of a cell with its caption
    names = [shorten_name(name) for name in names]
    rooms = [width - taken - 10 for taken in widths]
    lines = 1
    if any(text_width(name, SMALL) > room for name, room in zip(names, rooms, strict=True)):
        lines, rooms = 2, [width] * len(names)
    height = lines * line + cells.shape[1] + 18

    columns = min(5, len(cells), max(1, (WIDEST - side) // (width + side)))
    rows = -(-len(cells) // columns)
    texts = ((title, TITLE), (legend, LEGEND))
    across = side + max(columns * (width + side), *(text_width(*text) + side for text in texts))
    down = top + rows * height + bottom
    figure = Figure(figsize=(across / DPI, down / DPI), dpi=DPI)

    def write(text, x, y, size, align="left", **settings):
        """Text on a base line `y` pixels below the upper edge. Names are no formulas."""
        figure.text(
            x / across, 1 - y / down, text, fontsize=size, ha=align, parse_math=False, **settings
        )

    write(title, side, 36, TITLE)
    write(legend, side, 66, LEGEND, color=GREY)
    for i, cell in enumerate(cells):
        left, upper = side + i % columns * (width + side), top + i // columns * height
        color = VERMILLION if marked[i] else "black"
        write(captions[i], left, upper + line - 5, CAPTION, color=color, fontweight=weights[i])
        name = fit_name(names[i], rooms[i])
        if lines == 1:
            write(name, left + cell.shape[1], upper + line - 5, SMALL, "right", color=GREY)
        else:
            write(name, left, upper + 2 * line - 5, SMALL, color=GREY)
        # Pixel by pixel, without any resampling.
        lower = down - upper - lines * line - len(cell)
        figure.figimage(cell, left, lower, origin="upper")

    bar_width = min(300, across - 2 * side)
    bar = figure.add_axes((side / across, 40 / down, bar_width / across, 14 / down))
    colors = matplotlib.cm.ScalarMappable(
        matplotlib.colors.Normalize(0, max(scale, 1e-12)), ERROR_COLORS
    )
    figure.colorbar(colors, cax=bar, orientation="horizontal", extend="max")
    bar.tick_params(labelsize=SMALL)
    bar.locator_params(nbins=5)
    bar.set_title("value in the map", fontsize=SMALL, loc="left", pad=4)
    return render(figure)
