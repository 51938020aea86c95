"""Datasets: images of any source, with hidden labels that only the metrics read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files
from pyimagesearch.data.arrays import MemmapImages, as_images
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.data.image_folders import is_mvtec, load_files, load_folder, load_mvtec
from pyimagesearch.data.sources import SOURCES, load_npy, load_npz

# The tutorial's contamination; the few bundled digits need more to have any anomalies at all.
DEFAULT_CONTAM, DEFAULT_CONTAM_OF_DIGITS = 0.01, 0.05


@dataclass(frozen=True)
class Dataset:
    """Images to train on or to score, with hidden labels that only the metrics read.

    Attributes:
        images: Images as for `batches.iterate_batches`, `(N, H, W, C)` in [0, 1].
        names: N names.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        masks, skipped, own_pictures: As in `Source`.
    """

    images: "np.ndarray | ImageFiles | MemmapImages"
    names: list[str]
    labels: np.ndarray
    masks: list[Path | None] | None = None
    skipped: Sequence[str] = ()
    own_pictures: Sequence[str] = ()


def load(source, split="train", size=None, grayscale=False, on_progress=None):
    """Load a source of images.

    Args:
        source: A key of `SOURCES`; the path of a `.npz` file with `x_train`, `y_train`, `x_test`
            and `y_test`, as Keras's MNIST has them; or a folder of images, with or without the
            layout of MVTec AD.
        split: `train`, `test` or `all`. The digits and a folder without that layout have no
            splits: all their images are loaded.
        size: Height and width in pixels to which the images of a folder are resized; `None` for
            their own, if it is the same for all.
        grayscale: Whether to read the images of a folder as one channel instead of three.
        on_progress: Called as `on_progress(done, total)` while a folder's files are checked, at
            first with `done=0`.

    Returns:
        A `Source`.

    Raises:
        SourceUnavailable: If MNIST can't be downloaded.
        InputError: If there is no such source, if it has another layout, or if a size or
            grayscale is asked for and it is not a folder.

    Example:
        >>> load("digits").images.shape
        (1797, 28, 28, 1)
    """
    _check_exists(source, "a source of images")
    if not is_source(source):
        raise InputError(
            f"expected {', '.join(SOURCES)} or a .npz file, or a folder of images, as source of "
            f"images, received {source}: check the path"
        )
    if is_folder(source):
        read = load_mvtec if is_mvtec(source) else load_folder
        return read(source, split, size, grayscale, on_progress)
    if size is not None or grayscale:
        raise InputError(
            f"expected a folder of images to go with an image size or grayscale, received "
            f"{source}, whose images are taken as they are: leave these flags out"
        )
    return SOURCES[source](split) if source in SOURCES else load_npz(source, split)


def _check_exists(path, expected):
    """Raise an `InputError` if a path is neither a key of `SOURCES` nor exists."""
    if path not in SOURCES and not Path(path).exists():
        raise InputError(f"expected {expected}, found no file or folder at {path}: check the path")


def is_source(name):
    """Whether `load` accepts a source: a key of `SOURCES`, a folder or a `.npz` file."""
    return name in SOURCES or is_folder(name) or Path(name).suffix == ".npz"


def is_folder(name):
    """Whether a source is a folder. A folder named `digits` is `./digits`."""
    return name not in SOURCES and Path(name).is_dir()


def build_unsupervised_dataset(data, labels, validLabel=1, anomalyLabel=3, contam=0.01, seed=42):
    """Contaminate the images of one class with a few of another, as the tutorial does.

    Args:
        data: Array `(N, ...)`, one entry per image.
        labels: Array `(N,)` of class labels.
        validLabel: The class that is normal, or a list of several.
        anomalyLabel: The class that contaminates it, a list of several, or `"others"`: all
            classes that are not normal.
        contam: Contaminating images per normal image, at least 0. Their number is rounded down.
        seed: Seed of the choice of the contaminating images and of the order.

    Returns:
        The chosen entries of `data`, shuffled: all normal ones and some of the others. With
        `data=np.arange(N)` they are the indices of the chosen images.

    Raises:
        InputError: If a label does not occur or is both normal and an anomaly, or if there are
            too few anomalies.

    Example:
        >>> labels = np.repeat([1, 3], 100)
        >>> picked = build_unsupervised_dataset(labels, labels, contam=0.05)
        >>> (picked == 1).sum().item(), (picked == 3).sum().item()
        (100, 5)
    """
    present = np.unique(labels).tolist()
    normal, anomalous = as_list(validLabel), as_list(anomalyLabel)
    if anomalous == ["others"]:
        anomalous = [label for label in present if label not in normal]
    required = normal + anomalous if contam else normal
    if unknown := [label for label in required if label not in present]:
        raise InputError(
            f"no image has the label {unknown[0]}: choose among {', '.join(map(str, present))}"
        )
    if both := [label for label in required[len(normal) :] if label in normal]:
        raise InputError(f"the label {both[0]} can't be normal and an anomaly at once: choose")
    if not (math.isfinite(contam) and contam >= 0):
        raise InputError(f"expected a contamination of 0 or more, received {contam}")

    valid = np.flatnonzero(np.isin(labels, normal))
    anomalies = np.flatnonzero(np.isin(labels, anomalous))
    # Rounded down, but so that 0.29 x 100 is 29 and not 28.999...
    n_anomalies = math.floor(len(valid) * contam + 1e-9)
    if n_anomalies > len(anomalies):
        raise InputError(
            f"a contamination of {contam} asks for {n_anomalies:,} anomalies and there are "
            f"{len(anomalies):,}: ask for at most {len(anomalies) / len(valid):.4f}"
        )
    rng = np.random.default_rng(seed)
    picked = np.concatenate([valid, rng.choice(anomalies, n_anomalies, replace=False)])
    return data[rng.permutation(picked)]


def as_list(label):
    """One label or several of them, as a list."""
    return list(label) if isinstance(label, list | tuple | np.ndarray) else [label]


def contaminate(source, valid_label=1, anomaly_label=3, contam=None, seed=42):
    """Make a training set of all normal images of a source and a few anomalies.

    Args:
        source: A `Source`. If it has no classes, all its images are taken in their order, and
            the labels below are not used.
        valid_label, anomaly_label, contam, seed: As for `build_unsupervised_dataset`; `contam`
            is `DEFAULT_CONTAM`, or `DEFAULT_CONTAM_OF_DIGITS` for the digits, if `None`.

    Returns:
        A `Dataset`.

    Raises:
        InputError: As `build_unsupervised_dataset`, or if a contamination is asked for of a source
            without classes.
    """
    labeled = label_by_class(source, valid_label)
    if source.classes is None:
        if contam is not None:
            raise InputError(
                f"expected a source with classes to go with a contamination of {contam}, received "
                f"{source.name}, whose images are taken as they are: leave --contam out"
            )
        return labeled
    if contam is None:
        contam = DEFAULT_CONTAM_OF_DIGITS if source.name == "digits" else DEFAULT_CONTAM
    picked = build_unsupervised_dataset(
        np.arange(len(source.images)), source.classes, valid_label, anomaly_label, contam, seed
    )
    names = [source.names[i] for i in picked]
    return Dataset(source.images[picked], names, labeled.labels[picked])


def label_by_class(source, valid_label):
    """Make a dataset of a source, in which some classes are normal and all others anomalies.

    Args:
        source: A `Source`. If it has no classes, its own labels are taken.
        valid_label: The classes that are normal; `None` for unknown labels.

    Returns:
        A `Dataset` of all its images, in their order.
    """
    if source.classes is None:
        labels = source.labels
    elif valid_label is None:
        labels = np.full(len(source.images), -1, np.int8)
    else:
        labels = (~np.isin(source.classes, valid_label)).astype(np.int8)
    return Dataset(
        source.images, source.names, labels, source.masks, source.skipped, source.own_pictures
    )


def open_dataset(path, split="test", image_shape=None, valid_label=None, on_progress=None):
    """Open a dataset of images to be scored.

    Args:
        path: A pickle or a `.npy` file of images, a manifest `.csv` of image files, a folder, or
            any other source that `load` accepts.
        split: `train`, `test` or `all`, of a source with splits.
        image_shape: `(height, width, depth)` to which image files are converted.
        valid_label: The classes that are normal, of a source with classes.
        on_progress: As for `load`.

    Returns:
        A tuple of a `Dataset` and a remark on its conversion, `None` if there was none.

    Raises:
        InputError: If there are no such images.
    """
    _check_exists(path, "a dataset of images")
    if is_folder(path):
        size, grayscale = image_shape[:2], image_shape[2] == 1
        source = load(path, split, size, grayscale, on_progress)
    elif is_source(path):
        source = load(path, split)
    elif Path(path).suffix == ".npy":
        source = load_npy(path)
        converted = source.images.maximum == 255
        remark = f"{path}: 0 to 255 taken as 0 to 1" if converted else None
        return label_by_class(source, valid_label), remark
    elif Path(path).suffix == ".csv":
        names, labels = dataset_files.load_manifest(path)
        grayscale = image_shape[2] == 1
        source = load_files(names, labels, image_shape[:2], grayscale, on_progress)
    else:
        images, remark = as_images(dataset_files.load_images(path), path)
        names, labels = dataset_files.load_manifest(dataset_files.manifest_path(path), len(images))
        return Dataset(images, names, labels), remark
    return label_by_class(source, valid_label), None
