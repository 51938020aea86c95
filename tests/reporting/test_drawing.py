import cv2
import numpy as np
import pytest

from pyimagesearch.reporting import drawing
from tests.reporting.pictures import CORNERS


def test_to_rgb_keeps_three_channels_and_shows_others_in_gray():
    red = np.zeros((1, 2, 2, 3))
    red[..., 0] = 1
    np.testing.assert_array_equal(drawing.to_rgb(red)[0, 0, 0], [255, 0, 0])
    gray = np.full((1, 2, 2, 1), 0.2)
    np.testing.assert_array_equal(drawing.to_rgb(gray)[0, 0, 0], [51, 51, 51])
    np.testing.assert_array_equal(drawing.to_rgb(np.full((1, 1, 1, 1), 1.7))[0, 0, 0], [255] * 3)


def test_color_maps_grow_brighter_up_to_the_scale():
    maps = np.array([[[0.0, 0.1, 0.2, 0.4, 0.8]]])
    brightness = drawing.color_maps(maps, scale=0.4).sum(axis=-1)[0, 0]
    assert brightness[0] < 10
    assert (np.diff(brightness[:4]) > 0).all()
    assert brightness[4] == brightness[3]
    assert (drawing.color_maps(np.zeros((1, 2, 2)), scale=0).sum(axis=-1) < 10).all()


def test_color_maps_begin_and_end_in_the_colors_of_inferno():
    ends = drawing.color_maps(np.array([[[0.0, 10.0]]]), 10.0)[0, 0]
    np.testing.assert_array_equal(ends, [[0, 0, 4], [252, 255, 164]])


def test_overlay_dims_the_photo_in_gray_and_glows_only_where_the_map_is_high():
    photo = np.zeros((1, 2, 3, 3), np.uint8)
    photo[0, 0, 0], photo[0, 0, 2], photo[0, 1, 2] = [240, 0, 0], [60, 120, 180], 200
    maps = np.array([[[-5.0, 0.0, 0.2], [3.0, -0.1, 0.3]]])
    laid = drawing.overlay_maps(photo, maps, scale=3.0)[0]
    expected = np.array([[36, 0, 54], [0, 0, 90]])  # 0.45 of the mean of the channels
    below = maps[0] <= 1
    np.testing.assert_array_equal(laid[below], expected[below][:, np.newaxis].repeat(3, 1))
    assert laid[1, 0, 0] > laid[1, 0, 2] > 60  # yellow, at the lower left alone


def test_overlay_tells_places_by_their_lightness_on_a_photo_of_any_lightness():
    """From half the scale on, so that a reader who sees no red sees them too."""
    maps = np.array([[[0.0, *np.linspace(1.5, 3, 20)]]])
    for gray in (0, 128, 255):
        photo = np.full((1, 1, 21, 3), gray, np.uint8)
        lightness = drawing.overlay_maps(photo, maps, 3.0)[0, 0] @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(lightness) > 0).all(), gray


def test_overlay_of_a_wholly_anomalous_photo_still_shows_the_photo():
    photo = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 1, 256, 3)
    shown = drawing.overlay_maps(photo, np.full((1, 1, 256), 99.0), 3.0)[0, 0].astype(int)
    assert (np.diff(shown, axis=0) >= 0).all()
    assert np.ptp(shown[:, 0]) > 90


def test_overlay_without_a_scale_shows_no_glow():
    photo = np.full((1, 2, 2, 3), 100, np.uint8)
    for scale in (0.0, -2.0):
        assert (drawing.overlay_maps(photo, np.ones((1, 2, 2)), scale) == 45).all()


def test_strips_place_tiles_side_by_side_enlarged_without_blur():
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
def test_tiles_of_any_size_fit_a_screen_and_are_large_enough(size, shown):
    tiles = drawing.tiles(np.full((2, *size, 3), 9, np.uint8))
    assert tiles.shape == (2, *shown, 3)
    assert (tiles == 9).all()
    assert drawing.tiles(tiles).shape == tiles.shape


def test_tiles_of_large_images_are_averages():
    stripes = np.zeros((1, 608, 608, 3), np.uint8)
    stripes[:, ::2] = 200
    tiles = drawing.tiles(stripes)
    assert (tiles == 100).all()


def test_tiles_stay_upright_and_in_their_colors():
    rgb = drawing.to_rgb(CORNERS[np.newaxis] / 255)
    np.testing.assert_array_equal(rgb[0], CORNERS)
    np.testing.assert_array_equal(drawing.tiles(rgb)[0], CORNERS.repeat(16, 0).repeat(16, 1))
    (reduced,) = drawing.tiles(rgb.repeat(100, axis=1).repeat(100, axis=2))
    np.testing.assert_array_equal(
        reduced[[0, 0, -1, -1], [0, -1, 0, -1]], CORNERS[[0, 0, -1, -1], [0, -1, 0, -1]]
    )


def test_shorten_name_keeps_the_end_in_one_line():
    assert drawing.shorten_name("folder/" * 10 + "odd.png").endswith("odd.png")
    assert len(drawing.shorten_name("x" * 300)) == 24
    assert drawing.shorten_name("short") == "short"
    assert drawing.shorten_name("two\nlines") == "two lines"
    assert drawing.shorten_name("caf\udce9 größe.png") == "caf\\udce9 größe.png"
    assert drawing.shorten_name("\ud800") == "\\ud800"


def test_fit_name_cuts_a_name_to_its_room():
    for room in (30, 60, 90):
        name = drawing.fit_name("a/long/folder/odd.png", room)
        assert drawing.text_width(name, drawing.SMALL) <= room
        assert name.startswith("…")
        assert "a/long/folder/odd.png".endswith(name[1:])
    assert drawing.fit_name("odd.png", 200) == "odd.png"
    assert drawing.fit_name("", 200) == ""


def test_picture_keeps_its_colors(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 255  # red
    drawing.save_picture(tmp_path / "red.anything", picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "red.anything"))[..., ::-1], picture)
    assert (tmp_path / "red.anything").read_bytes().startswith(b"\x89PNG")
