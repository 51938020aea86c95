"""What does a person see? Every function returns a picture, uint8 `(H, W, 3)` in RGB."""

import contextlib
import logging
import warnings

import cv2
import imutils
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import LogLocator, NullFormatter

# Its remarks on fonts and caches are no news to somebody who is looking for odd images.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# Okabe and Ito's colours, which colour-blind readers tell apart too.
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#777777"
OUTLINE, FRAME = (86, 180, 233), (204, 204, 204)  # their sky blue, and a light grey, in RGB
# Light over dark, in even steps of lightness, so that it also reads in grey.
ERROR_COLORS = matplotlib.colormaps["inferno"]
DPI = 100
# Sides in pixels: of a pictured image, if a whole factor takes it there, and of a whole gallery.
SMALLEST_TILE, LARGEST_TILE, WIDEST = 112, 152, 2000
# Sizes of letters in points, to be read at half the size too, as a page may show the pictures.
TITLE, LEGEND, CAPTION, SMALL = 18, 13, 13, 10


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


def loss_curves(loss, val_loss, trim=0.0, name="mse"):
    """Training and validation loss by epoch, as `plot.png`.

    Args:
        loss: Sequence of the training loss after each epoch.
        val_loss: The same of the images held out; may be empty.
        trim: Share of the images that is left out of both, for the label.
        name: What the loss is called: `mse`, `bce`, or something to be shown as it is.
    """
    figure, axes = chart("Training and validation loss")
    epochs = np.arange(1, len(loss) + 1)
    marker = "o" if len(loss) <= 40 else ""  # dots, unless they would hide the lines
    settings = {"linewidth": 2, "markersize": 5}
    axes.plot(epochs, loss, marker + "-", color=BLUE, label="training", **settings)
    if len(val_loss):
        axes.plot(epochs, val_loss, marker + "--", color=VERMILLION, label="held out", **settings)
    losses = np.concatenate([loss, val_loss])
    # Where the first epochs would press all others to the floor.
    if losses.min() > 0 and losses.max() > 3 * losses.min():
        logarithmic_axis(axes.yaxis, losses.max() / losses.min())
    axes.xaxis.get_major_locator().set_params(integer=True)
    if trim:
        # Curves fall: the upper right corner is free.
        note = f"both without the worst {100 * trim:.3g}%,\namong which the suspects are"
        where = {"transform": axes.transAxes, "ha": "right", "va": "top", "linespacing": 1.4}
        axes.text(0.99, 0.97, note, fontsize=LEGEND - 1, color=GREY, **where)
    spelt_out = {"mse": "mean squared error", "bce": "cross-entropy"}.get(name, name)
    return finish_chart(figure, axes, "epoch", spelt_out)


def chart(title):
    """A figure with a title, and axes in it without a box around them."""
    figure = Figure(figsize=(8, 5), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    figure.suptitle(title, x=0.02, ha="left", fontsize=TITLE)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def finish_chart(figure, axes, across, up):
    """Label axes, and draw the figure. The legend stands above, where no data can be."""
    axes.set_xlabel(across, fontsize=LEGEND)
    axes.set_ylabel(up, fontsize=LEGEND)
    axes.tick_params(labelsize=LEGEND - 1)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    entries = len(axes.get_legend_handles_labels()[0])
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3 if entries <= 3 else 2,
        borderaxespad=0.2,
        fontsize=LEGEND - 1,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.4,
    )
    return render(figure)


def logarithmic_axis(axis, ratio):
    """Make an axis logarithmic, with round numbers written out at its ticks.

    Args:
        axis: Of Matplotlib.
        ratio: The highest value over the lowest.
    """
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 1000 else (1,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


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


def bar_edges(scores, threshold):
    """Where about sixty bars of a histogram begin and end: never on both sides of the threshold.

    Args:
        scores: float array `(N,)`, N at least 1.
        threshold: The number above which an image is flagged; one of the edges.

    Returns:
        A tuple of the edges, a float array, ascending, the first below all scores and the last
        not below any; and whether they keep equal distances on a logarithmic scale. They do
        where the scores differ tenfold and a third of a linear one would lie empty in one piece.

    Example:
        >>> edges, over_decades = bar_edges(np.array([1.0, 2.0, 100.0]), 50.0)
        >>> bool(edges[0] < 1), bool(edges[-1] >= 100), 50.0 in edges, over_decades
        (True, True, True, True)
    """
    points = np.sort(np.append(np.asarray(scores, np.float64), threshold))
    low, middle, high = points[0], threshold, points[-1]
    gap = np.diff(points).max()
    over_decades = bool(low > 0 and high > 10 * low and gap > (high - low) / 3)
    if over_decades:
        low, middle, high = np.log([low, middle, high])
    width = (high - low) / 60 or 1e-6
    below, above = (int(np.ceil(part / width)) + 1 for part in (middle - low, high - middle))
    edges = middle + width * np.arange(-below, above + 1)
    if over_decades:
        edges = np.exp(edges)
    edges[below] = threshold  # to the bit, whatever was lost in rounding
    return edges, over_decades


def score_histogram(scores, threshold, score="mse", planted=None):
    """How the scores are spread, and where the threshold lies, as `errors.png`.

    Args:
        scores: float array `(N,)`, N at least 1.
        threshold: The number above which an image is flagged.
        score: Name of the score.
        planted: bool array `(N,)`, true for the images that were spoilt on purpose: these and
            the others are then shown apart, with their means. `None` parts the flagged from
            the others instead.
    """
    bins, over_decades = bar_edges(scores, threshold)
    figure, axes = chart(f"Scores of {len(scores):,} images")
    if planted is None:
        flagged = scores > threshold
        groups = {"not flagged": (scores[~flagged], BLUE), "flagged": (scores[flagged], VERMILLION)}
    else:
        groups = {"as they are": (scores[~planted], BLUE), "planted": (scores[planted], VERMILLION)}
    tallest = 0
    for name, (values, color) in groups.items():
        # Where bars of both stand in one place, each shows through the other.
        see_through = {} if planted is None else {"alpha": 0.55}
        counts, *_ = axes.hist(
            values, bins, color=color, label=f"{name}: {len(values):,}", **see_through
        )
        tallest = max(tallest, counts.max())
        if planted is not None and len(values):
            mean = float(np.mean(values))
            axes.axvline(
                mean, color=color, linestyle=":", linewidth=2, label=f"mean {name}: {mean:#.5g}"
            )
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold: {threshold:#.5g}")
    if over_decades:
        logarithmic_axis(axes.xaxis, bins[-1] / bins[0])
    # A few outliers beside thousands of others would be no pixel high.
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 2 * tallest)
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    return finish_chart(figure, axes, f"score ({score})", "images")
