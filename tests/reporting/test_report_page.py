"""The report in a real browser."""

import base64
import csv
import shlex
import time
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import cv2
import numpy as np
import pytest

from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.detection import metrics, thresholds
from pyimagesearch.reporting import drawing, html_report
from pyimagesearch.reporting.html_report import MAX_SCORES
from tests import chromium
from tests.reporting.pages import HOSTILE_NAMES, page, pictured


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
    assert seen == ["review", "threshold", "gallery", "table", "training", "settings"]
    assert browser.run("document.title").startswith("6 of 60 images flagged")
    loaded = "[...document.images].every(image => image.complete && image.naturalWidth === 8)"
    assert browser.run(loaded)
    nameless = "[...document.images].filter(image => !image.alt).map(image => image.className)"
    assert set(browser.run(nameless)) == {"exact"}  # the originals below the maps
    assert "<b>x</b>" in texts(browser, "#facts dd")
    # Every landmark has a name for screen readers.
    nameless = "section:not([aria-labelledby]), nav:not([aria-label]), svg:not([aria-label], [aria-hidden])"
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
    command = shlex.split(browser.run("$('command').textContent"))
    assert command[:-1] == [
        *("python", "find_anomalies.py"),
        *("--scores", "a folder/anomalies.csv", "--threshold"),
    ]
    typed = float(command[-1])
    assert (thresholds.flag(sixty["scores"], typed) == flagged).all()
    return threshold


def test_browser_moves_the_threshold_by_keys_mouse_finger_and_numbers(show, sixty):
    browser = show(page(**sixty, output="a folder"))
    first = checked_threshold(browser, sixty)
    assert first == pytest.approx(np.quantile(sixty["scores"], 0.9))

    browser.run("$('slider').focus()")
    for _ in range(3):
        browser.press("PageDown", 34)
    by_keys = checked_threshold(browser, sixty)
    assert by_keys < first
    count = int(browser.run("$('count').textContent"))
    assert by_keys == sixty["scores"][count - 1 : count + 1].astype(float).mean()
    # The header follows.
    assert browser.run("$('lead').textContent").startswith(f"{count} of 60 images are flagged")
    assert browser.run("document.title").startswith(f"{count} of 60 images flagged")

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
    enter("n-flagged", 1)
    assert "1 of 60 images is flagged: its score is above" in browser.run("$('lead').textContent")
    enter("n-flagged", 0)
    assert "0 of 60 images are flagged: no score is" in browser.run("$('lead').textContent")
    scores = sixty["scores"].astype(float)
    assert enter("n-flagged", 13) == (scores[12] + scores[13]) / 2
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
    browser.run("document.querySelector('.open').focus()")
    browser.press("Enter", 13, "\r")
    assert browser.run("$('large').open")
    map_caption = "Anomaly map: how odd each place is"
    assert texts(browser, "#large figcaption") == ["Original", "Reconstruction", map_caption]
    browser.press("ArrowRight", 39)
    assert texts(browser, "#large-title") == [f"#2 {sixty['names'][1]}"]
    browser.press("ArrowLeft", 37)
    browser.press("ArrowLeft", 37)
    assert texts(browser, "#large-title") == [f"#1 {sixty['names'][0]}"]
    browser.press("Escape", 27)
    assert not browser.run("$('large').open")
    assert browser.run("document.activeElement === document.querySelector('.open')")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
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
    assert seen == ["review", "threshold", "table"]
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


def test_browser_slider_leaves_a_wide_gap_by_its_keys(show):
    browser = show(page([100.0, 1.0, 0.9, 0.8], 50.0))
    browser.run("$('slider').focus()")
    counts = set()
    for _ in range(12):
        browser.press("PageDown", 34)
        counts.add(browser.run("$('count').textContent"))
    assert {"1", "4"} <= counts


# ---- From a ranking to a decision -----------------------------------------------------------


def choose(browser, field, value):
    event = "input" if field == "search" else "change"
    browser.run(f"$('{field}').value = {value!r}; $('{field}').dispatchEvent(new Event('{event}'))")


def listed(browser):
    """The ranks in the gallery and in the table."""
    shown = texts(browser, ".card b"), texts(browser, "#rows td:first-child")
    return [int(text[1:]) for text in shown[0]], [int(text) for text in shown[1]]


def click(browser, selector):
    browser.run(f"document.querySelector({selector!r}).click()")


def type_key(browser, key):
    browser.press(key, ord(key.upper()), key)


