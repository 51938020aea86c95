"""Charts: loss curves and the histogram of anomaly scores."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pyimagesearch.reporting.drawing import BLUE, DPI, GRAY, LEGEND, TITLE, VERMILLION, render
from pyimagesearch.reporting.histogram import bar_counts, bar_edges

# Images in the tallest bar of a histogram, at most, where its axis is linear. A single image is then
# some pixels high.
MAX_LINEAR = 50


def loss_curves(loss, val_loss, trim=0.0, name="mse"):
    """Training and validation loss by epoch, as `plot.png`.

    Args:
        loss: Sequence of the training loss after each epoch.
        val_loss: The same of the held-out images; may be empty.
        trim: Share of the images that both leave out, to be written beside the curves.
        name: The loss: `mse`, `bce`, or any other name.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    figure, axes = chart("Training and validation loss")
    epochs = np.arange(1, len(loss) + 1)
    marker = "o" if len(loss) <= 40 else ""  # dots, unless they would hide the lines
    settings = {"linewidth": 2, "markersize": 5, "label": "training"}
    axes.plot(epochs, loss, marker + "-", color=BLUE, **settings)
    if len(val_loss):
        settings["label"] = "validation (held out)"
        axes.plot(epochs, val_loss, marker + "--", color=VERMILLION, **settings)
    losses = np.concatenate([loss, val_loss])
    # On a linear axis, high losses of the first epochs would press all others to the floor.
    if losses.min() > 0 and losses.max() > 3 * losses.min():
        logarithmic_axis(axes.yaxis, losses.max() / losses.min())
    axes.xaxis.get_major_locator().set_params(integer=True)
    if trim:
        # Curves fall: the upper right corner is free.
        note = f"both without the worst {100 * trim:.3g}% of images,\nwhich may be outliers"
        where = {"transform": axes.transAxes, "ha": "right", "va": "top", "linespacing": 1.4}
        axes.text(0.99, 0.97, note, fontsize=LEGEND - 1, color=GRAY, **where)
    label = {"mse": "mean squared error", "bce": "cross-entropy"}.get(name, name)
    return finish_chart(figure, axes, "epoch", label)


def chart(title):
    """A figure with a title, and axes without a box around them."""
    figure = Figure(figsize=(8, 5), dpi=DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    figure.suptitle(title, x=0.02, ha="left", fontsize=TITLE)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def finish_chart(figure, axes, x_label, y_label):
    """Label the axes and draw the figure, its legend above the axes, where no data can be."""
    axes.set_xlabel(x_label, fontsize=LEGEND)
    axes.set_ylabel(y_label, fontsize=LEGEND)
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
        axis: An `XAxis` or `YAxis` of Matplotlib.
        ratio: The highest value over the lowest.
    """
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 1000 else (1,)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def score_histogram(scores, threshold, score="mse", injected=None):
    """Histogram of the anomaly scores with the threshold, as `errors.png`.

    Args:
        scores: float array `(N,)`, N at least 1.
        threshold: The number above which an image is flagged.
        score: Name of the score.
        injected: bool array `(N,)`, true for synthetic anomalies: these and the others are then
            shown in two colors, with their means. `None` shows the flagged images and the
            others in two colors instead.

    Returns:
        A picture, uint8 array `(H, W, 3)`, RGB.
    """
    edges, logarithmic = bar_edges(scores, threshold)
    figure, axes = chart(f"Anomaly scores of {len(scores):,} images")
    if injected is None:
        flagged = np.asarray(scores, np.float64) > threshold  # as `thresholds.flag` compares
        groups = {"not flagged": (scores[~flagged], BLUE), "flagged": (scores[flagged], VERMILLION)}
    else:
        groups = {
            "not injected": (scores[~injected], BLUE),
            "injected": (scores[injected], VERMILLION),
        }
    tallest = 0
    for name, (values, color) in groups.items():
        # Bars of the two groups may overlap.
        transparency = {} if injected is None else {"alpha": 0.55}
        counts = bar_counts(values, edges)
        label = f"{name}: {len(values):,}"
        # Matplotlib itself would count a score on the threshold in the bar above it.
        middles = (edges[:-1] + edges[1:]) / 2
        axes.hist(middles, edges, weights=counts, color=color, label=label, **transparency)
        tallest = max(tallest, counts.max())
        if injected is not None and len(values):
            mean = float(np.mean(values))
            axes.axvline(
                mean, color=color, linestyle=":", linewidth=2, label=f"mean {name}: {mean:#.5g}"
            )
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold: {threshold:#.5g}")
    if logarithmic:
        logarithmic_axis(axes.xaxis, edges[-1] / edges[0])
    if tallest > MAX_LINEAR:
        # On a linear axis, a few outliers beside thousands of inliers would not be a pixel high.
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(0, 2 * tallest)
    else:
        axes.set_ylim(0, 1.05 * tallest)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    return finish_chart(figure, axes, f"anomaly score ({score})", "images")
