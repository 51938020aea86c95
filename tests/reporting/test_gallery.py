import numpy as np
import pytest

from pyimagesearch.reporting import drawing, gallery
from tests.reporting.pictures import assert_ink_on_white, contains


def anomalies(images, scores=None, flagged=None, remarks=None, **changed):
    n = len(images)
    scores = np.zeros(n) if scores is None else scores
    names = changed.pop("names", ["name"] * n)
    settings = {
        "reconstructed": images,
        "anomaly_maps": np.zeros(images.shape[:3]),
        "captions": gallery.rank_captions(scores, names, flagged, remarks),
        "title": "title",
        "scale": 1.0,
        **changed,
    }
    return gallery.anomalies(images, **settings)


def heatmaps(images, scores=None, **changed):
    n = len(images)
    scores = np.zeros(n) if scores is None else scores
    names = changed.pop("names", ["name"] * n)
    settings = {
        "anomaly_maps": np.zeros(images.shape[:3]),
        "masks": np.zeros(images.shape[:3], bool),
        "predicted": np.zeros(images.shape[:3], bool),
        "captions": gallery.rank_captions(scores, names),
        "scale": 1.0,
        **changed,
    }
    return gallery.heatmaps(images, **settings)


def seen(images):
    """A picture of features for each image."""
    return np.full((*images.shape[:3], 3), 0.3, np.float32)


def reconstructions_of_features(images, **changed):
    settings = {"features": seen(images), "maps": np.zeros(images.shape[:3]), "scale": 3.0}
    return gallery.reconstructions(images, seen(images), **settings | changed)


def anomalies_of_features(images, **changed):
    settings = {"features": seen(images), "reconstructed": seen(images), "scale": 3.0}
    return anomalies(images, **settings | changed)


def heatmaps_laid_over(images, **changed):
    return heatmaps(images, overlay=True, **changed)


PICTURES = {
    "reconstructions": lambda images: gallery.reconstructions(images, images),
    "reconstructions of corrupted": lambda images: gallery.reconstructions(images, images, images),
    "anomalies": anomalies,
    "heatmaps": heatmaps,
    "reconstructions of features": reconstructions_of_features,
    "anomalies of features": anomalies_of_features,
    "heatmaps laid over": heatmaps_laid_over,
}


@pytest.mark.parametrize("shape", [(5, 7, 4, 3), (26, 1, 1, 1)])
@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_gallery_of_images_of_any_shape_is_ink_on_white(draw, shape):
    assert_ink_on_white(draw(np.full(shape, 0.5, np.float32)))


@pytest.mark.parametrize(
    "side", [1, 152, *(pytest.param(n, marks=pytest.mark.slow) for n in (28, 56, 80, 112, 256))]
)
@pytest.mark.parametrize("draw", [anomalies, heatmaps, anomalies_of_features])
def test_gallery_of_25_images_is_at_most_2000_pixels_wide(draw, side):
    assert 900 < draw(np.zeros((25, side, side, 1))).shape[1] <= 2000


def test_anomalies_show_every_argument():
    images = np.full((3, 28, 28, 1), 0.5)
    plain = anomalies(images)
    for change in (
        {"reconstructed": images * 0.5},
        {"anomaly_maps": np.random.default_rng(0).random((3, 28, 28))},
        {"flagged": np.array([True, False, False])},
        {"scores": np.array([0.3, 0.2, 0.1])},
        {"names": ["a", "b", "c"]},
        {"title": "another"},
        {"scale": 2.0},
        {"remarks": ["blur:1", "", ""]},
    ):
        changed = anomalies(images, **change)
        assert changed.shape == plain.shape
        assert (changed != plain).any(), change


def test_anomalies_contain_every_strip_pixel_by_pixel(rng):
    images, maps = rng.random((7, 28, 28, 3)), rng.random((7, 28, 28))
    picture = anomalies(images, reconstructed=1 - images, anomaly_maps=maps, scale=0.7)
    strips = drawing.strips(
        drawing.to_rgb(images),
        drawing.to_rgb(1 - images),
        drawing.color_maps(maps, 0.7),
    )
    assert all(contains(picture, strip) for strip in strips)
    assert not contains(picture, strips[0][:, ::-1])


