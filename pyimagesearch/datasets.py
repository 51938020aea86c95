"""What are the images, where do they come from, and which of them are to be learnt from?"""

import http.client
import math
import os
import socket
import threading
import urllib.request
from collections.abc import Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.arrays import MemmapImages, as_images, check_unpacked_sizes, pixel_maximum
from pyimagesearch.folders import ImageFiles, find_readable, list_images

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_HINT = (
    "to use MNIST, run once with a network, or put mnist.npz into ~/.keras/datasets, or name a "
    "copy with --source PATH/TO/mnist.npz"
)
# Seconds of silence after which a network is given up; twice of it at most go by.
DOWNLOAD_TIMEOUT = 8
# The tutorial's contamination; the few bundled digits need more to have any anomalies at all.
DEFAULT_CONTAM, DEFAULT_CONTAM_OF_DIGITS = 0.01, 0.05


@dataclass(frozen=True)
class Source:
    """Images with their classes, as they come; or images of which it is known what they are.

    Attributes:
        name: What the source is called: `mnist`, `digits`, a path or `files`.
        images: float32 array `(N, H, W, C)` in [0, 1], or `Files` or `Mapped` that look like one.
        classes: Array `(N,)` of class labels, of which some can be declared normal; `None` where
            there are no classes.
        names: N names, one an image; of files, their paths.
        labels: The truth where the source itself knows it, int8 array `(N,)`: 0 normal, 1
            anomaly, -1 unknown. `None` where only classes are known.
        masks: For each image the path of its ground-truth mask, or `None` if nothing in it is
            wrong; `None` where there are no masks at all.
        skipped: Paths of files that could not be decoded and are not among the images.
        own_pictures: Paths of pictures that the suite has written, which are not among them either.
    """

    name: str
    images: "np.ndarray | ImageFiles | MemmapImages"
    classes: np.ndarray | None
    names: list[str]
    labels: np.ndarray | None = None
    masks: list[Path | None] | None = None
    skipped: Sequence[str] = ()
    own_pictures: Sequence[str] = ()


@dataclass(frozen=True)
class Dataset:
    """Images to look for anomalies in, and beside them the hidden truth, for metrics alone.

    Attributes:
        images: float32 array `(N, H, W, C)` in [0, 1], or `Files` or `Mapped` that look like one.
        names: N names, one an image.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        masks, skipped, own_pictures: As of a `Source`.
    """

    images: "np.ndarray | ImageFiles | MemmapImages"
    names: list[str]
    labels: np.ndarray
    masks: list[Path | None] | None = None
    skipped: Sequence[str] = ()
    own_pictures: Sequence[str] = ()


class SourceUnavailable(InputError):
    """The data can't be had from here just now; others may do instead."""


def load(source, split="train", size=None, grayscale=False, on_progress=None):
    """Load a source of images.

    Args:
        source: A key of `SOURCES`; the path of a `.npz` file with `x_train`, `y_train`, `x_test`
            and `y_test`, as Keras's MNIST has them; or a folder of images, of one's own or in the
            layout of MVTec AD.
        split: `train`, `test` or `all`. The digits and one's own folder have no splits: they are
            always all there.
        size: Height and width in pixels to resize a folder's images to; their own, if all have
            the same, unless given.
        grayscale: Whether to read a folder's images as one channel instead of three.
        on_progress: Called as `on_progress(done, total)` while a folder's files are checked, at
            first with `done=0`.

    Returns:
        A `Source`.

    Raises:
        Unavailable: If MNIST can't be had.
        InputError: If there is no such source, if it is not of that layout, or if a size or
            grayscale is asked of what is no folder.

    Example:
        >>> load("digits").images.shape
        (1797, 28, 28, 1)
    """
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


def is_source(name):
    """Whether `load` takes it, going by its name or by its being a folder."""
    return name in SOURCES or is_folder(name) or Path(name).suffix == ".npz"


def is_folder(name):
    """Whether a source is a folder. A folder called `digits` has to be named `./digits`."""
    return name not in SOURCES and Path(name).is_dir()


def is_mvtec(folder):
    """Whether a folder is laid out as a category of MVTec AD: `train/good`, `test/<defect>`."""
    return Path(folder, "train", "good").is_dir() and Path(folder, "test").is_dir()


