"""What does a person see? Every function returns a picture, uint8 `(H, W, 3)` in RGB."""

import logging
import warnings

import cv2
import imutils
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Its remarks on fonts and caches are no news to somebody who is looking for odd images.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# Okabe and Ito's colours, which colour-blind readers tell apart too.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#777777"
# Light over dark, in even steps of lightness, so that it also reads in grey.
ERROR_COLORS = matplotlib.colormaps["inferno"]
DPI = 100
TILE = 112  # side of a pictured image in pixels, at least


def render(figure):
    """Draw a Matplotlib figure without any window."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A name in letters that the font lacks shows as boxes; the CSV has it as it is.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def to_rgb(images):
    """Images `(N, H, W, C)` in [0, 1] as uint8 `(N, H, W, 3)`. Odd channel numbers show as grey."""
    if images.shape[-1] != 3:
        images = np.repeat(images.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)


def color_errors(error_maps, scale):
    """Error maps `(N, H, W)` as uint8 `(N, H, W, 3)`: black for 0, bright from `scale` on."""
    shares = np.clip(error_maps / scale if scale > 0 else np.zeros_like(error_maps), 0, 1)
    return np.rint(ERROR_COLORS(shares)[..., :3] * 255).astype(np.uint8)


def strips(*columns):
    """Set pictures side by side.

    Args:
        *columns: uint8 arrays `(N, H, W, 3)`.

    Returns:
        A list of N uint8 arrays `(h, w, 3)`, enlarged by a whole factor and parted by white.
    """
    factor = max(1, -(-TILE // max(columns[0].shape[1:3])))
    gap = 4
    rows = []
    for row in zip(*columns, strict=True):
        tiles = []
        for tile in row:
            size = (tile.shape[1] * factor, tile.shape[0] * factor)
            tiles.append(cv2.resize(tile, size, interpolation=cv2.INTER_NEAREST))
            tiles.append(np.full((size[1], gap, 3), 255, np.uint8))
        rows.append(np.hstack(tiles[:-1]))
    return rows


def show(axes, picture):
    """Put a picture on axes without ticks and without a frame."""
    axes.imshow(picture, interpolation="nearest")
    axes.set_axis_off()


def reconstructions(images, reconstructed):
    """Originals beside their reconstructions, as `recon_vis.png`.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], N at least 1.
        reconstructed: The like.
    """
    pairs = strips(to_rgb(images), to_rgb(reconstructed))
    margin = 12
    tile = (pairs[0].shape[1] + margin, pairs[0].shape[0] + margin)
    # imutils leaves the rest of the last row black; here the paper is white.
    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)
    pairs += [np.full_like(pairs[0], 255)] * (rows * columns - len(pairs))
    padded = [
        cv2.copyMakeBorder(pair, 0, margin, 0, margin, cv2.BORDER_CONSTANT, value=(255,) * 3)
        for pair in pairs
    ]
    montage = imutils.build_montages(padded, tile, (columns, rows))[0]
    top = 0.55
    left = margin / DPI
    width, height = left + max(montage.shape[1] / DPI, 4), montage.shape[0] / DPI + top
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((left / width, 0, 1 - left / width, 1 - top / height))
    show(axes, montage)
    axes.set_anchor("NW")
    title = "Each pair: original, reconstruction"
    figure.text(left / width, 1 - top / 2 / height, title, fontsize=14, va="center")
    return render(figure)


def loss_curves(loss, val_loss, trim=0.0):
    """Training and validation loss by epoch, as `plot.png`.

    Args:
        loss: Sequence of the training loss after each epoch.
        val_loss: The same of the images held out; may be empty.
        trim: Share of the images that is left out of both, for the label.
    """
    figure = Figure(figsize=(7, 4.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    epochs = np.arange(1, len(loss) + 1)
    marker = "o" if len(loss) <= 40 else ""  # dots, unless they would hide the lines
    axes.plot(epochs, loss, marker + "-", color=BLUE, label="training", markersize=4)
    if len(val_loss):
        axes.plot(epochs, val_loss, marker + "--", color=VERMILLION, label="held out", markersize=4)
    axes.set_yscale("log")
    axes.set_title("Training and validation loss")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    unless = f", without the worst {trim:.0%}" if trim else ""
    axes.set_ylabel(f"mean squared error{unless}")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return render(figure)


def anomalies(images, reconstructed, error_maps, scores, flagged, names, title):
    """The highest-ranked images, as `anomalies.png`: original, reconstruction, error map.

    Args:
        images: float array `(N, H, W, C)` in [0, 1], highest score first, N at least 1.
        reconstructed: The like.
        error_maps: float array `(N, H, W)`.
        scores: float array `(N,)`.
        flagged: bool array `(N,)`.
        names: N names.
        title: What to write above.
    """
    # One scale for the whole picture, so that what is normal stays dark.
    scale = float(np.quantile(error_maps, 0.995))
    cells = strips(to_rgb(images), to_rgb(reconstructed), color_errors(error_maps, scale))
    columns = min(5, len(cells)) if len(cells) >= 5 else max(2, min(len(cells), 3))
    rows = -(-len(cells) // columns)
    cell = (cells[0].shape[1] / DPI, cells[0].shape[0] / DPI)  # inches
    caption, side, top, bottom = 0.42, 0.2, 0.75, 0.75
    width = columns * (cell[0] + side) + side
    height = top + rows * (cell[1] + caption) + bottom
    figure = Figure(figsize=(width, height), dpi=DPI)
    figure.text(side / width, 1 - 0.26 / height, title, fontsize=14, va="center")
    figure.text(
        side / width,
        1 - 0.56 / height,
        "each: original | reconstruction | error map",
        fontsize=10,
        color=GREY,
        va="center",
    )
    for i, strip in enumerate(cells):
        left = side + (i % columns) * (cell[0] + side)
        floor = height - top - (i // columns + 1) * (cell[1] + caption) + 0.1
        axes = figure.add_axes((left / width, floor / height, cell[0] / width, cell[1] / height))
        show(axes, strip)
        axes.set_title(
            f"#{i + 1}  {scores[i]:.4f}{'  flagged' if flagged[i] else ''}",
            loc="left",
            fontsize=10,
            pad=3,
            color=VERMILLION if flagged[i] else "black",
            fontweight="bold" if flagged[i] else "normal",
        )
        axes.set_title(shortened(names[i]), loc="right", fontsize=8, pad=3, color=GREY)
    bar = figure.add_axes(
        (side / width, 0.42 / height, min(3, width - 2 * side) / width, 0.12 / height)
    )
    colors = matplotlib.cm.ScalarMappable(
        matplotlib.colors.Normalize(0, max(scale, 1e-12)), ERROR_COLORS
    )
    figure.colorbar(colors, cax=bar, orientation="horizontal", extend="max")
    bar.tick_params(labelsize=8)
    bar.set_title("error of a pixel", fontsize=8, loc="left", pad=2)
    return render(figure)


def shortened(name, longest=24):
    """The end of a name, where the file is."""
    # Matplotlib reads formulas between dollar signs.
    name = name if len(name) <= longest else "…" + name[1 - longest :]
    return name.replace("$", r"\$")


def score_histogram(scores, threshold, score="mse"):
    """How the scores are spread, and where the threshold lies, as `errors.png`.

    Args:
        scores: float array `(N,)`, N at least 1.
        threshold: The number above which an image is flagged.
        score: Name of the score.
    """
    flagged = scores > threshold
    low, high = float(np.min(scores)), float(max(np.max(scores), threshold))
    # Sixty bins, with an edge at the threshold: no bar stands on both sides of it.
    width = (high - low) / 60 or 1e-6
    below, above = (int(np.ceil(part / width)) + 1 for part in (threshold - low, high - threshold))
    bins = threshold + width * np.arange(-below, above + 1)
    figure = Figure(figsize=(7, 4.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    normal, *_ = axes.hist(
        scores[~flagged], bins, color=BLUE, label=f"not flagged: {np.sum(~flagged):,}"
    )
    odd, *_ = axes.hist(
        scores[flagged], bins, color=VERMILLION, label=f"flagged: {np.sum(flagged):,}"
    )
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold: {threshold:.6f}")
    # A few outliers beside thousands of others would be no pixel high.
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 2 * max(normal.max(), odd.max()))
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.set_title(f"Scores of {len(scores):,} images")
    axes.set_xlabel(score)
    axes.set_ylabel("images")
    axes.grid(alpha=0.3)
    axes.legend()
    return render(figure)
