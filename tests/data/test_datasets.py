from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import datasets
from pyimagesearch.data.datasets import build_unsupervised_dataset
from pyimagesearch.data.sources import Source

LABELS = np.repeat([0, 1, 3, 7], [50, 100, 40, 60])


def pick(**settings):
    return build_unsupervised_dataset(np.arange(len(LABELS)), LABELS, **settings)


def test_contaminated_set_has_all_normal_images_and_the_fraction_of_anomalies():
    picked = pick(contam=0.05)
    assert np.bincount(LABELS[picked]).tolist() == [0, 100, 0, 5]
    assert len(set(picked.tolist())) == 105


def test_contaminated_set_is_shuffled():
    assert (np.flatnonzero(LABELS[pick(contam=0.05)] == 3) < 90).any()


def test_contaminated_set_depends_on_the_seed_alone():
    np.testing.assert_array_equal(pick(contam=0.1, seed=5), pick(contam=0.1, seed=5))
    one, other = set(pick(contam=0.1, seed=5).tolist()), set(pick(contam=0.1, seed=6).tolist())
    assert one != other


def test_number_of_anomalies_is_rounded_down_but_for_floating_point_error():
    assert (LABELS[pick(contam=0.29)] == 3).sum() == 29  # 100 * 0.29 is 28.999999999999996
    assert (LABELS[pick(contam=0.059)] == 3).sum() == 5


def test_several_labels_and_others_are_combined():
    picked = pick(validLabel=[0, 1], anomalyLabel=[3, 7], contam=0.5)
    assert np.isin(LABELS[picked], [0, 1]).sum() == 150
    assert np.isin(LABELS[picked], [3, 7]).sum() == 75
    picked = pick(validLabel=1, anomalyLabel="others", contam=1.5)
    assert sorted(set(LABELS[picked].tolist())) == [0, 1, 3, 7]
    assert len(picked) == 250


def test_without_contamination_the_anomalies_label_does_not_matter():
    assert len(pick(validLabel=[0, 1, 3, 7], contam=0)) == 250


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validLabel": 2}, "no image has the label 2: choose among 0, 1, 3, 7"),
        ({"anomalyLabel": 9}, "label 9"),
        ({"anomalyLabel": [1, 3]}, "label 1 can't be normal and an anomaly"),
        ({"contam": 0.5}, "50 anomalies and there are 40: ask for at most 0.4000"),
        ({"contam": -0.1}, "received -0.1"),
        ({"contam": float("nan")}, "received nan"),
    ],
)
def test_impossible_contamination_is_refused_with_the_reason(settings, message):
    with pytest.raises(InputError, match=message):
        pick(**settings)


def test_contaminated_source_keeps_images_names_and_labels_in_step():
    source = datasets.load("digits")
    dataset = datasets.contaminate(source, contam=0.05, seed=1)
    assert dataset.labels.sum() == 9
    assert dataset.names == datasets.contaminate(source, contam=0.05, seed=1).names
    assert set(dataset.names) != set(datasets.contaminate(source, contam=0.05, seed=2).names)
    for image, name, label in zip(dataset.images, dataset.names, dataset.labels, strict=True):
        index = int(name.removeprefix("digits/"))
        np.testing.assert_array_equal(image, source.images[index])
        assert label == (source.classes[index] == 3)


def test_default_contamination_is_the_tutorials_and_more_for_the_few_digits():
    digits = datasets.load("digits")
    assert datasets.contaminate(digits).labels.sum() == int(0.05 * (digits.classes == 1).sum())
    other = SimpleNamespace(**{**vars(digits), "name": "other"})
    assert datasets.contaminate(other).labels.sum() == int(0.01 * (digits.classes == 1).sum())


def test_labels_are_unknown_without_normal_classes():
    assert set(datasets.label_by_class(datasets.load("digits"), None).labels.tolist()) == {-1}


def test_every_one_of_several_normal_classes_is_normal():
    classes = np.repeat([4, 1, 3, 7], [2, 3, 1, 4])
    source = SimpleNamespace(
        **{**vars(datasets.load("digits")), "images": np.zeros((10, 2, 3, 1)), "classes": classes}
    )
    labels = datasets.label_by_class(source, [7, 4]).labels
    assert labels.tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_source_of_another_kind_is_refused_with_the_choices(tmp_path):
    (tmp_path / "images.txt").touch()
    with pytest.raises(InputError, match="auto, mnist, digits or a .npz .* folder of images"):
        datasets.load(tmp_path / "images.txt")


def test_path_that_does_not_exist_is_reported_as_such():
    with pytest.raises(InputError, match="source of images, found no file or folder at no/such: "):
        datasets.load("no/such")
    with pytest.raises(InputError, match="dataset of images, found no file or folder at no/such: "):
        datasets.open_dataset("no/such")


def test_folder_without_classes_is_taken_as_it_is(photos):
    source = datasets.load(photos)
    for dataset in (
        datasets.contaminate(source),
        datasets.label_by_class(source, [5]),
        datasets.label_by_class(source, None),
    ):
        assert dataset.images is source.images
        assert dataset.names == source.names
        assert dataset.labels.tolist() == [-1, -1, -1]
        assert dataset.skipped == {"photos/a/broken.png": "not an image"}


def test_contamination_of_a_folder_is_refused_and_not_ignored(photos):
    with pytest.raises(InputError, match="a folder for each class in photos .* contamination 0.1"):
        datasets.contaminate(datasets.load(photos), contam=0.1)


def test_sources_are_known_by_name_or_as_folders(photos):
    assert datasets.is_source(photos)
    assert datasets.is_source("digits")
    assert datasets.is_source("some.npz")
    assert not datasets.is_source("images.pickle")
    assert not datasets.is_source("no/such/folder")
    Path("digits").mkdir()
    assert len(datasets.load("digits").images) == 1797


def test_size_and_grayscale_are_refused_where_they_would_do_nothing(npz):
    for source in ("digits", npz[0]):
        for settings in ({"size": (8, 8)}, {"grayscale": True}):
            with pytest.raises(InputError, match="folder of images .*: leave these out"):
                datasets.load(source, **settings)


def test_classes_that_are_folders_decide_only_where_one_of_them_is_named_normal():
    labeled = Source(
        "a",
        np.zeros((3, 2, 2, 1), np.float32),
        np.array(["x", "y", "y"]),
        ["0", "1", "2"],
        np.int8([0, 1, 0]),
    )
    assert datasets.label_by_class(labeled, None).labels.tolist() == [0, 1, 0]
    assert datasets.label_by_class(labeled, ["y"]).labels.tolist() == [1, 0, 0]
    assert datasets.label_by_class(labeled, ["z"]).labels.tolist() == [0, 1, 0]