def test_browser_filters_searches_and_jumps(show, sixty):
    browser = show(page(**sixty))
    choose(browser, "show", "flagged")
    assert listed(browser) == ([*range(1, 7)], [*range(1, 7)])
    browser.run("setThreshold(middleOfGap(3))")
    assert listed(browser) == ([1, 2, 3], [1, 2, 3])
    choose(browser, "show", "all")
    for query in ("12.png", "FOLDER 12.PNG", "er/12"):
        choose(browser, "search", query)
        rank = sixty["names"].index("folder/12.png") + 1
        assert listed(browser) == ([rank], [rank]), query
        assert browser.run("$('gallery-title').textContent") == "1 of 60 pictures"
    choose(browser, "search", "no such folder/")
    assert listed(browser) == ([], [])
    assert browser.run("$('copy').disabled && $('download-list').disabled")

    browser.run("setThreshold(middleOfGap(30))")
    click(browser, "#jump")
    assert browser.run("document.activeElement.closest('.card').dataset.rank") == "30"
    assert listed(browser)[0] == [*range(25, 49)]
    assert browser.run("[$('search').value, $('show').value]") == ["", "all"]
    visible = "(box => box.top >= 0 && box.bottom <= innerHeight)"
    assert browser.run(f"{visible}(document.activeElement.getBoundingClientRect())")
    browser.run("setThreshold(-1)")
    assert browser.run("$('jump').disabled")


def test_browser_jumps_to_the_table_where_an_image_has_no_picture(show, sixty):
    sixty["pictures"] = sixty["pictures"][:5]
    browser = show(page(**sixty))
    browser.run("setThreshold(middleOfGap(57))")
    click(browser, "#jump")
    assert browser.run("document.activeElement.closest('tr').dataset.rank") == "57"


def pressed(browser, rank):
    """The decision that the buttons of an image show, in the gallery and in the table."""
    script = "[...document.querySelectorAll('[data-rank=\"{}\"] [aria-pressed=true]')]"
    return browser.run(script.format(rank) + ".map(button => button.dataset.decision)")


def test_browser_keeps_and_confirms_by_ticks_and_keys_and_remembers(show, sixty):
    text = page(**sixty)
    browser = show(text)
    browser.run("localStorage.clear()")
    assert browser.run("$('download-decisions').disabled")
    click(browser, ".card[data-rank='0'] .confirmed")
    assert pressed(browser, 0) == ["confirmed"] * 2
    click(browser, "#rows [data-rank='0'] .kept")
    assert pressed(browser, 0) == ["kept"] * 2
    click(browser, ".card[data-rank='1'] .confirmed")
    click(browser, ".card[data-rank='1'] .confirmed")
    assert pressed(browser, 1) == []

    # Keys outside the dialog: the first image, the third, back to the second.
    browser.run("document.activeElement.blur()")
    for key in "jjjk":
        type_key(browser, key)
    assert browser.run("document.activeElement.closest('.card').dataset.rank") == "1"
    type_key(browser, "x")
    assert pressed(browser, 1) == ["confirmed"] * 2
    for key in "jv":
        type_key(browser, key)
    assert pressed(browser, 2) == ["kept"] * 2
    for _ in range(22):
        type_key(browser, "j")
    assert listed(browser)[0][0] == 25  # onto the next page
    # In the dialog, too.
    browser.press("Enter", 13, "\r")
    for key in "jx":
        type_key(browser, key)
    assert pressed(browser, 25) == ["confirmed"] * 3
    browser.press("Escape", 27)
    # In the field of the search they are letters.
    type_key(browser, "/")
    for key in "jx":
        type_key(browser, key)
    assert browser.run("$('search').value") == "jx"
    assert browser.run("$('decided').textContent") == "2 confirmed, 2 kept"

    show(text)
    assert browser.run("$('decided').textContent") == "2 confirmed, 2 kept"
    assert pressed(browser, 0) == ["kept"] * 2
    for value, ranks in {
        "confirmed": [2, 26],
        "kept": [1, 3],
        "open": [4, 5, 6],
        "outliers": [2, 4, 5, 6, 26],
    }.items():
        choose(browser, "show", value)
        assert listed(browser) == (ranks, ranks), value
    # They belong to these scores and names alone.
    show(page(**sixty | {"scores": sixty["scores"] + 1}))
    assert browser.run("decisions.size") == 0


def test_browser_without_storage_says_that_decisions_are_lost(show, sixty):
    browser = show(page(**sixty))
    assert not browser.run("$('unsaved').checkVisibility()")
    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no') }})"
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=refuse)
    show(page(**sixty))
    click(browser, ".card .confirmed")
    assert pressed(browser, 0) == ["confirmed"] * 2
    assert browser.run("$('unsaved').checkVisibility()")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", **script)


