"""The report, as text and in a real browser."""

import json
import time

import numpy as np
import pytest

from pyimagesearch.data import datasets
from pyimagesearch.detection import metrics, thresholds
from pyimagesearch.reporting import charts, results
from pyimagesearch.reporting.html_report import MAX_EPOCHS, MAX_MIB, MAX_SCORES, bars, html_report
from tests import chromium

HOSTILE_NAMES = [
    "<script>window.hurt = 1</script>.png",
    "</script><script>window.hurt = 1</script>",
    "<img src=x onerror='window.hurt = 1'>",
    "\"quotes\" and 'quotes' & &lt;entities&gt;",
    "two\nlines\tand a tab",
    "größe/日本/😀.png",
    "line\u2028and\u2029paragraph",
    "right-to-left \u202egnp.exe",
    "undecodable \udcff byte",
    "<!--<script>",
    "${1 + 1} `__proto__` REPORT_DATA PROGRAM_DIGEST",
]


def page(scores, threshold=None, names=None, labels=None, evaluation=None, **more):
    """A page of scores, the highest first."""
    scores = np.asarray(scores, np.float32)
    n = len(scores)
    threshold = float(np.quantile(scores, 0.9)) if threshold is None else threshold
    names = [f"image {i}" for i in range(n)] if names is None else names
    labels = np.full(n, -1) if labels is None else np.asarray(labels)
    detection = results.Detection(
        dataset=datasets.Dataset(None, names, labels),
        score="mse",
        scores=scores,
        ranking=np.arange(n),
        seconds=1.0,
        rule="quantile 0.9",
        threshold=threshold,
        flagged=thresholds.flag(scores, threshold),
        evaluation=evaluation,
    )
    return html_report(detection, **more)