def test_anomalies_with_a_fixed_scale_show_a_map_alike_beside_any_other():
    small = np.full((28, 28), 0.01)
    images = np.zeros((2, 28, 28, 1))
    alone = anomalies(images, anomaly_maps=np.stack([small, small]), scale=0.5)
    beside = anomalies(images, anomaly_maps=np.stack([small, np.ones((28, 28))]), scale=0.5)
    changed = np.nonzero((alone != beside).any(axis=(0, 2)))[0]
    assert changed.min() > alone.shape[1] // 2


@pytest.mark.parametrize("pixel_threshold", [None, 1.0, 1e4])
def test_maps_beside_one_of_a_strong_outlier_are_not_black(rng, pixel_threshold):
    """Even if the outlier has raised the threshold, without which the scale is taken of the maps."""
    maps = 0.1 * rng.random((25, 28, 28))
    maps[:, 5:9, 5:9] += 1.0
    maps[0] = 1e4
    scale = gallery.map_scale(maps, pixel_threshold)
    for shown in (drawing.color_maps(maps, scale)[1:], glow_alone(maps, scale)[1:]):
        brightness = shown.mean(axis=-1)
        assert brightness[:, 5:9, 5:9].max(axis=(1, 2)).min() > 2 * brightness[:, 15:, 15:].max()
        assert brightness[:, 5:9, 5:9].max(axis=(1, 2)).min() > 15


def glow_alone(maps, scale):
    """The maps laid over black images."""
    return drawing.overlay_maps(np.zeros((*maps.shape, 3), np.uint8), maps, scale)


def test_scale_of_maps_is_told_by_most_of_them():
    maps = np.ones((3, 2, 2))
    assert gallery.map_scale(maps) == 5
    assert gallery.map_scale(maps * [[[1]], [[1]], [[900]]]) == 5
    assert gallery.map_scale(maps, 0.2) == 1
    assert gallery.map_scale(maps, 9.0) == 7.5
    assert gallery.map_scale(maps * [[[0]], [[0]], [[9]]]) == 45
    assert gallery.map_scale(maps * 0) == 0


def test_names_are_shown_without_the_folder_that_all_are_in(monkeypatch):
    figures = []
    monkeypatch.setattr(gallery, "render", lambda figure: figures.append(figure))
    anomalies(np.zeros((2, 28, 28, 1)), names=["photos/site a/x.png", "photos/site b/y.png"])
    texts = [text.get_text() for text in figures[0].texts]
    assert texts[3::2] == ["site a/x.png", "site b/y.png", "all in photos/"][: len(texts[3::2])]
    assert texts[-1] == "all in photos/"


def test_images_are_in_reading_order_each_below_its_own_caption(monkeypatch):
    figures = []
    monkeypatch.setattr(gallery, "render", lambda figure: figures.append(figure))
    brightness = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 0.5])  # two rows, the last not full
    images = np.ones((7, 28, 21, 3)) * brightness[:, None, None, None]
    names = [f"{'long ' * 40}{i}.png" for i in range(7)]  # below the lines
    anomalies(images, scores=np.arange(7.0, 0, -1), names=names)
    figure = figures[0]
    shown = sorted(figure.images, key=lambda image: (-image.oy, image.ox))
    assert len({image.oy for image in shown}) == 2
    found = [image.get_array()[9, 9] for image in shown]
    np.testing.assert_array_equal(found, np.rint(255 * brightness)[:, None].repeat(3, 1))
    lines = {text.get_text().split("  ")[0]: text for text in figure.texts}
    below = {text.get_text()[-5:]: text for text in figure.texts}
    for i, image in enumerate(shown):
        top = image.oy + len(image.get_array())
        for text in (lines[f"#{i + 1}"], below[f"{i}.png"]):
            x, y = text.get_position() * figure.bbox.size
            assert x == pytest.approx(image.ox)
            assert top < y < top + 2 * gallery.LINE
    assert [lines[f"#{i + 1}"].get_text() for i in (0, 6)] == ["#1  7.000", "#7  1.000"]


