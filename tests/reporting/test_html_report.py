"""The report as text. What it does in a browser is in `test_report_page.py`."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from pyimagesearch.detection import thresholds
from pyimagesearch.reporting import histogram
from pyimagesearch.reporting.histogram import bars
from pyimagesearch.reporting.html_report import MAX_EPOCHS, MAX_MIB, MAX_SIDE
from tests.reporting.pages import HOSTILE_NAMES, page, pictured
from tests.reporting.pictures import CORNERS


def data(text):
    return json.loads(text.split('id="data">')[1].split("</script>")[0], parse_constant=pytest.fail)


def test_page_of_the_same_input_is_the_same(rng):
    scores = np.sort(rng.random(50))[::-1]
    assert page(scores, **pictured(50)) == page(scores, **pictured(50))
    assert page(scores, **pictured(50)) != page(scores, **pictured(50, seed=1))


def picture_of(uri):
    """The RGB picture in a data URI, read by another library than the one that wrote it."""
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition("base64,")[2])))
    return np.asarray(picture.convert("RGB")).astype(int)


def test_page_shows_small_pictures_bit_by_bit_and_large_ones_reduced_in_their_colors_and_upright():
    large = CORNERS.repeat(200, axis=0).repeat(200, axis=1)  # 800 x 1400
    pictures = [(CORNERS, CORNERS[..., 0]), (large, large[..., 0])]
    content = data(page([2.0, 1.0], columns=["Original", "Anomaly map"], pictures=pictures))
    assert content["ratio"] == 1.75
    np.testing.assert_array_equal(picture_of(content["pictures"][0][0]), CORNERS)
    gray = picture_of(content["pictures"][0][1])
    np.testing.assert_array_equal(gray, CORNERS[..., [0, 0, 0]])
    reduced = picture_of(content["pictures"][1][0])
    assert reduced.shape == (round(MAX_SIDE * 4 / 7), MAX_SIDE, 3)
    corners = reduced[[9, 9, -9, -9], [9, -9, 9, -9]]
    np.testing.assert_allclose(corners, CORNERS[[0, 0, -1, -1], [0, -1, 0, -1]], atol=9)


def test_page_counts_epochs_from_1():
    training = {"loss": [0.3, 0.2, 0.1], "val_loss": [0.4, 0.3, 0.2]}
    shown = data(page([1.0], training=training))["training"]
    assert (shown["epochs"], shown["loss"]) == ([1, 2, 3], [0.3, 0.2, 0.1])


def test_page_with_hostile_names_keeps_them_as_data():
    text = page(np.ones(len(HOSTILE_NAMES)), names=HOSTILE_NAMES)
    assert text.count("<script") == page([1.0]).count("<script")
    assert data(text)["names"] == HOSTILE_NAMES
    assert data(text)["bars"] == data(page(np.ones(len(HOSTILE_NAMES))))["bars"]
    text.encode()  # no lone surrogate is left to stumble over


def test_page_with_nan_and_infinity_has_null():
    training = {"loss": [float("nan"), 0.5], "val_loss": [float("inf")]}
    text = page(
        [1.0], evaluation={"auroc": np.nan}, training=training, settings={"a": {"b": np.nan}}
    )
    assert data(text)["training"]["loss"] == [None, 0.5]
    assert data(text)["training"]["val_loss"] == [None]
    assert data(text)["metrics"] == {"auroc": None}


def test_page_of_too_much_stays_below_its_cap_and_takes_no_more_than_fits(rng):
    n, asked = 250_000, 0

    def noise():
        nonlocal asked
        while True:
            asked += 1
            yield [rng.integers(0, 256, (300, 300, 3), np.uint8)] * 3

    scores = np.sort(rng.random(n, np.float32))[::-1]
    text = page(
        scores,
        names=["<&>" * 1000] * n,
        labels=np.arange(n) % 3 - 1,
        columns=["a", "b", "c"],
        pictures=noise(),
        training={"loss": list(rng.random(10**5)), "val_loss": list(rng.random(10**5))},
        settings={"<": {f"{'>' * 999}{i}": "&" * 10**5 for i in range(1000)}},
    )
    assert len(text.encode()) < MAX_MIB * 2**20
    content = data(text)
    assert sum(content["bars"]["images"]) == n
    assert 10 < len(content["pictures"]) < 1000
    assert asked <= len(content["pictures"]) + 1
    assert 1 < len(content["names"]) < n
    assert 1 < len(content["settings"]) < 1000
    assert len(content["training"]["epochs"]) <= MAX_EPOCHS


def test_bars_with_scores_on_the_threshold_count_them_below():
    scores = np.float32([5, 4, 4, 3, 2, 1, 1])
    threshold = 4.0
    edges, logarithmic = histogram.bar_edges(scores, threshold)
    anomalous = scores == 4
    counted = bars(scores, edges, logarithmic, anomalous)
    above = np.array(counted["edges"][:-1]) >= threshold
    assert np.array(counted["images"])[above].sum() == 1
    assert np.array(counted["anomalies"])[~above].sum() == 2
    assert sum(counted["images"]) == 7


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [
        ([0.5], 0.5),
        ([0.0] * 5, 0.0),
        ([3.0, 2.0, 1.0], 9.0),
        ([3.0, 2.0, 1.0], -9.0),
        ([1e30, 1.0, 1e-30], 1.0),
        ([5e4, 3.0, 2.9, 2.0], 2.95),
        ([1e-40, 0.0], 0.0),
    ],
)
def test_bars_of_any_scores_count_each_on_its_side_of_the_threshold(scores, threshold):
    scores = np.float32(scores)
    edges, logarithmic = histogram.bar_edges(scores, threshold)
    assert threshold in edges
    assert (np.diff(edges) > 0).all()
    counted = bars(scores, edges, logarithmic, np.zeros(len(scores), bool))
    above = edges[:-1] >= threshold
    assert np.array(counted["images"])[above].sum() == thresholds.flag(scores, threshold).sum()
    assert sum(counted["images"]) == len(scores)
