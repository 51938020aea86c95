"""Datasets: images of any source, with hidden labels that only the metrics read."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files, decoding
from pyimagesearch.data.arrays import MemmapImages, as_images
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.data.image_folders import Reading, load_files, load_folder, load_several
from pyimagesearch.data.masks import Mask
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
        masks, skipped, own_pictures, remarks: As in `Source`.
        quality: Columns of a table, a dict from their names to N texts; empty for arrays.
        groups: int array `(N,)`: of each image the first of its duplicates; `None` where they are
            not looked for, in arrays.
    """

    images: "np.ndarray | ImageFiles | MemmapImages"
    names: list[str]
    labels: np.ndarray
    masks: list[Mask | None] | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    own_pictures: Sequence[str] = ()
    quality: Mapping[str, Sequence[str]] = field(default_factory=dict)
    groups: np.ndarray | None = None
    remarks: Sequence[str] = ()


def load(source, split="train", size=None, grayscale=None, on_progress=None, **reading):
    """Load a source of images.

    Args:
        source: A key of `SOURCES`; the path of a `.npz` file with `x_train`, `y_train`, `x_test`
            and `y_test`, as Keras's MNIST has them; or a folder of images, as for
            `image_folders.load_folder`.
        split: `train`, `test` or `all`. The digits and a folder of unlabeled images have no splits:
            all their images are loaded.
        size: Height and width in pixels to which the images of a folder are resized; `None` for
            their own, if it is the same for all.
        grayscale: Whether to read the images of a folder as one channel instead of three; `None`:
            if all of them are gray.
        on_progress: Called as `on_progress(done, total)` while a folder's files are checked, at
            first with `done=0`.
        **reading: Other fields of `image_folders.Reading`, of a folder.

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
    reading = Reading(size, grayscale, **reading)
    if is_folder(source):
        return load_folder(source, split, reading, on_progress)
    if reading != Reading():
        raise InputError(
            "expected a folder of images to go with an image size, grayscale, aspect ratio or "
            f"background, received {source}, whose images are taken as they are: leave these out"
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


def contaminate(source, valid_label=None, anomaly_label=None, contam=None, seed=42):
    """Make a training set of all normal images of a source and a few anomalies.

    Args:
        source: A `Source`. Of image files, all are taken in their order if no label is given.
        valid_label, anomaly_label: As for `build_unsupervised_dataset`; `None` for its defaults, or,
            of image files, for `others` as anomalies.
        contam: Contaminating images per normal image; `None` for `DEFAULT_CONTAM`, or for
            `DEFAULT_CONTAM_OF_DIGITS` of the digits.
        seed: As for `build_unsupervised_dataset`.

    Returns:
        A `Dataset`.

    Raises:
        InputError: As `build_unsupervised_dataset`, or if a label or a contamination is given for a
            source without classes.
    """
    is_files = isinstance(source.images, ImageFiles)
    if source.classes is None or (is_files and valid_label is None):
        flags = {"label": valid_label, "anomaly label": anomaly_label, "contamination": contam}
        if given := [name for name, value in flags.items() if value is not None]:
            needed = "a folder for each class" if source.classes is None else "a valid label"
            raise InputError(
                f"expected {needed} in {source.name} to go with the {given[0]} {flags[given[0]]}, "
                "found none: leave it out, and all images are taken as they are"
            )
        return label_by_class(source, None)
    valid_label = find_classes(source.classes, 1 if valid_label is None else valid_label)
    default = "others" if is_files else 3
    anomaly_label = find_classes(
        source.classes, default if anomaly_label is None else anomaly_label
    )
    if contam is None:
        contam = DEFAULT_CONTAM_OF_DIGITS if source.name == "digits" else DEFAULT_CONTAM
    picked = build_unsupervised_dataset(
        np.arange(len(source.images)), source.classes, valid_label, anomaly_label, contam, seed
    )
    labeled = label_by_class(source, valid_label)
    if not is_files:
        names = [source.names[i] for i in picked]
        return Dataset(source.images[picked], names, labeled.labels[picked])
    names = [source.names[i] for i in picked]
    quality = source.quality.select(picked)
    return dataclasses.replace(
        labeled,
        images=source.images.select(picked),
        names=names,
        labels=labeled.labels[picked],
        masks=source.masks and [source.masks[i] for i in picked],
        quality=quality.columns(names),
        groups=quality.first,
    )


def find_classes(classes, labels):
    """Labels as the classes of a source have them: of folders text, and in full.

    Args:
        classes: Array `(N,)` of class labels.
        labels: One label or a list of several; of a folder in a folder, its own name will do.

    Returns:
        A list of labels.

    Example:
        >>> find_classes(np.array(["good", "bad/bent"]), ["good", "bent"])
        ['good', 'bad/bent']
    """
    if classes.dtype.kind != "U":
        return as_list(labels)
    found = []
    for label in map(str, as_list(labels)):
        full = [name for name in np.unique(classes).tolist() if name.endswith(f"/{label}")]
        found.append(full[0] if len(full) == 1 and label not in classes else label)
    return found


def label_by_class(source, valid_label):
    """Make a dataset of a source, in which some classes are normal and all others anomalies.

    Args:
        source: A `Source`. Its own labels are taken if it has no classes, or if they are folders
            and none of them is one of `valid_label`.
        valid_label: The classes that are normal; `None` for the source's own labels.

    Returns:
        A `Dataset` of all its images, in their order.
    """
    labels = source.labels
    if source.classes is not None and valid_label is not None:
        is_normal = np.isin(source.classes, find_classes(source.classes, valid_label))
        if labels is None or is_normal.any():
            labels = (~is_normal).astype(np.int8)
    if labels is None:
        labels = np.full(len(source.images), -1, np.int8)
    return Dataset(
        source.images,
        source.names,
        labels,
        source.masks,
        source.skipped,
        source.own_pictures,
        source.quality.columns(source.names) if source.quality else {},
        source.quality.first if source.quality else None,
        source.remarks,
    )


def open_dataset(paths, split="test", reading=None, valid_label=None, on_progress=None):
    """Open a dataset of images to be scored.

    Args:
        paths: A pickle or a `.npy` file of images, a manifest `.csv` of image files, a folder, or
            any other source that `load` accepts; or a list of one such path, or of several paths of
            image files and folders of them.
        split: `train`, `test` or `all`, of a source with splits.
        reading: How image files are read, as `preprocessing.reading_for` returns it; `None`: as
            training would read them.
        valid_label: The classes that are normal, of a source with classes.
        on_progress: As for `load`.

    Returns:
        A `Dataset`.

    Raises:
        InputError: If there are no such images.
    """
    paths, reading = as_list(paths), reading or Reading()
    for path in paths:
        _check_exists(path, "a dataset of images")
    path = paths[0]
    if len(paths) > 1 or is_image_file(path):
        return label_by_class(load_several(paths, reading, on_progress), None)
    if is_folder(path):
        source = load_folder(path, split, reading, on_progress)
    elif is_source(path):
        source = load(path, split)
    elif Path(path).suffix == ".npy":
        source = load_npy(path)
    elif Path(path).suffix == ".csv":
        names, labels = dataset_files.load_manifest(path)
        source = load_files(names, labels, reading, on_progress)
    else:
        images, remark = as_images(dataset_files.load_images(path), path)
        names, labels = dataset_files.load_manifest(dataset_files.manifest_path(path), len(images))
        return Dataset(images, names, labels, remarks=[remark] if remark else [])
    return label_by_class(source, valid_label)


def is_image_file(path):
    """Whether a path is that of an image file, by its content."""
    if path in SOURCES:
        return False
    try:
        with decoding.open_regular(path) as file:
            return decoding.find_format(file.read(32)) is not None
    except decoding.Unreadable:
        return False