def downloaded(browser, folder, button):
    """The rows of the table that a button downloads."""
    folder.mkdir()
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    click(browser, button)
    ends = time.monotonic() + 30
    # At first, an empty file holds the place of the one that is still being written.
    while not (files := [file for file in folder.glob("*.csv") if file.stat().st_size]):
        assert time.monotonic() < ends
    with files[0].open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def test_browser_copies_names_and_downloads_the_list_and_the_decisions(show, browser, tmp_path):
    names, n = HOSTILE_NAMES, len(HOSTILE_NAMES)
    scores = np.sort(np.random.default_rng(1).random(n, np.float32))[::-1]
    show(page(scores, float(scores[2] + scores[3]) / 2, names, np.arange(n) % 3 - 1, **pictured(n)))
    browser.run("localStorage.clear()")
    click(browser, ".card[data-rank='5'] .confirmed")
    click(browser, ".card[data-rank='1'] .kept")
    choose(browser, "show", "flagged")
    assert browser.run("$('copy').textContent") == "Copy 3 names"
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    click(browser, "#copy")
    ends = time.monotonic() + 30
    while browser.run("$('copy').textContent") != "Copied":
        assert time.monotonic() < ends
    reading = "navigator.clipboard.readText()"
    copied = browser.call("Runtime.evaluate", expression=reading, awaitPromise=True)
    assert copied["result"]["value"] == "\n".join(names[:3]) + "\n"

    rows = downloaded(browser, tmp_path / "list", "#download-list")
    assert [row["name"] for row in rows] == names[:3]
    assert [row["decision"] for row in rows] == ["", "kept", ""]
    choose(browser, "show", "all")
    rows = downloaded(browser, tmp_path / "all", "#download-list")
    assert [row["name"] for row in rows] == names
    assert [int(row["rank"]) for row in rows] == [*range(1, n + 1)]
    assert (np.float32([row["score"] for row in rows]) == scores).all()
    assert [int(row["flagged"]) for row in rows] == [1] * 3 + [0] * (n - 3)
    assert [int(row["label"]) for row in rows] == [i % 3 - 1 for i in range(n)]
    rows = downloaded(browser, tmp_path / "decisions", "#download-decisions")
    decided = [(row["name"], row["decision"]) for row in rows]
    assert decided == [(names[1], "kept"), (names[5], "confirmed")]


def test_browser_links_to_the_originals_and_to_nothing_else(show, tmp_path, monkeypatch):
    files = [
        "a b#1?.png",
        "100%25.png",
        "javascript:window.hurt = 1/x.png",
        "https:/evil.example/<i>&\"'.png",
        "größe/日本.png",
        "caf\udce9.png",
    ]
    monkeypatch.chdir(tmp_path)
    for names in (
        [str(tmp_path / "photos" / name) for name in files],
        [f"photos/{name}" for name in files],
        ["javascript:window.hurt = 1/x.png", "javascript:window.hurt = 2/x.png"],
        ["//evil.example/x.png", "//evil.example/y.png"],
    ):
        images = ImageFiles([Path(name) for name in names], (8, 8))
        scores, data = np.arange(len(names))[::-1], {"images": images}
        browser = show(
            page(scores, names=names, data=data, output=tmp_path, **pictured(len(names)))
        )
        expected = [f"file://{quote(bytes(Path(name).absolute()))}" for name in names]
        for where in (".card a", "#rows a"):
            found = browser.run(f"[...document.querySelectorAll('{where}')].map(a => a.href)")
            # Both write some letters of an address as they are, and others by their numbers.
            assert [quote(unquote_to_bytes(url), ":/") for url in found] == [
                quote(unquote_to_bytes(url.replace("file:////", "file:///")), ":/")
                for url in expected
            ]
            written = f"[...document.querySelectorAll('{where}')].map(a => a.getAttribute('href'))"
            assert all(address.startswith("./") for address in browser.run(written)[:1]) or (
                names[0].startswith("//")
            )
        browser.run("enlarge(0)")
        assert browser.run("document.querySelector('#large-title a').href") == found[0]
    # The names of arrays are no files.
    browser = show(page(scores, names=names, output=tmp_path))
    assert browser.run("document.querySelectorAll('a[href]:not(.skip)').length") == 0


