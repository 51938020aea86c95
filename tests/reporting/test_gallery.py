import numpy as np
import pytest

from pyimagesearch.reporting import charts, drawing
from pyimagesearch.reporting import gallery as reporting_gallery


def gallery(images, **changed):
    n = len(images)
    settings = {
        "reconstructed": images,
        "error_maps": np.zeros(images.shape[:3]),
        "scores": np.zeros(n),
        "flagged": np.zeros(n, bool),
        "names": ["name"] * n,
        "title": "title",
        **changed,
    }
    return reporting_gallery.anomalies(images, **settings)


def heatmaps(images, **changed):
    n = len(images)
    settings = {
        "anomaly_maps": np.zeros(images.shape[:3]),
        "masks": np.zeros(images.shape[:3], bool),
        "predicted": np.zeros(images.shape[:3], bool),
        "scores": np.zeros(n),
        "names": ["name"] * n,
        "scale": 1.0,
        "title": "title",
        **changed,
    }
    return reporting_gallery.heatmaps(images, **settings)


def has(picture, part):
    """Whether a part occurs in a picture, pixel by pixel."""
    height, width = part.shape[:2]
    y, x = height // 2, width // 6  # a pixel inside the first tile rules most places out
    shape = (picture.shape[0] - height + 1, picture.shape[1] - width + 1)
    places = (picture[y : y + shape[0], x : x + shape[1]] == part[y, x]).all(axis=-1)
    return any(
        (picture[top : top + height, left : left + width] == part).all()
        for top, left in np.argwhere(places)
    )


PICTURES = {
    "reconstructions": lambda images: reporting_gallery.reconstructions(images, images),
    "reconstructions of spoilt ones": lambda images: reporting_gallery.reconstructions(
        images, images, images
    ),
    "anomalies": gallery,
    "heatmaps": heatmaps,
    "loss_curves": lambda images: charts.loss_curves([0.3, 0.1], [0.4, 0.2], 0.03),
    "loss_curves of one epoch": lambda images: charts.loss_curves([0.3], []),
    "score_histogram": lambda images: charts.score_histogram(np.arange(9.0), 7.5),
    "score_histogram of equal scores": lambda images: charts.score_histogram(np.ones(5), 1.0),
    "score_histogram of planted ones": lambda images: charts.score_histogram(
        np.arange(9.0), 7.5, planted=np.arange(9) > 5
    ),
    "score_histogram of none planted": lambda images: charts.score_histogram(
        np.arange(9.0), 7.5, planted=np.zeros(9, bool)
    ),
    "score_histogram of all planted": lambda images: charts.score_histogram(
        np.ones(1), 1.0, planted=np.ones(1, bool)
    ),
    "score_histogram of zeros": lambda images: charts.score_histogram(np.zeros(1), 0.0),
}


@pytest.mark.parametrize("shape", [(1, 28, 28, 1), (5, 7, 4, 3), (26, 1, 1, 1), (3, 200, 120, 2)])
@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_pictures_of_any_images_are_rgb_with_ink_on_white(draw, shape):
    picture = draw(np.full(shape, 0.5, np.float32))
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).all()
    assert picture.min() < 100


def test_images_of_three_channels_keep_their_colours_and_others_turn_grey():
    red = np.zeros((1, 2, 2, 3))
    red[..., 0] = 1
    np.testing.assert_array_equal(drawing.to_rgb(red)[0, 0, 0], [255, 0, 0])
    grey = np.full((1, 2, 2, 1), 0.2)
    np.testing.assert_array_equal(drawing.to_rgb(grey)[0, 0, 0], [51, 51, 51])
    np.testing.assert_array_equal(drawing.to_rgb(np.full((1, 1, 1, 1), 1.7))[0, 0, 0], [255] * 3)


def test_errors_grow_brighter_up_to_the_scale():
    errors = np.array([[[0.0, 0.1, 0.2, 0.4, 0.8]]])
    brightness = drawing.color_errors(errors, scale=0.4).sum(axis=-1)[0, 0]
    assert brightness[0] < 10
    assert (np.diff(brightness[:4]) > 0).all()
    assert brightness[4] == brightness[3]
    assert (drawing.color_errors(np.zeros((1, 2, 2)), scale=0).sum(axis=-1) < 10).all()


