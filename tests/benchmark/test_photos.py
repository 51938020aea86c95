"""The table of photographs: its piles, its baselines, and one run of it on a small set."""

import csv
import dataclasses
import json

import cv2
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.benchmark import __main__ as command
from pyimagesearch.benchmark import photo_methods, photo_piles
from pyimagesearch.benchmark import photos as photos_table
from pyimagesearch.benchmark.photo_piles import Sources, make_piles
from tests.photos import photos


def save(folder, images):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{i:02}.png"), np.rint(image[..., ::-1] * 255).astype(np.uint8))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A set in MVTec's layout, three kinds of photos, other things, and an array."""
    root = tmp_path_factory.mktemp("sources")
    images = photos(30, odd=range(24, 30))
    save(root / "set/train/good", images[:18])
    save(root / "set/test/good", images[18:24])
    save(root / "set/test/disk", images[24:])
    (root / "set/ground_truth/disk").mkdir(parents=True)
    mask = np.zeros((64, 96), np.uint8)
    mask[6:32, 58:86] = 255
    for i in range(6):
        cv2.imwrite(str(root / f"set/ground_truth/disk/{i:02}_mask.png"), mask)
    for kind, n in (("ash", 20), ("beech", 40), ("cherry", 5)):
        save(root / "kinds" / kind, photos(n, seed=n))
    save(root / "others", photos(4, odd=range(4), seed=9))
    classes = np.arange(60) % 3
    arrays = {"x_train": np.zeros((60, 32, 32, 3), np.uint8), "y_train": classes[:, None]}
    np.savez(root / "a.npz", **arrays, x_test=arrays["x_train"][:3], y_test=classes[:3, None])
    save(root / "pictures", np.stack([photos(1, size=(80, 120), seed=i)[0] for i in (1, 2, 3)]))
    pictures = [str(root / f"pictures/0{i}.png") for i in range(3)]
    rest = ([str(root / name)] for name in ("set", "kinds", "others", "a.npz"))
    return Sources(*rest, pictures)


def piles(sources, protocol, seed=1):
    return list(make_piles([protocol], sources, [seed]))


def test_clean_set_is_learned_from_good_images_alone(sources):
    (pile,) = piles(sources, "a")
    assert len(pile.train) == 18
    assert all("train/good" in path for path in pile.train)
    assert ["disk" in path for path in pile.test] == [label == 1 for label in pile.labels]
    assert [mask is not None for mask in pile.masks] == [label == 1 for label in pile.labels]


def test_pile_has_a_tenth_of_defective_images_and_is_ranked_itself(sources):
    (pile,) = piles(sources, "b")
    assert pile.test is None
    assert len(pile.train) == len(pile.labels) == 20
    assert ["disk" in path for path in pile.train] == [False] * 18 + [True] * 2
    assert sum(pile.labels) == 2
    assert {path for seed in range(6) for path in piles(sources, "b", seed)[0].train[18:]} > set(
        pile.train[18:]
    )


def test_kinds_are_mixed_with_others_by_a_twentieth(sources):
    things = piles(sources, "c things")
    assert [pile.name for pile in things] == ["ash", "beech", "cherry"]
    assert [sum(pile.labels) for pile in things] == [1, 2, 0]
    assert all("others" in path for path in things[1].train[40:])
    kinds = piles(sources, "c kinds")
    assert all("beech" not in path for path in kinds[1].train[40:])
    assert all("beech" in path for path in kinds[1].train[:40])


def test_classes_of_an_array_are_mixed_with_a_tenth_of_others(sources):
    found = piles(sources, "d")
    assert [pile.name for pile in found] == ["a 0", "a 1", "a 2"]
    path, indices = found[1].train
    assert [index % 3 == 1 for index in indices] == [label == 0 for label in found[1].labels]
    assert (len(indices), sum(found[1].labels)) == (22, 2)
    assert photo_piles.open_images(found[1].train, 256).shape == (22, 32, 32, 3)


def test_one_set_comes_in_three_sizes(sources):
    assert [pile.size for pile in piles(sources, "e")] == [64, 128, 256]


def test_crops_of_a_picture_are_mixed_with_crops_of_the_others(sources, monkeypatch):
    monkeypatch.setattr(photo_piles, "CROPS", 10)
    pictures = [cv2.imread(path)[..., ::-1] for path in sources.pictures]

    def origin(crop):
        found = [cv2.matchTemplate(picture, crop, cv2.TM_SQDIFF).min() for picture in pictures]
        assert min(found) < 100  # cut out as it is, but for rounding
        return int(np.argmin(found))

    for i, pile in enumerate(make_piles(["f"], sources, [1])):
        crops = [cv2.imread(path)[..., ::-1] for path in pile.train]
        assert {crop.shape for crop in crops} == {(40, 40, 3)}
        origins = [origin(crop) for crop in crops]
        assert origins[:10] == [i] * 10
        assert sorted(origins[10:]) == sorted([j for j in range(3) if j != i] * 3)
        assert pile.labels == [0] * 10 + [1] * 6


def test_one_picture_alone_is_refused_before_anything_is_measured(sources):
    alone = Sources(sources.sets, [], [], [], sources.pictures[:1])
    with pytest.raises(InputError, match="expected two --pictures or more, received 1"):
        next(make_piles(["a", "f"], alone, [1]))


def test_picture_that_cannot_be_read_is_refused(sources):
    broken = Sources([], [], [], [], [sources.pictures[0], sources.arrays[0]])
    with pytest.raises(InputError, match="a.npz"):
        next(make_piles(["f"], broken, [1]))