def pictured(n, side=8, seed=0):
    """Three pictures for each of n images, and what they are."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (n, 3, side, side, 3), np.uint8)
    return {"columns": ["Original", "Reconstruction", "Anomaly map"], "pictures": pictures}


def data(text):
    return json.loads(text.split('id="data">')[1].split("</script>")[0], parse_constant=pytest.fail)


def test_page_of_the_same_input_is_the_same(rng):
    scores = np.sort(rng.random(50))[::-1]
    assert page(scores, **pictured(50)) == page(scores, **pictured(50))
    assert page(scores, **pictured(50)) != page(scores, **pictured(50, seed=1))


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
    edges, logarithmic = charts.bar_edges(scores, threshold)
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
    edges, logarithmic = charts.bar_edges(scores, threshold)
    assert threshold in edges
    assert (np.diff(edges) > 0).all()
    counted = bars(scores, edges, logarithmic, np.zeros(len(scores), bool))
    above = edges[:-1] >= threshold
    assert np.array(counted["images"])[above].sum() == thresholds.flag(scores, threshold).sum()
    assert sum(counted["images"]) == len(scores)


# ---- In a browser --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium.path() is None:
        pytest.skip("THE PAGE NOT TESTED IN A BROWSER: install chromium")
    with chromium.Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def show(browser, tmp_path):
    """Open a page, and check at the end that it has logged no error and requested no address."""
    file = tmp_path / "report.html"

    def shown(text, **settings):
        file.write_bytes(text.encode())
        browser.open(file, **settings)
        return browser

    browser.messages.clear()
    browser.requested.clear()
    yield shown
    assert browser.messages == []
    outside = [url for url in browser.requested if not url.startswith("data:")]
    assert set(outside) == {file.as_uri()}


@pytest.fixture
def sixty(rng):
    """The arguments of a page of sixty images, whose anomalies mostly score high."""
    labels = np.where(np.arange(60) < 8, np.arange(60) % 3 != 2, 0)
    labels[50:] = -1
    return {
        "scores": np.sort(rng.random(60, np.float32))[::-1],
        "names": [f"folder/{i}.png" for i in rng.permutation(60)],
        "labels": labels,
        "training": {"loss": [0.3, 0.1, 0.05], "val_loss": [0.2, 0.1, 0.06], "trim": 0.05},
        "settings": {"This run": {"--dataset": "<b>x</b>"}},
        **pictured(60),
    }


def texts(browser, selector):
    return browser.run(f"[...document.querySelectorAll('{selector}')].map(e => e.textContent)")


def shown_flags(browser):
    return browser.run("[...document.querySelectorAll('.card .tag')].map(tag => !tag.hidden)")


def center(browser, selector):
    return browser.run(
        f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
        f"(document.querySelector('{selector}').getBoundingClientRect())"
    )


def test_browser_shows_every_section(show, sixty):
    browser = show(page(**sixty))
    seen = browser.run(
        "[...document.querySelectorAll('section')].filter(s => s.checkVisibility()).map(s => s.id)"
    )
    assert seen == ["threshold", "gallery", "table", "training", "settings"]
    assert browser.run("document.title").startswith("6 of 60 images flagged")
    loaded = "[...document.images].every(image => image.complete && image.naturalWidth === 8)"
    assert browser.run(loaded)
    assert browser.run("[...document.images].every(image => image.alt)")
    assert "<b>x</b>" in texts(browser, "#facts dd")
    # Every landmark has a name for screen readers.
    nameless = "section:not([aria-labelledby]), nav:not([aria-label]), svg:not([aria-label])"
    assert browser.run(f"document.querySelectorAll('{nameless}').length") == 0


def test_browser_shows_hostile_names_as_text(show):
    n = len(HOSTILE_NAMES)
    browser = show(page(np.arange(n)[::-1], names=HOSTILE_NAMES, **pictured(n)))
    browser.run("enlarge(1)")
    expected = [" ".join(name.split()) for name in HOSTILE_NAMES]
    for where in (".card bdi", "#rows bdi"):
        found = [" ".join(text.split()) for text in texts(browser, where)]
        assert found == expected, where
    assert texts(browser, "#large-title bdi") == [HOSTILE_NAMES[1]]
    assert browser.run("window.hurt") is None
    assert browser.run("document.scripts.length") == 2


def test_browser_sorts_and_pages_the_gallery(show, sixty):
    browser = show(page(**sixty))
    by_rank = [f"#{rank}" for rank in range(1, 61)]
    assert texts(browser, ".card b") == by_rank[:24]
    browser.run("document.querySelector('#cards-pager button:nth-child(2)').click()")
    assert texts(browser, ".card b") == by_rank[24:48]

    def sort(order):
        browser.run(f"$('order').value = '{order}'; $('order').dispatchEvent(new Event('change'))")
        return texts(browser, ".card b")

    assert sort("last") == by_rank[:35:-1]
    by_name = sorted(range(60), key=lambda i: int(sixty["names"][i][7:-4]))
    assert sort("name") == [by_rank[i] for i in by_name[:24]]
    by_label = sorted(range(60), key=lambda i: [1, 0, -1].index(sixty["labels"][i]))
    assert sort("label") == [by_rank[i] for i in by_label[:24]]


def test_browser_sorts_the_table_by_its_heads(show, sixty):
    browser = show(page(**sixty))

    def click(column):
        head = f"document.querySelector('#columns th:nth-child({column})')"
        browser.run(f"{head}.querySelector('button').click()")
        first = texts(browser, "#rows tr:first-child td")[0]
        return first, browser.run(f"{head}.getAttribute('aria-sort')")

    first_name = str(sixty["names"].index("folder/0.png") + 1)
    last_name = str(sixty["names"].index("folder/59.png") + 1)
    assert click(2) == (first_name, "ascending")
    assert click(2) == (last_name, "descending")
    assert click(3) == ("1", "descending")
    assert click(3) == ("60", "ascending")
    assert click(1) == ("1", "ascending")
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1


def checked_threshold(browser, sixty):
    """The threshold of the page, once all that it shows agrees with ours."""
    threshold = browser.run("threshold")
    flagged = thresholds.flag(sixty["scores"], threshold)
    assert browser.run("$('count').textContent") == str(flagged.sum())
    assert shown_flags(browser) == flagged[:24].tolist()
    assert browser.run("$('slider').getAttribute('aria-valuetext')").endswith(
        f"{flagged.sum()} of 60 images flagged ({100 * flagged.mean():.{2 - (flagged.mean() >= 0.1)}f}%)"
    )
    evaluation = metrics.evaluate(sixty["scores"], flagged, sixty["labels"])
    expected = [
        "–" if evaluation[k] is None else f"{evaluation[k]:.3f}" for k in ("precision", "recall")
    ]
    assert texts(browser, "#at-threshold dd")[:2] == expected
    # The command that the page shows flags the same images.
    typed = float(browser.run("$('command').textContent").split()[-1])
    assert (thresholds.flag(sixty["scores"], typed) == flagged).all()
    return threshold


def test_browser_moves_the_threshold_by_keys_mouse_finger_and_numbers(show, sixty):
    browser = show(page(**sixty))
    first = checked_threshold(browser, sixty)
    assert first == pytest.approx(np.quantile(sixty["scores"], 0.9))

    browser.run("$('slider').focus()")
    for _ in range(3):
        browser.press("PageDown", 34)
    by_keys = checked_threshold(browser, sixty)
    assert by_keys < first

    x, y = center(browser, "#histogram")
    browser.drag((x + 50, y), (x, y))
    by_mouse = checked_threshold(browser, sixty)
    assert by_mouse == pytest.approx(sixty["scores"].mean(), abs=0.1)
    browser.swipe((x, y), (x + 60, y))
    by_finger = checked_threshold(browser, sixty)
    assert by_finger > by_mouse

    def enter(field, value):
        browser.run(f"$('{field}').value = {value}")
        browser.run(f"$('{field}').dispatchEvent(new Event('change'))")
        return checked_threshold(browser, sixty)

    assert enter("threshold-value", 0.75) == 0.75
    enter("n-flagged", 13)
    assert browser.run("$('count').textContent") == "13"
    enter("n-flagged", 60)
    assert browser.run("$('count').textContent") == "60"
    enter("threshold-value", "''")
    assert browser.run("$('count').textContent") == "60"

    browser.run("$('reset').click()")
    assert checked_threshold(browser, sixty) == first
    ends = time.monotonic() + 30
    while browser.run("$('announcement').textContent") != "6 of 60 images flagged (10.0%)":
        assert time.monotonic() < ends


def test_browser_enlarges_an_image_by_enter_and_turns_by_arrows(show, sixty):
    browser = show(page(**sixty))
    browser.run("document.querySelector('.card').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.run("$('large').open")
    assert texts(browser, "#large figcaption") == ["Original", "Reconstruction", "Anomaly map"]
    browser.press("ArrowRight", 39)
    assert texts(browser, "#large-title") == [f"#2 {sixty['names'][1]}"]
    browser.press("ArrowLeft", 37)
    browser.press("ArrowLeft", 37)
    assert texts(browser, "#large-title") == [f"#1 {sixty['names'][0]}"]
    browser.press("Escape", 27)
    assert not browser.run("$('large').open")
    assert browser.run("document.activeElement === document.querySelector('.card')")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_browser_fits_the_page_to_its_window_in_light_and_dark(show, sixty, width, dark):
    browser = show(page(**sixty), width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    light = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark


def test_browser_prints_the_page_without_its_controls(show, sixty):
    browser = show(page(**sixty), width=760)
    for media, seen in (("print", False), ("", True)):
        browser.call("Emulation.setEmulatedMedia", media=media)
        for control in ("slider", "order", "reset"):
            assert browser.run(f"$('{control}').checkVisibility()") == seen, control
        assert browser.run("document.querySelector('.card').checkVisibility()")
        assert browser.run("document.documentElement.scrollWidth") <= 760


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [([0.5], 0.5), ([0.0] * 3, 0.0), ([3.0, 2, 1], 9.0), ([1e4, 1, 0.9], 2)],
)
def test_browser_shows_a_page_of_next_to_nothing(show, scores, threshold):
    """No labels, no pictures, no training; few scores, or all equal."""
    browser = show(page(scores, threshold))
    seen = browser.run(
        "[...document.querySelectorAll('section')].filter(s => s.checkVisibility()).map(s => s.id)"
    )
    assert seen == ["threshold", "table"]
    assert not browser.run("$('evaluation').checkVisibility()")
    assert browser.run("$('count').textContent") == str(np.sum(np.array(scores) > threshold))
    assert "NaN" not in browser.run("document.body.innerText + $('histogram').outerHTML")


def test_browser_counts_many_images_and_holds_few_elements(show, rng):
    n = 110_000
    scores = np.sort(rng.random(n, np.float32))[::-1]
    browser = show(page(scores, 0.999))
    assert browser.run("$('count').textContent") == f"{np.sum(scores > 0.999):,}"
    assert browser.run("document.querySelectorAll('*').length") < 3000
    browser.run("setThreshold(0)")  # below the lowest score in the page, where it stops
    assert browser.run("$('count').textContent") == f"{MAX_SCORES - 1:,}"