@pytest.mark.parametrize(
    ("n", "least", "shown"), [(29, 25, 25), (29, 24, 25), (7, 7, 7), (12, 12, 12), (3, 1, 1)]
)
def test_last_row_is_filled_by_the_images_that_follow(monkeypatch, n, least, shown):
    figures = []
    monkeypatch.setattr(gallery, "render", lambda figure: figures.append(figure))
    anomalies(np.zeros((n, 28, 28, 1)), least=least)
    assert len(figures[0].images) == shown
    rows = {image.oy for image in figures[0].images}
    in_rows = [sum(image.oy == row for image in figures[0].images) for row in sorted(rows)]
    assert in_rows[0] >= in_rows[-1] - 1


@pytest.mark.parametrize("draw", [anomalies, heatmaps, anomalies_of_features])
@pytest.mark.parametrize(("side", "n"), [(1, 13), (28, 4), (300, 1), (300, 13)])
def test_captions_of_any_length_neither_overlap_nor_leave_the_paper(monkeypatch, draw, side, n):
    """Every line of text stands free, whatever its length."""
    figures = []
    monkeypatch.setattr(gallery, "render", lambda figure: figures.append(figure))
    names = ["a/long/folder/of/many/letters/in/a/name.png", "short", "$x$", ""] * 4
    more = {}
    if draw is not heatmaps:
        more = {"flagged": np.arange(n) % 2 == 0, "remarks": ["injected noise:0.3"] * n}
        more["title"] = "a title " * 9
    draw(np.zeros((n, side, side // 3 + 1, 1)), names=names[:n], **more)
    canvas = drawing.FigureCanvasAgg(figures[0])
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figures[0].texts]
    boxes = [box for box in boxes if box.width]
    width, height = canvas.get_width_height()
    assert len(boxes) > n
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:i]), figures[0].texts[i]


@pytest.mark.parametrize(
    "name",
    [
        "$broken",
        "a" * 300,
        "two\nlines",
        "größe/日本.png",
        "<b>&",
        "\\frac{",
        "caf\udce9",
        "\udce9" * 300,
        "\0\a\r",
    ],
)
def test_gallery_with_any_name_is_drawn(name):
    assert anomalies(np.zeros((1, 8, 8, 1)), names=[name]).size


def test_heatmaps_show_image_map_predicted_and_true_mask_in_this_order(rng):
    images, maps = rng.random((3, 120, 130, 1)), rng.random((3, 120, 130))
    predicted = maps > 0.9
    masks = np.zeros((3, 120, 130), bool)
    masks[1, 20:60, 30:90] = True
    picture = heatmaps(images, anomaly_maps=maps, masks=masks, predicted=predicted, scale=0.5)
    columns = [
        drawing.to_rgb(images),
        drawing.color_maps(maps, 0.5),
        drawing.to_rgb(predicted[..., np.newaxis] * 1.0),
        drawing.to_rgb(masks[..., np.newaxis] * 1.0),
    ]
    strips = drawing.strips(*columns)
    assert contains(picture, strips[0])
    assert contains(picture, strips[2])
    assert not contains(picture, strips[1])  # for its outline
    columns[0][1, [20, 59], 30:90] = columns[0][1, 20:60, [30, 89]] = drawing.OUTLINE
    assert contains(picture, drawing.strips(*columns)[1])


