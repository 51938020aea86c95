import contextlib
import shutil
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import arrays, datasets, image_folders, sources
from pyimagesearch.data.arrays import as_images
from pyimagesearch.data.datasets import build_unsupervised_dataset

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


def test_digits_are_scaled_and_enlarged():
    images = datasets.load("digits").images
    assert images.shape == (1797, 28, 28, 1)
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1


@pytest.fixture
def npz(tmp_path, rng):
    """A small file in the layout of Keras's MNIST, and its arrays."""
    arrays = {
        "x_train": rng.integers(0, 256, (30, 6, 5), np.uint8),
        "y_train": np.arange(30) % 3,
        "x_test": rng.integers(0, 256, (12, 6, 5), np.uint8),
        "y_test": np.arange(12) % 3,
    }
    np.savez(tmp_path / "small.npz", **arrays)
    return str(tmp_path / "small.npz"), arrays


def test_npz_is_loaded_by_split(npz):
    path, arrays = npz
    test = datasets.load(path, "test")
    np.testing.assert_allclose(test.images[..., 0], arrays["x_test"] / 255, atol=1e-7)
    np.testing.assert_array_equal(test.classes, arrays["y_test"])
    both = datasets.load(path, "all")
    assert len(both.images) == len(both.names) == 42
    assert both.names[29:31] == ["train/29", "test/0"]


def test_npz_labels_may_be_a_column(npz):
    path, arrays = npz
    np.savez(path, **{**arrays, "y_train": arrays["y_train"][:, None]})
    assert datasets.load(path).classes.shape == (30,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.arange(29)}, r"one label per image .* \(29,\)"),
        ({"x_train": np.array([{}])}, "not a whole .npz file of numeric arrays"),
        ({"x_train": np.full((30, 6, 5), np.nan)}, "finite"),
        ({"x_train": np.zeros((30, 6))}, r"\(N, H, W\)"),
    ],
)
def test_npz_that_is_not_of_the_layout_is_refused(npz, change, message):
    path, arrays = npz
    np.savez(path, **{**arrays, **change})
    with pytest.raises(InputError, match=message):
        datasets.load(path)


def test_npz_without_the_arrays_names_those_it_has(tmp_path):
    np.savez(tmp_path / "other.npz", pixels=np.zeros(3))
    with pytest.raises(InputError, match="x_train, y_train in .* found pixels"):
        datasets.load(str(tmp_path / "other.npz"))


def test_npz_that_is_missing_broken_or_a_folder_is_refused(tmp_path, npz):
    with pytest.raises(InputError, match=r"no file or folder at .*none\.npz: check the path"):
        datasets.load(str(tmp_path / "none.npz"))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="folder"):
        datasets.load(str(tmp_path / "folder.npz"))
    path, _ = npz
    whole = Path(path).read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        Path(path).write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a whole .npz"):
            datasets.load(path)


def test_source_of_another_kind_is_refused_with_the_choices(tmp_path):
    (tmp_path / "images.txt").touch()
    with pytest.raises(InputError, match="auto, mnist, digits or a .npz .* folder of images"):
        datasets.load(tmp_path / "images.txt")


def test_path_that_does_not_exist_is_reported_as_such():
    with pytest.raises(InputError, match="source of images, found no file or folder at no/such: "):
        datasets.load("no/such")
    with pytest.raises(InputError, match="dataset of images, found no file or folder at no/such: "):
        datasets.open_dataset("no/such", image_shape=(4, 4, 1))


