import matplotlib
import numpy as np
import pytest

from pyimagesearch.reporting import charts, drawing
from tests.reporting.pictures import assert_ink_on_white

CHARTS = {
    "loss_curves": lambda: charts.loss_curves([0.3, 0.1], [0.4, 0.2], 0.03),
    "loss_curves of one epoch": lambda: charts.loss_curves([0.3], []),
    "score_histogram": lambda: charts.score_histogram(np.arange(9.0), 7.5),
    "score_histogram of equal scores": lambda: charts.score_histogram(np.ones(5), 1.0),
    "score_histogram of injected ones": lambda: charts.score_histogram(
        np.arange(9.0), 7.5, injected=np.arange(9) > 5
    ),
    "score_histogram of none injected": lambda: charts.score_histogram(
        np.arange(9.0), 7.5, injected=np.zeros(9, bool)
    ),
    "score_histogram of all injected": lambda: charts.score_histogram(
        np.ones(1), 1.0, injected=np.ones(1, bool)
    ),
    "score_histogram of zeros": lambda: charts.score_histogram(np.zeros(1), 0.0),
}


@pytest.mark.parametrize("draw", CHARTS.values(), ids=CHARTS)
def test_chart_of_any_numbers_is_ink_on_white(draw):
    assert_ink_on_white(draw())


def axes_of(monkeypatch, draw, *args, **settings):
    """The axes of a chart instead of its picture."""
    figures = []
    monkeypatch.setattr(charts, "render", lambda figure: figures.append(figure))
    draw(*args, **settings)
    return figures[0].axes[0]


def legend_of(monkeypatch, *args, **settings):
    """The labels of a histogram's legend, and the axes."""
    axes = axes_of(monkeypatch, charts.score_histogram, *args, **settings)
    return [text.get_text() for text in axes.get_legend().get_texts()], axes


def test_loss_curves_show_each_loss_above_its_epoch_counted_from_1(monkeypatch):
    training, validation = axes_of(
        monkeypatch, charts.loss_curves, [0.3, 0.1, 0.2], [0.4, 0.25, 0.15]
    ).lines
    np.testing.assert_array_equal(training.get_xydata(), [[1, 0.3], [2, 0.1], [3, 0.2]])
    np.testing.assert_array_equal(validation.get_xydata(), [[1, 0.4], [2, 0.25], [3, 0.15]])
    assert [training.get_label(), validation.get_label()] == ["training", "validation (held out)"]


def test_loss_curves_of_other_losses_or_trimmed_look_different():
    plain, other, trimmed = (
        charts.loss_curves([0.3, 0.1], [], **settings)
        for settings in ({}, {"name": "bce"}, {"trim": 0.05})
    )
    assert not np.array_equal(plain, other)
    assert not np.array_equal(plain, trimmed)


@pytest.mark.parametrize(
    ("loss", "scale"), [([0.3, 0.01], "log"), ([0.3, 0.2], "linear"), ([0.3, 0.0], "linear")]
)
def test_loss_curves_falling_far_are_on_a_logarithmic_axis(monkeypatch, loss, scale):
    axes = axes_of(monkeypatch, charts.loss_curves, loss, [])
    assert axes.get_yscale() == scale


def test_loss_curves_when_trimmed_say_which_share_is_left_out(monkeypatch):
    curves = charts.loss_curves
    assert "worst 2.5%" in axes_of(monkeypatch, curves, [0.3, 0.1], [], 0.025).texts[0].get_text()
    assert not axes_of(monkeypatch, curves, [0.3, 0.1], [], 0).texts


def test_logarithmic_axis_has_plain_numbers_at_its_ticks(monkeypatch):
    axes = axes_of(monkeypatch, charts.loss_curves, [50.0, 1.0], [])
    written = [axes.yaxis.get_major_formatter()(tick) for tick in axes.get_yticks()]
    shown = [text for text in written if 1 <= float(text) <= 50]
    assert shown == ["1", "2", "5", "10", "20", "50"]


@pytest.mark.parametrize(("n", "scale"), [(50, "linear"), (51, "symlog")])
def test_histogram_of_small_counts_is_on_a_linear_axis_of_whole_numbers(monkeypatch, n, scale):
    axes = axes_of(monkeypatch, charts.score_histogram, np.append(np.ones(n), 2.0), 1.5)
    assert axes.get_yscale() == scale
    assert all(tick == int(tick) for tick in axes.get_yticks())


@pytest.mark.parametrize(
    ("scores", "scale"),
    [([1, 2, 3, 300], "log"), ([1, 2, 3, 4], "linear"), ([0, 2, 3, 300], "linear")],
)
def test_histogram_with_scores_far_out_is_on_a_logarithmic_axis(monkeypatch, scores, scale):
    axes = axes_of(monkeypatch, charts.score_histogram, np.array(scores, float), 2.5)
    assert axes.get_xscale() == scale
    drawn = [bar for bar in axes.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in drawn) == len(scores)
    # No bar stands left of zero, none on both sides of the threshold.
    assert min(bar.get_x() for bar in drawn) >= 0
    inside = [bar.get_x() + bar.get_width() * np.array([0.01, 0.99]) - 2.5 for bar in drawn]
    assert all(left * right > 0 for left, right in inside)


def test_histogram_with_injected_anomalies_shows_them_apart_with_means(monkeypatch):
    scores, injected = np.array([1.0, 2, 3, 4, 8]), np.array([0, 0, 1, 0, 1], bool)
    labels, axes = legend_of(monkeypatch, scores, 3.5, injected=injected)
    assert labels == [
        "not injected: 3",
        "mean not injected: 2.3333",
        "injected: 2",
        "mean injected: 5.5000",
        "threshold: 3.5000",
    ]
    assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx([7 / 3, 5.5, 3.5])
    bars = {color: [] for color in (drawing.BLUE, drawing.VERMILLION)}
    for bar in axes.patches:
        assert bar.get_alpha() < 1  # what stands behind shows through
        color = matplotlib.colors.to_hex(bar.get_facecolor()).upper()
        bars[color] += [bar.get_x()] * int(bar.get_height())
    width = axes.patches[0].get_width()
    np.testing.assert_allclose(bars[drawing.BLUE], scores[~injected], atol=width)
    np.testing.assert_allclose(bars[drawing.VERMILLION], scores[injected], atol=width)


def test_histogram_with_a_score_on_the_threshold_shows_it_below(monkeypatch):
    scores, threshold = np.float32([0.1, 0.2, 0.3, 0.4]), float(np.float32(0.3))
    _, axes = legend_of(monkeypatch, scores, threshold)
    drawn = [bar for bar in axes.patches if bar.get_height()]
    below = [bar.get_x() + bar.get_width() <= threshold + 1e-9 for bar in drawn]
    assert below == [True, True, True, False]


def test_histogram_without_injected_anomalies_shows_the_flagged_apart(monkeypatch):
    scores = np.array([1.0, 2, 3, 4, 8])
    labels, axes = legend_of(monkeypatch, scores, 3.5)
    assert labels == ["not flagged: 3", "flagged: 2", "threshold: 3.5000"]
    assert len(axes.lines) == 1


def test_histogram_with_none_injected_has_no_mean_of_them(monkeypatch):
    labels, _ = legend_of(monkeypatch, np.arange(3.0), 1, injected=np.zeros(3, bool))
    assert labels[2] == "injected: 0"
    assert not any("mean injected" in label for label in labels)