@pytest.mark.parametrize("side", [4, 28, 600])
def test_heatmaps_of_any_size_outline_the_true_mask_by_one_fine_line(side):
    masks = np.zeros((1, side, side), bool)
    masks[0, side // 4 : side // 2, side // 4 : side // 2] = True
    picture = heatmaps(np.full((1, side, side, 1), 0.5), masks=masks)
    line = (picture == drawing.OUTLINE).all(axis=-1)
    quarter = line.any(axis=0).sum()
    assert 25 <= quarter <= 39
    assert line.sum() == 4 * (quarter - 1)


def test_heatmaps_show_scores_names_and_scale():
    images = np.zeros((3, 28, 28, 1))
    plain = heatmaps(images)
    for change in (
        {"scores": np.array([0.3, 0.2, 0.1])},
        {"names": ["a", "b", "c"]},
        {"scale": 0.5},
    ):
        changed = heatmaps(images, **change)
        assert changed.shape == plain.shape
        assert (changed != plain).any(), change


def test_reconstructions_of_corrupted_images_show_original_corrupted_restored(rng):
    original, corrupted, restored = rng.random((3, 5, 28, 28, 1))
    picture = gallery.reconstructions(original, restored, corrupted)
    rgb = [drawing.to_rgb(images) for images in (original, corrupted, restored)]
    assert all(contains(picture, strip) for strip in drawing.strips(*rgb))
    plain = gallery.reconstructions(original, restored)
    assert all(contains(plain, pair) for pair in drawing.strips(rgb[0], rgb[2]))
    assert not contains(plain, drawing.tiles(rgb[1])[0])
    # The lines that say what is what differ too.
    assert (picture[:80, :400] != plain[:80, :400]).any()


def corners(n, side=28):
    """Color images whose corners differ, and features, reconstructions and maps of them."""
    images, features, reconstructed = np.random.default_rng(1).random((3, n, side, side, 3))
    maps = np.full((n, side, side), -1.0)
    for i in range(n):
        maps[i, : side // 2, side // 2 + i :] = 2.0 + i  # at the upper right
    return images, features, reconstructed, maps


def test_anomalies_of_features_contain_the_four_parts_in_order():
    images, features, reconstructed, maps = corners(4)
    picture = anomalies(
        images, features=features, reconstructed=reconstructed, anomaly_maps=maps, scale=3.0
    )
    rgb = [drawing.to_rgb(part) for part in (images, features, reconstructed)]
    laid = drawing.overlay_maps(rgb[0], maps, 3.0)
    assert all(contains(picture, strip) for strip in drawing.strips(*rgb, laid))
    assert not contains(picture, drawing.tiles(drawing.color_maps(maps.clip(0), 3.0))[0])


def test_reconstructions_of_features_contain_the_four_parts_in_order():
    images, features, reconstructed, maps = corners(3)
    picture = gallery.reconstructions(
        images, reconstructed, features=features, maps=maps, scale=3.0
    )
    rgb = [drawing.to_rgb(part) for part in (images, features, reconstructed)]
    laid = drawing.overlay_maps(rgb[0], maps, 3.0)
    assert all(contains(picture, strip) for strip in drawing.strips(*rgb, laid))


def test_reconstructions_of_large_photos_are_at_most_2000_pixels_wide():
    assert 1000 < reconstructions_of_features(np.zeros((8, 256, 256, 3))).shape[1] <= 2000


def test_heatmaps_laid_over_show_the_map_on_the_gray_photo():
    images, _, _, maps = corners(2)
    masks, none = maps > 0, np.zeros(maps.shape, bool)
    picture = heatmaps(
        images, anomaly_maps=maps, masks=none, predicted=masks, scale=3.0, overlay=True
    )
    columns = [
        drawing.to_rgb(images),
        drawing.overlay_maps(drawing.to_rgb(images), maps, 3.0),
        drawing.to_rgb(masks[..., np.newaxis] * 1.0),
        drawing.to_rgb(none[..., np.newaxis] * 1.0),
    ]
    assert all(contains(picture, strip) for strip in drawing.strips(*columns))


@pytest.mark.parametrize("draw", [anomalies_of_features, heatmaps_laid_over])
def test_color_bar_of_maps_laid_over_begins_in_gray_and_ends_in_the_brightest_color(draw):
    bar = draw(np.zeros((1, 28, 28, 1)))[-65, 24:].astype(int)
    bar = bar[: np.flatnonzero(bar.min(axis=1) < 250)[-1] + 1]
    inside = bar[5:-25]
    assert (np.ptp(inside[: len(inside) // 4], axis=1) == 0).all()
    assert (np.abs(inside[-1] - np.multiply(drawing.MAP_COLORS(1.0)[:3], 255)) < 45).all()


def test_maps_laid_over_images_begin_to_glow_at_half_the_threshold():
    scale = gallery.map_scale(np.full((1, 1, 1), 9.0), 7.0)
    photo = np.full((1, 1, 2, 3), 200, np.uint8)
    below, above = drawing.overlay_maps(photo, np.array([[[3.4, 7.0]]]), scale)[0, 0].tolist()
    assert below == [90] * 3
    assert above[0] > 110 > above[2]