def test_browser_lists_unread_files_and_badges(show):
    n = 60
    quality = [""] * n
    quality[1], quality[55] = "blank odd_size", "blurred"
    duplicates = [""] * n
    duplicates[2] = "image 0"
    skipped = {f"{name}.png": "broken or truncated" for name in HOSTILE_NAMES}
    data = {"skipped": skipped, "quality": {"quality": quality, "duplicate_of": duplicates}}
    browser = show(page(np.arange(n)[::-1], data=data, **pictured(n)))
    assert texts(browser, '[data-rank="1"] .badge') == ["blank", "odd size"] * 2
    assert texts(browser, '[data-rank="2"] .badge') == ["duplicate"] * 2
    assert (
        browser.run("document.querySelector('.card[data-rank=\"2\"] .badge').title") == "of image 0"
    )
    assert texts(browser, '[data-rank="0"] .badge') == []
    assert texts(browser, "#unread-files bdi") == [*skipped]
    assert texts(browser, "#unread-files .soft") == [" broken or truncated"] * len(skipped)
    note = browser.run("$('unread-note').textContent")
    assert note == f"{len(skipped)} files could not be read and have no score."


def test_browser_says_which_flagged_images_have_no_picture(show, sixty, monkeypatch):
    monkeypatch.setattr(html_report, "MAX_PICTURE_BYTES", 9000)
    browser = show(page(**sixty))
    n = browser.run("report.pictures.length")
    assert 2 < n < 20
    assert not browser.run("$('without-picture').checkVisibility()")
    browser.run(f"setThreshold(middleOfGap({n + 2}))")
    assert browser.run("$('without-picture').textContent").startswith("2 flagged images have no")
    assert browser.run("$('without-picture').checkVisibility()")


def colors_of(browser, selector, points):
    """The colors of a page at points of an element, given as shares of its width and height."""
    browser.run(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
    decoding = f"[...document.querySelectorAll('{selector} img')].map(image => image.decode())"
    browser.call("Runtime.evaluate", expression=f"Promise.all({decoding})", awaitPromise=True)
    box = browser.run(
        f"(box => [box.x, box.y, box.width, box.height])"
        f"(document.querySelector('{selector}').getBoundingClientRect())"
    )
    encoded = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
    shot = cv2.imdecode(np.frombuffer(encoded, np.uint8), 1)[..., ::-1].astype(int)
    return np.array([shot[int(box[1] + y * box[3]), int(box[0] + x * box[2])] for x, y in points])


def test_browser_colors_maps_alone_over_the_image_and_each_by_its_own_brightness(show):
    scale = 2.0
    original = np.full((8, 8, 3), [200, 100, 0], np.uint8)
    maps = np.zeros((2, 8, 8))
    maps[0, :4, :4], maps[0, 4:, 4:] = 0.6, 1.6
    maps[1, :4, :4], maps[1, 4:, 4:] = 0.05, 0.2
    levels = drawing.map_levels(maps, scale)
    pictures = [(original, original, level) for level in levels]
    more = {"columns": ["Original", "Reconstruction", "Anomaly map"], "pictures": pictures}
    points = [(0.25, 0.25), (0.75, 0.75), (0.75, 0.25)]
    browser = show(page([2.0, 1.0], **more))

    def seen(rank):
        return colors_of(browser, f'.card[data-rank="{rank}"] .laid', points)

    def expected(values, draw):
        values = np.array([[[*values, 0.0]]])
        return draw(values)[0, 0].astype(int)

    def alone(values):
        return drawing.color_maps(values, scale)

    def over(values):
        images = np.broadcast_to(original[0, 0], (1, 1, 3, 3))
        return drawing.overlay_maps(images, values, scale)

    assert np.abs(seen(0) - expected([0.6, 1.6], alone)).max() < 20
    assert np.abs(seen(1) - expected([0.05, 0.2], alone)).max() < 20
    click(browser, "#own")
    # The highest value of each is the brightest, whatever the other's is.
    brightest = np.multiply(drawing.MAP_COLORS(1.0)[:3], 255)
    for rank in (0, 1):
        assert np.abs(seen(rank)[1] - brightest).max() < 20
        assert seen(rank)[0].sum() < seen(rank)[1].sum() - 60
        assert seen(rank)[2].max() < 20
    click(browser, "#own")
    click(browser, "#over")
    assert np.abs(seen(0) - expected([0.6, 1.6], over)).max() < 60
    # A little shows through; where the map is low, the image is dim and gray.
    for rank in (0, 1):
        assert np.ptp(seen(rank)[2]) < 12
        assert 30 < seen(rank)[2].max() < 90
    assert np.abs(seen(1)[0] - seen(1)[2]).max() < 12
    # They begin as they are asked to.
    show(page([2.0, 1.0], overlay=True, **more))
    assert browser.run("$('over').checked")
    assert 30 < seen(0)[2].max() < 90