def load_folder(folder, split="train", size=None, grayscale=False, on_progress=None):
    """One's own images, of which nobody knows which are odd. They have no splits."""
    paths, own = list_images(folder)
    files, skipped = read_files(paths, size, grayscale, on_progress)
    return Source(
        str(folder),
        files,
        None,
        as_text(files.paths),
        np.full(len(files), -1, np.int8),
        skipped=skipped,
        own_pictures=as_text(own),
    )


def load_mvtec(folder, split="train", size=None, grayscale=False, on_progress=None):
    """A category of MVTec AD, or images laid out as it is.

    Bergmann et al., "MVTec AD: a comprehensive real-world dataset for unsupervised anomaly
    detection", CVPR 2019. The layout is `train/good`, `test/good`, `test/<defect>` and
    `ground_truth/<defect>/<name of the image>_mask.png`; the masks may lack `_mask`, or be BMP.

    Args:
        folder: Path of the category's folder.
        split, size, grayscale, on_progress: As for `load`.

    Returns:
        A `Source` with labels; and with masks, if there is a folder `ground_truth`.

    Raises:
        InputError: If a part has no images, if one lies in `test` outside of any defect's folder,
            or if there are masks but one is missing.
    """
    folder = Path(folder)
    where = {"train": folder / "train" / "good", "test": folder / "test"}
    listed = [list_images(where[part]) for part in parts_of(split)]
    paths = [path for images, _ in listed for path in images]
    own = [path for _, pictures in listed for path in pictures]
    files, skipped = read_files(paths, size, grayscale, on_progress)

    has_masks = (folder / "ground_truth").is_dir()
    labels, masks = [], []
    for path in files.paths:
        defect = path.relative_to(folder).parts[1]
        if defect == path.name:
            raise InputError(
                f"expected test images in {folder / 'test'}/<defect>/ or good/, found {path}: move "
                "it into one of them"
            )
        odd = defect != "good"
        labels.append(int(odd))
        masks.append(mask_of(path, folder) if odd and has_masks else None)
    return Source(
        str(folder),
        files,
        None,
        as_text(files.paths),
        np.array(labels, np.int8),
        masks if any(masks) else None,
        skipped,
        as_text(own),
    )


def mask_of(image, folder):
    """Path of the ground-truth mask of an odd test image in a folder in the layout of MVTec AD."""
    place = folder / "ground_truth" / image.parent.relative_to(folder / "test")
    wanted = [
        place / f"{image.stem}{end}{suffix}" for suffix in (".png", ".bmp") for end in ("_mask", "")
    ]
    for mask in wanted:
        if mask.is_file():
            return mask
    raise InputError(
        f"expected a mask for {image} at {wanted[0]}, found none: put it there, or take the "
        "folder ground_truth away to go without masks"
    )


def load_files(names, labels, size=None, grayscale=False, on_progress=None):
    """The very image files that a manifest names.

    Args:
        names: N paths.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
        size, grayscale, on_progress: As for `load`.

    Returns:
        A `Source`.

    Raises:
        InputError: If a file is missing or can't be decoded: what is known about the images
            was found out on all of them.
    """
    # All looked for first: that takes no time, and a wrong working folder is the likeliest fault.
    if missing := [name for name in names if not Path(name).is_file()]:
        raise InputError(
            f"expected the image {missing[0]}, as the manifest says, found no such file"
            f"{count_others(missing)}: run in the folder where the manifest was made, or put it back"
        )
    files, skipped = read_files([Path(name) for name in names], size, grayscale, on_progress)
    if skipped:
        raise InputError(
            f"expected an image in {skipped[0]}, as the manifest says, and it can't be decoded"
            f"{count_others(skipped)}: get it again"
        )
    return Source("files", files, None, list(names), labels)


def count_others(things):
    """What to say of the things that are not the first one."""
    return f" (nor {len(things) - 1:,} more)" if len(things) > 1 else ""


def read_files(paths, size, grayscale, on_progress):
    """Check image files, all of them once.

    Returns:
        A tuple of the `Files` that can be decoded and the names of the others.
    """

    def report(done):
        if on_progress is not None:
            on_progress(done, len(paths))

    report(0)
    readable, skipped, size = find_readable(paths, size, report)
    return ImageFiles(readable, size, grayscale), as_text(skipped)


