import numpy as np
import pytest

from pyimagesearch import visualization


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
    return visualization.anomalies(images, **settings)


PICTURES = {
    "reconstructions": lambda images: visualization.reconstructions(images, images),
    "anomalies": gallery,
    "loss_curves": lambda images: visualization.loss_curves([0.3, 0.1], [0.4, 0.2], 0.03),
    "loss_curves of one epoch": lambda images: visualization.loss_curves([0.3], []),
    "score_histogram": lambda images: visualization.score_histogram(np.arange(9.0), 7.5),
    "score_histogram of equal scores": lambda images: visualization.score_histogram(
        np.ones(5), 1.0
    ),
    "score_histogram of zeros": lambda images: visualization.score_histogram(np.zeros(1), 0.0),
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
    np.testing.assert_array_equal(visualization.to_rgb(red)[0, 0, 0], [255, 0, 0])
    grey = np.full((1, 2, 2, 1), 0.2)
    np.testing.assert_array_equal(visualization.to_rgb(grey)[0, 0, 0], [51, 51, 51])
    np.testing.assert_array_equal(
        visualization.to_rgb(np.full((1, 1, 1, 1), 1.7))[0, 0, 0], [255] * 3
    )


def test_errors_grow_brighter_up_to_the_scale():
    errors = np.array([[[0.0, 0.1, 0.2, 0.4, 0.8]]])
    brightness = visualization.color_errors(errors, scale=0.4).sum(axis=-1)[0, 0]
    assert brightness[0] < 10
    assert (np.diff(brightness[:4]) > 0).all()
    assert brightness[4] == brightness[3]
    assert (visualization.color_errors(np.zeros((1, 2, 2)), scale=0).sum(axis=-1) < 10).all()


def test_strips_set_tiles_side_by_side_enlarged_without_blur():
    one = np.zeros((2, 28, 14, 3), np.uint8)
    one[:, 0, 0] = 255
    strips = visualization.strips(one, one)
    assert len(strips) == 2
    assert strips[0].shape == (28 * 4, 14 * 4 + 4 + 14 * 4, 3)
    assert set(np.unique(strips[0][:, : 14 * 4])) == {0, 255}
    assert strips[0][:4, :4].min() == 255  # one pixel has become 4x4
    assert strips[0][:, 14 * 4 : 14 * 4 + 4].min() == 255  # the gap


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
    ):
        changed = gallery(images, **change)
        assert changed.shape == plain.shape
        assert (changed != plain).any(), change


def test_one_scale_serves_the_whole_gallery():
    """The same small error is as dark beside a large one as the large one makes it."""
    images = np.zeros((2, 28, 28, 1))
    small = np.full((28, 28), 0.01)
    alone = gallery(images, error_maps=np.stack([small, small]))
    beside = gallery(images, error_maps=np.stack([np.ones((28, 28)), small]))
    assert (alone != beside)[:, : alone.shape[1] // 2].any()
    assert (alone != beside)[120:, alone.shape[1] // 2 :].any()


@pytest.mark.parametrize(
    "name", ["$broken", "a" * 300, "two\nlines", "größe/日本.png", "<b>&", "\\frac{"]
)
def test_gallery_takes_any_name(name):
    assert gallery(np.zeros((1, 8, 8, 1)), names=[name]).size


def test_long_names_are_shortened_at_their_beginning():
    assert visualization.shortened("folder/" * 10 + "odd.png").endswith("odd.png")
    assert len(visualization.shortened("x" * 300)) == 24
    assert visualization.shortened("short") == "short"