def test_strips_set_tiles_side_by_side_enlarged_without_blur():
    one = np.zeros((2, 28, 14, 3), np.uint8)
    one[:, 0, 0] = 255
    strips = drawing.strips(one, one)
    tile = 14 * 4 + 2  # with its frame
    assert strips.shape == (2, 28 * 4 + 2, tile + 2 + tile, 3)
    for start in (0, tile + 2):
        inside = strips[0][1:-1, start + 1 : start + tile - 1]
        assert set(np.unique(inside)) == {0, 255}
        assert inside[:4, :4].min() == 255  # one pixel has become 4x4
        assert inside.sum() == 4 * 4 * 3 * 255
        frame = strips[0][:, [start, start + tile - 1]]
        assert (frame == drawing.FRAME).all()
    assert strips[0][:, tile : tile + 2].min() == 255  # the gap


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((1, 1), (112, 112)),
        ((28, 28), (112, 112)),
        ((7, 50), (21, 150)),
        ((152, 100), (152, 100)),
        ((256, 128), (152, 76)),
        ((3, 3000), (1, 152)),
    ],
)
def test_tiles_are_large_enough_to_see_and_small_enough_for_a_screen(size, shown):
    tiles = drawing.tiles(np.full((2, *size, 3), 9, np.uint8))
    assert tiles.shape == (2, *shown, 3)
    assert (tiles == 9).all()
    assert drawing.tiles(tiles).shape == tiles.shape


def test_large_images_are_reduced_by_averaging():
    stripes = np.zeros((1, 608, 608, 3), np.uint8)
    stripes[:, ::2] = 200
    tiles = drawing.tiles(stripes)
    assert (tiles == 100).all()


@pytest.mark.parametrize(
    "side", [1, 28, 152, *(pytest.param(n, marks=pytest.mark.slow) for n in (56, 80, 112, 256))]
)
@pytest.mark.parametrize("draw", [gallery, heatmaps])
def test_gallery_of_25_is_at_most_2000_pixels_wide(draw, side):
    assert 900 < draw(np.zeros((25, side, side, 1))).shape[1] <= 2000


def test_gallery_shows_images_reconstructions_errors_and_what_is_flagged():
    images = np.full((3, 28, 28, 1), 0.5)
    plain = gallery(images)
    for change in (
        {"reconstructed": images * 0.5},
        {"error_maps": np.random.default_rng(0).random((3, 28, 28))},
        {"flagged": np.array([True, False, False])},
        {"scores": np.array([0.3, 0.2, 0.1])},
        {"names": ["a", "b", "c"]},
        {"title": "another"},
        {"scale": 2.0},
        {"notes": ["blur:1", "", ""]},
    ):
        changed = gallery(images, **change)
        assert changed.shape == plain.shape
        assert (changed != plain).any(), change


def test_gallery_has_every_strip_pixel_by_pixel(rng):
    images, maps = rng.random((7, 28, 28, 3)), rng.random((7, 28, 28))
    picture = gallery(images, reconstructed=1 - images, error_maps=maps, scale=0.7)
    strips = drawing.strips(
        drawing.to_rgb(images),
        drawing.to_rgb(1 - images),
        drawing.color_errors(maps, 0.7),
    )
    assert all(has(picture, strip) for strip in strips)
    assert not has(picture, strips[0][:, ::-1])


def test_gallery_without_a_scale_takes_the_brightest_of_its_errors(rng):
    images, maps = np.zeros((3, 28, 28, 1)), rng.random((3, 28, 28))
    brightest = float(np.quantile(maps, 0.995))
    np.testing.assert_array_equal(
        gallery(images, error_maps=maps), gallery(images, error_maps=maps, scale=brightest)
    )


def test_a_fixed_scale_makes_an_image_look_alike_in_any_company():
    small = np.full((28, 28), 0.01)
    images = np.zeros((2, 28, 28, 1))
    alone = gallery(images, error_maps=np.stack([small, small]), scale=0.5)
    beside = gallery(images, error_maps=np.stack([small, np.ones((28, 28))]), scale=0.5)
    changed = np.nonzero((alone != beside).any(axis=(0, 2)))[0]
    assert changed.min() > alone.shape[1] // 2


def test_notes_follow_what_is_flagged(monkeypatch):
    captions = []
    monkeypatch.setattr(reporting_gallery, "gallery", lambda _, lines, *__: captions.extend(lines))
    settings = {"scores": np.array([3.0, 2, 1]), "flagged": np.array([True, True, False])}
    gallery(np.zeros((3, 8, 8, 1)), notes=["planted blur:1", "", "x"], **settings)
    assert captions == [
        "#1  3.000  flagged  planted blur:1",
        "#2  2.000  flagged",
        "#3  1.000  x",
    ]
    captions.clear()
    gallery(np.zeros((3, 8, 8, 1)), **settings)
    assert captions == ["#1  3.000  flagged", "#2  2.000  flagged", "#3  1.000"]