def as_text(paths):
    """The paths as text."""
    return [str(path) for path in paths]


def load_digits(split="train"):
    """The 1,797 8x8 digits inside scikit-learn, enlarged to 28x28. They have no splits."""
    from sklearn.datasets import load_digits as bundled

    digits = bundled()
    small = (digits.images / 16).astype(np.float32)  # (N, 8, 8), whole sixteenths
    large = [cv2.resize(image, (28, 28), interpolation=cv2.INTER_CUBIC) for image in small]
    images = np.clip(large, 0, 1)[..., np.newaxis]
    return Source("digits", images, digits.target, [f"digits/{i}" for i in range(len(images))])


def load_mnist(split="train"):
    """MNIST through Keras: from its cache, else downloaded into it."""
    import keras

    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "datasets", "mnist.npz")
    if not cache.exists() and not is_reachable(MNIST_URL, DOWNLOAD_TIMEOUT):
        raise SourceUnavailable(
            f"MNIST is not in Keras's cache and can't be downloaded; {MNIST_HINT}"
        )
    try:
        # Keras prints as it downloads, and would wait for ever on a connection gone silent.
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            socket_timeout(DOWNLOAD_TIMEOUT),
        ):
            train, test = keras.datasets.mnist.load_data()
    except Exception as fault:
        raise SourceUnavailable(f"Keras could not load MNIST ({fault}); {MNIST_HINT}") from fault
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    return from_arrays("mnist", arrays, split)


def load_auto(split="train"):
    """MNIST where it can be had, else the bundled digits; `Source.name` says which."""
    try:
        return load_mnist(split)
    except SourceUnavailable:
        return load_digits(split)


SOURCES = {"auto": load_auto, "mnist": load_mnist, "digits": load_digits}


def load_npz(path, split="train"):
    """Images from a local `.npz` file in the layout of Keras's MNIST. Pickles in it are refused."""
    try:
        # Opened here, because NumPy leaves a file that it can't read open.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            wanted = [key for part in parts_of(split) for key in (f"x_{part}", f"y_{part}")]
            missing = [key for key in wanted if key not in archive.files]
            if missing:
                raise InputError(
                    f"expected the arrays {', '.join(wanted)} in {path}, found "
                    f"{', '.join(archive.files) or 'none'}"
                )
            check_unpacked_sizes(archive, wanted)
            # What is no array comes as bytes, which are then refused for what they hold.
            arrays = {key: np.asarray(archive[key]) for key in wanted}
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except InputError:
        raise
    except Exception as fault:
        # Whatever a broken archive trips over: there are too many kinds to list.
        raise InputError(
            f"{path} is not a whole .npz file of numeric arrays ({fault}): get it again"
        ) from None
    return from_arrays(str(path), arrays, split)


def load_npy(path):
    """Images from a `.npy` file, checked once and then read as they are asked for.

    Args:
        path: Path of a `.npy` file of an array as `as_images` takes it.

    Returns:
        A `Source` whose labels are unknown.

    Raises:
        InputError: If there is no such file or it holds anything else.
    """
    try:
        # Not `np.load`, which leaves a file that it can't read open, and would take other formats.
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except Exception as fault:
        raise InputError(
            f"{path} is not a whole .npy file of numbers ({fault}): save it again with np.save"
        ) from None
    full = pixel_maximum(array, path)
    images = MemmapImages(array if array.ndim == 4 else array[..., np.newaxis], full)
    names = [str(i) for i in range(len(images))]
    return Source(str(path), images, None, names, np.full(len(images), -1, np.int8))


def from_arrays(name, arrays, split):
    """Make a `Source` of arrays `x_train`, `y_train`, `x_test`, `y_test`, or those of one split."""
    images, classes, names = [], [], []
    for part in parts_of(split):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if y.ndim == 2 and y.shape[1] == 1:  # Keras's CIFAR has its labels as a column.
            y = y[:, 0]
        if y.shape != x.shape[:1]:
            raise InputError(
                f"expected one label an image in {name}, found y_{part} of shape {y.shape} for "
                f"x_{part} of shape {x.shape}"
            )
        images.append(as_images(x, f"x_{part} in {name}")[0])
        classes.append(y)
        names += [f"{part}/{i}" for i in range(len(x))]
    return Source(name, np.concatenate(images), np.concatenate(classes), names)