def test_bad_copies_are_added_to_the_photos_of_a_kind(sources):
    for pile in make_piles(["g"], sources, [1]):
        n = pile.labels.count(0)
        assert pile.labels == [0] * n + [1] * 5
        assert all(pile.name in path for path in pile.train[:n])
        gray, white, black, blurred, overexposed = (cv2.imread(path) for path in pile.train[n:])
        assert [(image.min(), image.max()) for image in (gray, white, black)] == [
            (128, 128),
            (255, 255),
            (0, 0),
        ]
        usual = min(cv2.Laplacian(cv2.imread(path), cv2.CV_64F).std() for path in pile.train[:n])
        assert 0 < cv2.Laplacian(blurred, cv2.CV_64F).std() < usual / 4
        assert np.median(overexposed) == 255 > overexposed.min()


def test_worst_rank_is_the_share_that_holds_all_odd_images():
    scores = np.array([5.0, 1, 4, 2, 3])
    assert photos_table.worst_rank(scores, np.array([1, 0, 0, 0, 0])) == 0.2
    assert photos_table.worst_rank(scores, np.array([1, 0, 0, 0, 1])) == 0.6
    assert photos_table.worst_rank(np.ones(5), np.array([1, 0, 0, 0, 0])) == 1
    assert photos_table.worst_rank(scores, np.zeros(5, int)) is None


def test_protocols_without_images_are_left_out_or_refused(sources):
    none = Sources([], [], [], [], [])
    with pytest.raises(InputError, match="--sets"):
        piles(none, "a")
    only_sets = Sources(sources.sets, [], [], [], [])
    assert {pile.protocol for pile in make_piles(["a", "d"], only_sets, [1])} == {"a"}


def test_sizes_are_not_averaged_and_piles_are():
    measured = dict.fromkeys((*photos_table.MEASURES, *photos_table.COSTS), 0.0)
    runs = {
        (protocol, name, "0", "padim"): measured | {"auroc": auroc}
        for protocol, name, auroc in [
            ("a", "x", 0.5),
            ("a", "y", 1.0),
            ("e", "x 64", 0.6),
            ("e", "x 256", 0.7),
        ]
    }
    rows = photos_table.summarize(runs)
    assert [row[:4] for row in rows[1:]] == [
        ("a", "padim", "2", "0.7500"),
        ("e, x 64", "padim", "1", "0.6000"),
        ("e, x 256", "padim", "1", "0.7000"),
    ]


@pytest.mark.parametrize(("protocol", "size"), [("a", 128), ("e", 64), ("e", 256)])
def test_pixels_are_seen_at_one_size_but_where_sizes_are_compared(
    protocol, size, sources, monkeypatch
):
    shapes = []
    monkeypatch.setattr(photo_methods, "run_ours", lambda *args: shapes.append(args[2].shape[1:3]))
    (pile, *_) = piles(sources, "a")
    pile = dataclasses.replace(pile, protocol=protocol, size=size if protocol == "e" else 256)
    photo_methods.run("pixels", pile)
    assert shapes == [(size, size)]


class Patches:
    """Features of 12 images on 4 x 5 places, the last of them with a place of its own."""

    def __init__(self, seed, odd):
        rng = np.random.default_rng(seed)
        self.patches = rng.normal(size=(12, 4, 5, 6)).astype(np.float16)
        if odd:
            self.patches[11, 1, 3] += 9
        self.means = self.patches.mean((1, 2), dtype=np.float32)
        self.embedding = self.means + 3


@pytest.mark.parametrize("name", ["padim", "patchcore", "linear"])
def test_baseline_marks_the_odd_place(name, monkeypatch):
    monkeypatch.setattr(photo_methods, "PADIM_CHANNELS", 5)
    maps = photo_methods.BASELINES[name](Patches(0, odd=False), Patches(1, odd=True), seed=0)
    assert maps.shape == (12, 4, 5)
    if name == "linear":  # nearly all of six channels is explained: only what is left counts
        assert np.isfinite(maps).all()
    else:
        assert np.unravel_index(maps.argmax(), maps.shape) == (11, 1, 3)


@pytest.mark.parametrize("name", ["knn", "isolation-forest"])
def test_baseline_of_whole_images_ranks_the_odd_one_first(name, monkeypatch):
    monkeypatch.setattr(photo_methods, "NEIGHBORS", 3)
    pile = Patches(1, odd=True)
    pile.embedding[11] = -3
    pile.means[11] += 4
    scores = photo_methods.BASELINES[name](pile, pile, seed=0)
    assert scores.argmax() == 11


def test_neighbor_of_an_image_of_the_pile_is_another_one():
    pile = Patches(1, odd=False)
    pile.embedding = np.eye(12, dtype=np.float32)
    assert photo_methods.knn(pile, pile, 0).tolist() == pytest.approx([1.0] * 12)


@pytest.mark.slow
def test_table_is_measured_resumed_and_saved(sources, tmp_path, capsys):
    flags = ["photos", "--sets", *sources.sets, "--protocols", "a", "--output", str(tmp_path)]
    flags += ["--methods", "photos", "padim"]
    assert command.main(flags) == 0
    with (tmp_path / "photo_runs.csv").open(newline="") as file:
        runs = {row["method"]: row for row in csv.DictReader(file)}
    assert float(runs["photos"]["auroc"]) == 1
    assert float(runs["photos"]["pixel_auroc"]) > 0.9
    assert float(runs["padim"]["peak_mib"]) > 100
    first = capsys.readouterr().out
    assert command.main(flags) == 0  # from the file alone
    assert "photos: auroc" not in capsys.readouterr().out
    table = json.loads((tmp_path / "photos.json").read_text())
    assert [row["method"] for row in table] == ["photos", "padim"]
    assert "padim" in first