def draw(path, value, shape=(6, 4)):
    """Write an image of one brightness."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, np.full(shape, value, np.uint8))[1].tobytes())


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The name of a folder of three images and a broken one, as its user types it."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("b.png", 51), ("a/z.png", 102), ("a/é.bmp", 153)):
        draw(Path("photos", name), value)
    Path("photos", "a", "broken.png").write_text("no picture")
    return "photos"


def test_folder_without_layout_is_unlabeled_and_sorted(photos):
    source = datasets.load(photos)
    assert source.name == "photos"
    assert source.names == ["photos/a/z.png", "photos/a/é.bmp", "photos/b.png"]
    assert source.skipped == ["photos/a/broken.png"]
    assert source.labels.tolist() == [-1, -1, -1]
    assert source.labels.dtype == np.int8
    assert (source.classes, source.masks) == (None, None)
    assert source.images.shape == (3, 6, 4, 3)
    np.testing.assert_allclose(source.images[:].mean((1, 2, 3)), [0.4, 0.6, 0.2], atol=1e-6)


def test_folder_is_read_in_size_and_grayscale(photos):
    assert datasets.load(photos, size=(8, 10), grayscale=True).images[:].shape == (3, 8, 10, 1)


def test_folder_without_classes_is_taken_as_it_is(photos):
    source = datasets.load(photos)
    for dataset in (
        datasets.contaminate(source, valid_label=5, anomaly_label=5),
        datasets.label_by_class(source, [5]),
        datasets.label_by_class(source, None),
    ):
        assert dataset.images is source.images
        assert dataset.names == source.names
        assert dataset.labels.tolist() == [-1, -1, -1]
        assert dataset.skipped == ["photos/a/broken.png"]


def test_contamination_of_a_folder_is_refused_and_not_ignored(photos):
    with pytest.raises(InputError, match="leave --contam out"):
        datasets.contaminate(datasets.load(photos), contam=0.1)


def test_folder_reports_the_progress_of_its_check(photos):
    reported = []
    datasets.load(photos, on_progress=lambda done, total: reported.append((done, total)))
    assert reported == [(0, 4), (4, 4)]


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
            with pytest.raises(InputError, match="folder of images .*: leave these flags out"):
                datasets.load(source, **settings)


@pytest.fixture
def screws(tmp_path):
    """A made-up category in the layout of MVTec AD; each image has another brightness."""
    folder = tmp_path / "screws"
    for name, value in {
        "train/good/000.png": 10,
        "train/good/001.png": 11,
        "test/good/000.png": 20,
        "test/bent/000.png": 30,
        "test/bent/001.png": 31,
        "test/scratch/000.png": 40,
        "ground_truth/bent/000_mask.png": 255,
        "ground_truth/bent/001.png": 255,
        "ground_truth/scratch/000_mask.bmp": 255,
    }.items():
        draw(folder / name, value)
    return folder


def test_mvtec_is_labeled_by_folder_and_split(screws):
    train = datasets.load(str(screws))
    assert [str(screws / "train" / "good" / f"00{i}.png") for i in (0, 1)] == train.names
    assert (train.labels.tolist(), train.masks, train.classes) == ([0, 0], None, None)
    test = datasets.load(str(screws), "test")
    assert test.labels.tolist() == [1, 1, 0, 1]
    assert test.labels.dtype == np.int8
    both = datasets.load(str(screws), "all")
    assert both.labels.tolist() == [0, 0, 1, 1, 0, 1]
    assert both.names == train.names + test.names
    values = both.images[:][:, 0, 0, 0] * 255
    np.testing.assert_allclose(values, [10, 11, 30, 31, 20, 40], atol=1e-4)


def test_mvtec_masks_are_paired_by_name(screws):
    truth = screws / "ground_truth"
    test = [
        truth / "bent" / "000_mask.png",
        truth / "bent" / "001.png",
        None,
        truth / "scratch" / "000_mask.bmp",
    ]
    assert datasets.load(screws, "test").masks == test
    both = datasets.load(screws, "all")
    assert both.masks == [None, None, *test]
    assert datasets.label_by_class(both, None).masks == both.masks
    assert datasets.contaminate(both).masks == both.masks


def test_mvtec_image_without_its_mask_is_named_with_the_mask_expected(screws):
    (screws / "ground_truth" / "bent" / "001.png").unlink()
    with pytest.raises(
        InputError, match=r"test/bent/001\.png at .*ground_truth/bent/001_mask\.png"
    ):
        datasets.load(screws, "test")
    assert datasets.load(screws, "train").masks is None


def test_mvtec_without_any_ground_truth_has_no_masks(screws):
    shutil.rmtree(screws / "ground_truth")
    test = datasets.load(screws, "test")
    assert test.masks is None
    assert test.labels.tolist() == [1, 1, 0, 1]


def test_mvtec_image_that_cannot_be_decoded_is_skipped_with_its_label_and_mask(screws):
    (screws / "test" / "bent" / "000.png").write_text("no picture")
    (screws / "ground_truth" / "bent" / "000_mask.png").unlink()
    test = datasets.load(screws, "test")
    assert test.skipped == [str(screws / "test" / "bent" / "000.png")]
    assert test.labels.tolist() == [1, 0, 1]
    assert [mask and mask.name for mask in test.masks] == ["001.png", None, "000_mask.bmp"]


def test_mvtec_test_image_outside_of_any_defect_is_refused(screws):
    draw(screws / "test" / "stray.png", 1)
    with pytest.raises(InputError, match=r"good/, found .*stray\.png"):
        datasets.load(screws, "test")


def test_mvtec_of_defects_in_nested_folders_is_paired_too(screws):
    draw(screws / "test" / "bent" / "left" / "7.png", 1)
    draw(screws / "ground_truth" / "bent" / "left" / "7_mask.png", 1)
    masks = datasets.load(screws, "test").masks
    assert screws / "ground_truth" / "bent" / "left" / "7_mask.png" in masks


def test_half_of_the_mvtec_layout_is_an_unlabeled_folder(screws):
    shutil.rmtree(screws / "test")
    assert set(datasets.load(screws).labels.tolist()) == {-1}


def test_files_of_a_manifest_are_taken_in_its_order_with_its_labels(photos):
    names, labels = ["photos/b.png", "photos/a/z.png"], np.array([1, 0], np.int8)
    source = image_folders.load_files(names, labels, size=(3, 3), grayscale=True)
    assert source.names == names
    assert source.images.shape == (2, 3, 3, 1)
    np.testing.assert_allclose(source.images[:].mean((1, 2, 3)), [0.2, 0.4], atol=1e-6)
    assert datasets.label_by_class(source, None).labels.tolist() == [1, 0]


def test_files_of_a_manifest_that_are_missing_or_broken_are_named(photos):
    labels = np.zeros(3, np.int8)
    names = ["photos/b.png", "photos/gone.png", "photos/lost.png"]
    with pytest.raises(InputError, match=r"photos/gone\.png.*no such file \(nor 1 more\)"):
        image_folders.load_files(names, labels)
    with pytest.raises(InputError, match=r"photos/a/broken\.png.*can't be decoded:"):
        image_folders.load_files(["photos/b.png", "photos/a/broken.png"], labels[:2])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3),
        np.arange(5 * 4 * 3 * 3, dtype=np.uint8).reshape(5, 4, 3, 3),
        np.linspace(0, 1, 60).reshape(5, 4, 3),
        np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 4, 3, 1),
        np.linspace(0, 255, 60, dtype=">f4").reshape(5, 4, 3, 1),
        np.arange(60).reshape(5, 4, 3) % 2 == 0,
    ],
    ids=lambda array: f"{array.dtype}-{array.ndim}d",
)
def test_npy_is_indexed_as_its_array_in_the_common_form(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    source = sources.load_npy(tmp_path / "a.npy")
    expected, _ = as_images(array, "these")
    assert isinstance(source.images.array, np.memmap)
    assert source.images.shape == expected.shape
    assert len(source.images) == len(source.names) == 5
    assert source.labels.tolist() == [-1] * 5
    for indices in (slice(None), slice(1, 3), np.array([4, 0]), 2):
        pixels = source.images[indices]
        assert type(pixels) is np.ndarray
        assert pixels.dtype == np.float32
        assert pixels.flags.writeable
        np.testing.assert_array_equal(pixels, expected[indices])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4)), r"found float64 of shape \(4, 4\)"),
        (np.array([[[{}]]]), "not a whole .npy file of numbers"),
        (np.full((3, 2, 2), "a"), "<U1"),
        (np.concatenate([np.zeros((8, 2, 2)), np.full((1, 2, 2), np.nan)]), "NaN"),
        (np.concatenate([np.full((1, 2, 2), np.nan), np.zeros((8, 2, 2))]), "NaN"),
        (np.concatenate([np.zeros((8, 2, 2)), np.full((1, 2, 2), 256)]), "found 0 to 256"),
        (np.concatenate([np.full((1, 2, 2), -1), np.zeros((8, 2, 2))]), "found -1 to 0"),
    ],
)
def test_npy_that_is_not_of_images_is_refused_in_whatever_chunk(
    tmp_path, monkeypatch, array, message
):
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 64)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        sources.load_npy(tmp_path / "a.npy")


def test_npy_that_is_missing_broken_or_something_else_is_refused(tmp_path, npz):
    with pytest.raises(InputError, match="there is no file"):
        sources.load_npy(tmp_path / "none.npy")
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 4)))
    whole = (tmp_path / "a.npy").read_bytes()
    for data in (b"", whole[:5], whole[:100], whole[:-1], Path(npz[0]).read_bytes()):
        (tmp_path / "b.npy").write_bytes(data)
        with pytest.raises(InputError, match="not a whole .npy file"):
            sources.load_npy(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros((0, 4, 4)))
    with pytest.raises(InputError, match=r"c\.npy"):
        sources.load_npy(tmp_path / "c.npy")


def test_server_that_never_accepts_is_given_up_after_its_first_address(monkeypatch):
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # as many as fill its queue
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        address = socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 16)
        started = time.monotonic()
        assert not sources.is_reachable(("nowhere.invalid", 443), 0.2)
        assert time.monotonic() - started < 2


def test_proxy_is_left_to_keras(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert sources.is_reachable(("nowhere.invalid", 443), 0.2)


def test_auto_is_the_digits_and_mnist_a_hint_when_the_server_does_not_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "DOWNLOAD_TIMEOUT", 0.2)
    # A server that accepts connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
        assert datasets.load("auto").name == "digits"
        with pytest.raises(sources.SourceUnavailable, match=r"--source PATH/TO/mnist\.npz"):
            datasets.load("mnist")
    assert socket.getdefaulttimeout() is None


def test_damaged_mnist_in_the_cache_does_not_stop_auto(monkeypatch, tmp_path):
    # No name can be looked up here, so that Keras cannot fetch another.
    def fail(*_, **__):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").write_bytes(b"no such thing")
    assert datasets.load("auto").name == "digits"


def test_mnist_is_loaded_from_the_cache_of_keras(monkeypatch, tmp_path):
    import keras

    train = np.full((3, 28, 28), 255, np.uint8), np.array([1, 2, 3])
    test = np.zeros((2, 28, 28), np.uint8), np.array([4, 5])
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.npz").touch()
    # Keras takes no file but the very one it knows by its hash, which no test may need.
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: (train, test))
    source = datasets.load("auto", "all")
    assert source.name == "mnist"
    assert source.classes.tolist() == [1, 2, 3, 4, 5]
    assert source.images.mean() == pytest.approx(0.6)