@pytest.mark.parametrize("draw", [gallery, heatmaps])
@pytest.mark.parametrize("side", [1, 28, 300])
@pytest.mark.parametrize("n", [1, 4, 13])
def test_no_caption_meets_another_or_leaves_the_paper(monkeypatch, draw, side, n):
    """Every line of text stands free, whatever its length."""
    figures = []
    monkeypatch.setattr(reporting_gallery, "render", lambda figure: figures.append(figure))
    names = ["a/long/folder/of/many/letters/in/a/name.png", "short", "$x$", ""] * 4
    more = {}
    if draw is gallery:
        more = {"flagged": np.arange(n) % 2 == 0, "notes": ["planted noise:0.3"] * n}
    draw(np.zeros((n, side, side // 3 + 1, 1)), names=names[:n], title="a title " * 9, **more)
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


def test_one_scale_serves_the_whole_gallery():
    """The same small error is as dark beside a large one as the large one makes it."""
    images = np.zeros((2, 28, 28, 1))
    small = np.full((28, 28), 0.01)
    alone = gallery(images, error_maps=np.stack([small, small]))
    beside = gallery(images, error_maps=np.stack([np.ones((28, 28)), small]))
    assert (alone != beside)[:, : alone.shape[1] // 2].any()
    assert (alone != beside)[120:, alone.shape[1] // 2 :].any()


def test_heatmaps_show_image_map_prediction_and_truth_in_this_order(rng):
    images, maps = rng.random((3, 120, 130, 1)), rng.random((3, 120, 130))
    predicted = maps > 0.9
    masks = np.zeros((3, 120, 130), bool)
    masks[1, 20:60, 30:90] = True
    picture = heatmaps(images, anomaly_maps=maps, masks=masks, predicted=predicted, scale=0.5)
    columns = [
        drawing.to_rgb(images),
        drawing.color_errors(maps, 0.5),
        drawing.to_rgb(predicted[..., np.newaxis] * 1.0),
        drawing.to_rgb(masks[..., np.newaxis] * 1.0),
    ]
    strips = drawing.strips(*columns)
    assert has(picture, strips[0])
    assert has(picture, strips[2])
    assert not has(picture, strips[1])  # for its outline
    columns[0][1, [20, 59], 30:90] = columns[0][1, 20:60, [30, 89]] = drawing.OUTLINE
    assert has(picture, drawing.strips(*columns)[1])


@pytest.mark.parametrize("side", [4, 28, 600])
def test_outline_of_the_truth_is_one_fine_line_at_any_size(side):
    masks = np.zeros((1, side, side), bool)
    masks[0, side // 4 : side // 2, side // 4 : side // 2] = True
    picture = heatmaps(np.full((1, side, side, 1), 0.5), masks=masks)
    line = (picture == drawing.OUTLINE).all(axis=-1)
    quarter = line.any(axis=0).sum()
    assert 25 <= quarter <= 39
    assert line.sum() == 4 * (quarter - 1)


def test_captions_of_heatmaps_have_rank_score_and_name():
    images = np.zeros((3, 28, 28, 1))
    plain = heatmaps(images)
    for change in (
        {"scores": np.array([0.3, 0.2, 0.1])},
        {"names": ["a", "b", "c"]},
        {"title": "another"},
        {"scale": 0.5},
    ):
        changed = heatmaps(images, **change)
        assert changed.shape == plain.shape
        assert (changed != plain).any(), change


def test_reconstructions_of_spoilt_images_show_clean_spoilt_restored(rng):
    clean, spoilt, restored = rng.random((3, 5, 28, 28, 1))
    picture = reporting_gallery.reconstructions(clean, restored, spoilt)
    rgb = [drawing.to_rgb(images) for images in (clean, spoilt, restored)]
    assert all(has(picture, strip) for strip in drawing.strips(*rgb))
    plain = reporting_gallery.reconstructions(clean, restored)
    assert all(has(plain, pair) for pair in drawing.strips(rgb[0], rgb[2]))
    assert not has(plain, drawing.tiles(rgb[1])[0])
    # The titles differ too.
    assert (picture[:50, :400] != plain[:50, :400]).any()


def legend_of(monkeypatch, *args, **settings):
    """The labels of a histogram's legend, and the axes."""
    figures = []
    monkeypatch.setattr(charts, "render", lambda figure: figures.append(figure))
    charts.score_histogram(*args, **settings)
    axes = figures[0].axes[0]
    return [text.get_text() for text in axes.get_legend().get_texts()], axes


def test_histogram_parts_the_planted_from_the_others(monkeypatch):
    scores, planted = np.array([1.0, 2, 3, 4, 8]), np.array([0, 0, 1, 0, 1], bool)
    labels, axes = legend_of(monkeypatch, scores, 3.5, planted=planted)
    assert labels == [
        "as they are: 3",
        "mean as they are: 2.3333",
        "planted: 2",
        "mean planted: 5.5000",
        "threshold: 3.5000",
    ]
    assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx([7 / 3, 5.5, 3.5])
    bars = {color: [] for color in (drawing.BLUE, drawing.VERMILLION)}
    for bar in axes.patches:
        assert bar.get_alpha() < 1  # what stands behind shows through
        color = reporting_gallery.matplotlib.colors.to_hex(bar.get_facecolor()).upper()
        bars[color] += [bar.get_x()] * int(bar.get_height())
    width = axes.patches[0].get_width()
    np.testing.assert_allclose(bars[drawing.BLUE], scores[~planted], atol=width)
    np.testing.assert_allclose(bars[drawing.VERMILLION], scores[planted], atol=width)


def test_histogram_without_planted_ones_parts_what_is_flagged(monkeypatch):
    scores = np.array([1.0, 2, 3, 4, 8])
    labels, axes = legend_of(monkeypatch, scores, 3.5)
    assert labels == ["not flagged: 3", "flagged: 2", "threshold: 3.5000"]
    assert len(axes.lines) == 1


def test_histogram_of_an_empty_population_has_no_mean_of_it(monkeypatch):
    labels, _ = legend_of(monkeypatch, np.arange(3.0), 1, planted=np.zeros(3, bool))
    assert labels[2] == "planted: 0"
    assert not any("mean planted" in label for label in labels)


@pytest.mark.parametrize(
    "name", ["$broken", "a" * 300, "two\nlines", "größe/日本.png", "<b>&", "\\frac{"]
)
def test_gallery_takes_any_name(name):
    assert gallery(np.zeros((1, 8, 8, 1)), names=[name]).size


def test_long_names_are_shortened_at_their_beginning():
    assert drawing.shorten_name("folder/" * 10 + "odd.png").endswith("odd.png")
    assert len(drawing.shorten_name("x" * 300)) == 24
    assert drawing.shorten_name("short") == "short"
    assert drawing.shorten_name("two\nlines") == "two lines"


def test_names_are_cut_to_the_room_they_have():
    for room in (30, 60, 90):
        name = drawing.fit_name("a/long/folder/odd.png", room)
        assert drawing.text_width(name, drawing.SMALL) <= room
        assert name.startswith("…")
        assert "a/long/folder/odd.png".endswith(name[1:])
    assert drawing.fit_name("odd.png", 200) == "odd.png"
    assert drawing.fit_name("", 200) == ""


def test_loss_is_called_by_its_name():
    plain, other, trimmed = (
        charts.loss_curves([0.3, 0.1], [], **settings)
        for settings in ({}, {"name": "bce"}, {"trim": 0.05})
    )
    assert not np.array_equal(plain, other)
    assert not np.array_equal(plain, trimmed)


def axes_of(monkeypatch, draw, *args, **settings):
    """The axes of a chart instead of its picture."""
    figures = []
    monkeypatch.setattr(charts, "render", lambda figure: figures.append(figure))
    draw(*args, **settings)
    return figures[0].axes[0]


@pytest.mark.parametrize(
    ("loss", "scale"), [([0.3, 0.01], "log"), ([0.3, 0.2], "linear"), ([0.3, 0.0], "linear")]
)
def test_loss_is_on_a_logarithmic_axis_where_it_falls_far(monkeypatch, loss, scale):
    axes = axes_of(monkeypatch, charts.loss_curves, loss, [])
    assert axes.get_yscale() == scale


def test_trimmed_share_is_written_on_the_chart_of_the_loss(monkeypatch):
    curves = charts.loss_curves
    assert "worst 2.5%" in axes_of(monkeypatch, curves, [0.3, 0.1], [], 0.025).texts[0].get_text()
    assert not axes_of(monkeypatch, curves, [0.3, 0.1], [], 0).texts


@pytest.mark.parametrize(
    ("scores", "scale"),
    [([1, 2, 3, 300], "log"), ([1, 2, 3, 4], "linear"), ([0, 2, 3, 300], "linear")],
)
def test_scores_far_out_do_not_press_the_others_into_a_corner(monkeypatch, scores, scale):
    axes = axes_of(monkeypatch, charts.score_histogram, np.array(scores, float), 2.5)
    assert axes.get_xscale() == scale
    drawn = [bar for bar in axes.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in drawn) == len(scores)
    # No bar stands on both sides of the threshold.
    inside = [bar.get_x() + bar.get_width() * np.array([0.01, 0.99]) - 2.5 for bar in drawn]
    assert all(left * right > 0 for left, right in inside)


def test_ticks_of_a_logarithmic_axis_are_plain_numbers(monkeypatch):
    axes = axes_of(monkeypatch, charts.loss_curves, [50.0, 1.0], [])
    written = [axes.yaxis.get_major_formatter()(tick) for tick in axes.get_yticks()]
    shown = [text for text in written if 1 <= float(text) <= 50]
    assert shown == ["1", "2", "5", "10", "20", "50"]