def parts_of(split):
    """The parts of a source that a split names."""
    return ("train", "test") if split == "all" else (split,)


def build_unsupervised_dataset(data, labels, validLabel=1, anomalyLabel=3, contam=0.01, seed=42):
    """Contaminate the images of one class with a few of another, as the tutorial does.

    Args:
        data: Array `(N, ...)`, one entry an image.
        labels: Array `(N,)` of class labels.
        validLabel: The class that is normal, or a list of several.
        anomalyLabel: The class that contaminates it, a list of several, or `"others"`: all
            classes that are not normal.
        contam: Contaminating images per normal image, at least 0. Their number is rounded down.
        seed: Of the choice of the contaminating images and of the order.

    Returns:
        The entries of `data` that were chosen, shuffled: all normal ones, and some of the
        others. Ask for `np.arange(len(data))` to learn which they are.

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
    wanted = normal + anomalous if contam else normal
    if unknown := [label for label in wanted if label not in present]:
        raise InputError(
            f"no image has the label {unknown[0]}: choose among {', '.join(map(str, present))}"
        )
    if both := [label for label in wanted[len(normal) :] if label in normal]:
        raise InputError(f"the label {both[0]} can't be normal and an anomaly at once: choose")
    if not (math.isfinite(contam) and contam >= 0):
        raise InputError(f"expected a contamination of 0 or more, received {contam}")

    valid = np.flatnonzero(np.isin(labels, normal))
    anomalies = np.flatnonzero(np.isin(labels, anomalous))
    # Rounded down, but 0.29 x 100 is meant to be 29 and not 28.999...
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
    """Make the set to be learnt from: the source's normal images and a few others.

    Args:
        source: A `Source`. If it has no classes, it is taken to be contaminated enough: its
            images are taken all and in their order, and no label below is looked at.
        valid_label, anomaly_label, contam, seed: As for `build_unsupervised_dataset`; `contam`
            is `DEFAULT_CONTAM`, or `DEFAULT_CONTAM_OF_DIGITS` for the digits, if `None`.

    Returns:
        An `Dataset`.

    Raises:
        InputError: As `build_unsupervised_dataset` does, or if a contamination is asked for of a
            source without classes.
    """
    everything = label_by_class(source, valid_label)
    if source.classes is None:
        if contam is not None:
            raise InputError(
                f"expected a source with classes to go with a contamination of {contam}, received "
                f"{source.name}, whose images are taken as they are: leave --contam out"
            )
        return everything
    if contam is None:
        contam = DEFAULT_CONTAM_OF_DIGITS if source.name == "digits" else DEFAULT_CONTAM
    picked = build_unsupervised_dataset(
        np.arange(len(source.images)), source.classes, valid_label, anomaly_label, contam, seed
    )
    names = [source.names[i] for i in picked]
    return Dataset(source.images[picked], names, everything.labels[picked])


def label_by_class(source, valid_label):
    """Turn a source into an `Dataset`: some classes are normal, all others are anomalies.

    Args:
        source: A `Source`. If it has no classes, its own labels are taken.
        valid_label: The classes that are normal; `None` where nobody has said.

    Returns:
        An `Dataset` of all the images, in their order.
    """
    if source.classes is None:
        labels = source.labels
    elif valid_label is None:
        labels = np.full(len(source.images), -1, np.int8)
    else:
        labels = (~np.isin(source.classes, valid_label)).astype(np.int8)
    beside = source.masks, source.skipped, source.own_pictures
    return Dataset(source.images, source.names, labels, *beside)


def is_reachable(url, seconds):
    """Whether a server answers at all, found out in at most so many seconds.

    A thread of its own, because looking a name up can hang where no timeout reaches.
    """
    heard = threading.Event()

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
            heard.set()
        except (OSError, http.client.HTTPException):
            pass
        finally:
            asked.set()

    asked = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    asked.wait(seconds)
    return heard.is_set()


@contextmanager
def socket_timeout(seconds):
    """Let connections that are opened meanwhile give up after a silence of so many seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
