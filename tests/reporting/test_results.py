"""The page of results, with a stand-in for the model."""

import argparse
import base64
import dataclasses
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pyimagesearch.data.datasets import Dataset
from pyimagesearch.detection.scoring import Reconstructions
from pyimagesearch.models.feature_autoencoder import DECODERS, FEATURES
from pyimagesearch.reporting import drawing, gallery, results

N, SIDE, PIXEL_THRESHOLD = 3, 16, 1.0
LAYERS = {"features": ("backbone", *FEATURES, *DECODERS), "pixels": ("encoder", "decoder")}


def detection(images):
    return results.Detection(
        dataset=Dataset(images, ["a", "b", "c"], np.full(N, -1)),
        score="mse",
        scores=np.float32([0.2, 0.9, 0.5]),
        ranking=np.array([1, 2, 0]),
        seconds=1.0,
        rule="threshold 0.8",
        threshold=0.8,
        flagged=np.array([False, True, False]),
    )


def stand_in(kind, parts):
    """A model of features or of pixels that makes these parts of the images."""
    layers = [SimpleNamespace(name=name) for name in LAYERS[kind]]
    return SimpleNamespace(
        autoencoder=SimpleNamespace(layers=layers),
        calibration={"pixel_threshold": PIXEL_THRESHOLD},
        settings={},
        reconstruct=lambda images, order: parts.take(order),
    )


def decoded(uri):
    """The picture in a data URI, which is without loss for small images."""
    kind, data = uri.split(",")
    assert kind == "data:image/png;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), 1)[..., ::-1]


@pytest.mark.parametrize("kind", ["features", "pixels"])
def test_page_shows_what_the_network_sees_and_the_map_over_the_photo_only_of_features(rng, kind):
    images, features, reconstructed = rng.random((3, N, SIDE, SIDE, 3), np.float32)
    maps = rng.uniform(-1, 4, (N, SIDE, SIDE))
    of_features = kind == "features"
    parts = Reconstructions(images, features if of_features else None, reconstructed, maps)
    model, found = stand_in(kind, parts), detection(images)
    flags = argparse.Namespace(top=N, output="output")
    page = found.page(model, flags, found.reconstruct_top(model, N))
    content = json.loads(page.split('id="data">')[1].split("</script>")[0])
    rgb = [drawing.to_rgb(part) for part in (images, features, reconstructed)]
    gray = drawing.map_levels(maps, gallery.map_scale(maps, PIXEL_THRESHOLD))
    if of_features:
        assert content["columns"] == ["Original", "Features", "Reconstruction", "Anomaly map"]
        expected = [*rgb, gray]
    else:
        assert content["columns"] == ["Original", "Reconstruction", "Anomaly map"]
        expected = [rgb[0], rgb[2], gray]
    assert content["overlay"] == of_features
    assert len(content["pictures"]) == N
    for shown, i in zip(content["pictures"], [1, 2, 0], strict=True):  # highest score first
        for uri, column in zip(shown, expected, strict=True):
            shown_in_rgb = np.broadcast_to(column[i].T, (3, SIDE, SIDE)).T
            np.testing.assert_array_equal(decoded(uri), shown_in_rgb)


def test_page_pictures_all_that_are_flagged_and_reconstructs_none_twice(rng, monkeypatch):
    for name in ("MIN_PAGE_IMAGES", "PICTURE_BATCH"):
        monkeypatch.setattr(results, name, 1)
    monkeypatch.setattr(gallery, "MAX_COLUMNS", 1)
    images, maps = rng.random((N, SIDE, SIDE, 3), np.float32), rng.random((N, SIDE, SIDE))
    parts = Reconstructions(images, None, images, maps)
    model = stand_in("pixels", parts)
    flags = argparse.Namespace(top=1, output="output")
    for n in range(N + 1):
        orders, reconstruct = [], stand_in("pixels", parts).reconstruct
        model.reconstruct = lambda images, order, orders=orders, run=reconstruct: (
            orders.append(order) or run(images, order)
        )
        flagged = np.isin(np.arange(N), [1, 2, 0][:n])
        found = dataclasses.replace(detection(images), flagged=flagged)
        page = found.page(model, flags, found.reconstruct_top(model, flags.top))
        assert np.concatenate(orders).tolist() == [1, 2, 0][: max(n, 1)]
        content = json.loads(page.split('id="data">')[1].split("</script>")[0])
        assert len(content["pictures"]) == max(n, 1)


def test_galleries_and_page_show_everything_by_rank(monkeypatch, rng):
    drawn = {}
    for name in ("anomalies", "heatmaps"):
        monkeypatch.setattr(
            gallery, name, lambda *shown, name=name, **_: drawn.update({name: shown})
        )
    images = rng.random((N, 4, 7, 3), np.float32)
    maps, masks = rng.uniform(0, 2, (N, 4, 7)), rng.random((N, 4, 7)) > 0.5
    plain = detection(images)
    dataset = dataclasses.replace(plain.dataset, masks=list(masks))
    reconstructed = Reconstructions(images, None, 1 - images, maps)
    found = dataclasses.replace(plain, dataset=dataset, reconstructed=reconstructed, masks=masks)
    model = stand_in("pixels", reconstructed)
    model.reconstruct = None  # all images were reconstructed for their maps: none is again
    top = found.reconstruct_top(model, N)
    found.draw_galleries(model, N, top)
    order = [1, 2, 0]
    shown = zip(drawn["anomalies"], (images, 1 - images, maps), strict=False)
    predicted = maps > PIXEL_THRESHOLD
    shown = [*shown, *zip(drawn["heatmaps"], (images, maps, masks, predicted), strict=False)]
    for argument, part in shown:
        np.testing.assert_array_equal(argument, part[order])
    captions = drawn["anomalies"][3]
    assert [caption.name for caption in captions] == ["b", "c", "a"]
    assert [caption.text for caption in captions] == [
        "#1  0.9000  flagged",
        "#2  0.5000",
        "#3  0.2000",
    ]
    assert [caption.text for caption in drawn["heatmaps"][4]] == [
        "#1  0.9000",
        "#2  0.5000",
        "#3  0.2000",
    ]

    monkeypatch.setattr(results, "load_masks", lambda masks, size: np.stack(masks))
    page = found.page(model, argparse.Namespace(top=N, output="output"), top)
    pictures = json.loads(page.split('id="data">')[1].split("</script>")[0])["pictures"]
    for uris, i in zip(pictures, order, strict=True):
        np.testing.assert_array_equal(decoded(uris[-1])[..., 0], 255 * masks[i])
