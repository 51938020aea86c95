"""Each layout that people have, as a list of names, and what it is taken for."""

from pathlib import Path

import pytest

from pyimagesearch.data import layouts

LAYOUTS = {
    "MVTec AD": [
        ("train/good/0.png", "train", "image", True),
        ("test/good/0.png", "test", "image", True),
        ("test/bent/0.png", "test", "image", False),
        ("ground_truth/bent/0_mask.png", None, "mask", False),
    ],
    "MVTec AD 2": [
        ("train/good/0.png", "train", "image", True),
        ("validation/good/0.png", "validation", "image", True),
        ("test_public/bad/0.png", "test", "image", False),
        ("test_public/ground_truth/bad/0_mask.png", "test", "mask", False),
        ("test_private_mixed/0.png", "private", "image", False),
    ],
    "MVTec 3D-AD": [
        ("train/good/rgb/0.png", "train", "image", True),
        ("train/good/xyz/0.tiff", "train", "measurement", True),
        ("test/hole/rgb/0.png", "test", "image", False),
        ("test/hole/gt/0.png", "test", "mask", False),
    ],
    "MVTec LOCO": [
        ("train/good/0.png", "train", "image", True),
        ("test/logical_anomalies/0.png", "test", "image", False),
        ("ground_truth/logical_anomalies/0/000.png", None, "mask", False),
        ("ground_truth/logical_anomalies/0/001.png", None, "mask", False),
    ],
    "VisA": [
        ("Data/Images/Normal/0.JPG", None, "image", True),
        ("Data/Images/Anomaly/0.JPG", None, "image", False),
        ("Data/Masks/Anomaly/0.png", None, "mask", False),
    ],
    "BTAD": [
        ("train/ok/0.bmp", "train", "image", True),
        ("test/ko/0.bmp", "test", "image", False),
        ("ground_truth/ko/0.png", None, "mask", False),
    ],
    "folders": [
        ("Good/0.jpg", None, "image", True),
        ("NG/crack/0.jpg", None, "image", False),
        ("mask/crack/0.jpg", None, "mask", False),
    ],
    "flat masks": [
        ("OK/0.jpg", None, "image", True),
        ("bad/7.jpg", None, "image", False),
        ("mask/7.png", None, "mask", False),
    ],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_is_understood(name):
    folder = Path("set")
    places = {folder / path: layouts.place_of(folder / path, folder) for path, *_ in LAYOUTS[name]}
    expected = [(split, role, normal) for _, split, role, normal in LAYOUTS[name]]
    assert [(p.split, p.role, p.is_normal) for p in places.values()] == expected
    assert layouts.is_labeled(places.values())
    masks = {path: place for path, place in places.items() if place.role == "mask"}
    odd = {
        path: place
        for path, place in places.items()
        if place.role == "image" and not place.is_normal and place.split != "private"
    }
    assert [sorted(found) for found in layouts.pair_masks(odd, masks).values()] == [sorted(masks)]


def test_mask_of_another_class_or_another_name_is_not_taken():
    image = Path("set/test/bent/1.png")
    others = [Path("set/ground_truth/cut/1_mask.png"), Path("set/ground_truth/bent/11_mask.png")]
    masks = {path: layouts.place_of(path, "set") for path in others}
    assert layouts.pair_masks({image: layouts.place_of(image, "set")}, masks) == {image: []}


def test_folders_without_a_normal_one_are_no_labeled_set():
    places = [layouts.place_of(f"set/{name}/1.png", "set") for name in ("cats", "dogs", "mask")]
    assert not layouts.is_labeled(places)


def test_mask_without_a_class_belongs_to_the_only_image_of_its_name():
    mask, *images = map(
        Path, ("set/ground_truth/7.png", "set/test/bent/7.jpg", "set/test/cut/7.jpg")
    )
    masks = {mask: layouts.place_of(mask, "set")}
    places = {image: layouts.place_of(image, "set") for image in images}
    assert layouts.pair_masks({images[0]: places[images[0]]}, masks) == {images[0]: [mask]}
    assert layouts.pair_masks(places, masks) == {images[0]: [], images[1]: []}
