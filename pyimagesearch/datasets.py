"""What are the images, where do they come from, and which of them are to be learnt from?"""

import http.client
import math
import os
import socket
import threading
import urllib.request
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_HINT = (
    "to use MNIST, run once with a network, or put mnist.npz into ~/.keras/datasets, or name a "
    "copy with --source PATH/TO/mnist.npz"
)
# Seconds of silence after which a network is given up; twice of it at most go by.
PATIENCE = 8
# The tutorial's contamination; the few bundled digits need more to have any anomalies at all.
DEFAULT_CONTAM, DEFAULT_CONTAM_OF_DIGITS = 0.01, 0.05


@dataclass(frozen=True)
class Source:
    """Images with their classes, as they come.

    Attributes:
        name: What the source is called: `mnist`, `digits` or a path.
        images: float32 array `(N, H, W, C)` in [0, 1].
        classes: Array `(N,)` of class labels.
        names: N names, one an image.
    """

    name: str
    images: np.ndarray
    classes: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class ImageSet:
    """Images to look for anomalies in, and beside them the hidden truth, for metrics alone.

    Attributes:
        images: float32 array `(N, H, W, C)` in [0, 1].
        names: N names, one an image.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown.
    """

    images: np.ndarray
    names: list[str]
    labels: np.ndarray


class Unavailable(InputError):
    """The data can't be had from here just now; others may do instead."""


def load(source, split="train"):
    """Load a source of images with classes.

    Args:
        source: A key of `SOURCES` or the path of a `.npz` file with `x_train`, `y_train`,
            `x_test` and `y_test`, as Keras's MNIST has them.
        split: `train`, `test` or `all`. The digits have no splits: they are always all there.

    Returns:
        A `Source`.

    Raises:
        Unavailable: If MNIST can't be had.
        InputError: If there is no such source or the file is not of that layout.

    Example:
        >>> load("digits").images.shape
        (1797, 28, 28, 1)
    """
    if not is_source(source):
        raise InputError(
            f"expected {', '.join(SOURCES)} or a .npz file as source of images, received {source}"
        )
    return SOURCES[source](split) if source in SOURCES else load_npz(source, split)


def is_source(name):
    """Whether `load` takes it, going by its name."""
    return name in SOURCES or Path(name).suffix == ".npz"


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
    if not cache.exists() and not answers(MNIST_URL, PATIENCE):
        raise Unavailable(f"MNIST is not in Keras's cache and can't be downloaded; {MNIST_HINT}")
    try:
        # Keras prints as it downloads, and would wait for ever on a connection gone silent.
        with (
            Path(os.devnull).open("w") as nowhere,
            redirect_stdout(nowhere),
            socket_timeout(PATIENCE),
        ):
            train, test = keras.datasets.mnist.load_data()
    except Exception as fault:
        raise Unavailable(f"Keras could not load MNIST ({fault}); {MNIST_HINT}") from fault
    arrays = {"x_train": train[0], "y_train": train[1], "x_test": test[0], "y_test": test[1]}
    return from_arrays("mnist", arrays, split)


def load_auto(split="train"):
    """MNIST where it can be had, else the bundled digits; `Source.name` says which."""
    try:
        return load_mnist(split)
    except Unavailable:
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
            arrays = {key: archive[key] for key in wanted}
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


def as_images(array, name):
    """Check an array that claims to hold images and bring it into the common form.

    Args:
        array: `(N, H, W)` or `(N, H, W, C)`, of a boolean, integer or floating dtype, finite, in
            [0, 1] or in 0 to 255.
        name: What to call it in messages.

    Returns:
        A tuple: the images, float32 `(N, H, W, C)` in [0, 1]; and what was done to them that
        their owner might want to know, or `None`.

    Raises:
        InputError: If the array is anything else.

    Example:
        >>> images, note = as_images(np.full((2, 4, 4), 255, np.uint8), "two")
        >>> images.shape, images.max().item(), note
        ((2, 4, 4, 1), 1.0, 'two: 0 to 255 taken as 0 to 1')
    """
    if array.dtype.kind not in "buif" or array.ndim not in (3, 4):
        raise InputError(
            f"expected images as numbers of shape (N, H, W) or (N, H, W, C) in {name}, found "
            f"{array.dtype} of shape {array.shape}"
        )
    if array.size == 0:
        raise InputError(f"expected at least one image in {name}, found shape {array.shape}")
    images = array[..., np.newaxis] if array.ndim == 3 else array
    low, high = float(images.min()), float(images.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"expected finite pixels in {name}, found NaN or infinity")
    # Nobody's 0 to 255 ends below 2: that is [0, 1] overshot, and dividing would blacken it.
    full = 255 if high >= 2 else 1
    if low < 0 or high > full:
        raise InputError(
            f"expected pixels in [0, 1] or in 0 to 255 in {name}, found {low:g} to {high:g}: "
            "scale or clip them"
        )
    note = f"{name}: 0 to 255 taken as 0 to 1" if full == 255 else None
    images = np.ascontiguousarray(images, np.float32)
    return (images / np.float32(255) if full == 255 else images), note


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


def contaminated(source, valid_label=1, anomaly_label=3, contam=None, seed=42):
    """Make the set to be learnt from: the source's normal images and a few others.

    Args:
        source: A `Source`.
        valid_label, anomaly_label, contam, seed: As for `build_unsupervised_dataset`; `contam`
            is `DEFAULT_CONTAM`, or `DEFAULT_CONTAM_OF_DIGITS` for the digits, if `None`.

    Returns:
        An `ImageSet`.
    """
    if contam is None:
        contam = DEFAULT_CONTAM_OF_DIGITS if source.name == "digits" else DEFAULT_CONTAM
    picked = build_unsupervised_dataset(
        np.arange(len(source.images)), source.classes, valid_label, anomaly_label, contam, seed
    )
    return judged(source, valid_label, picked)


def judged(source, valid_label, picked=slice(None)):
    """Turn a source into an `ImageSet`: some classes are normal, all others are anomalies.

    Args:
        source: A `Source`.
        valid_label: The classes that are normal; `None` where nobody has said.
        picked: Which images, and in which order; all as they come unless given.

    Returns:
        An `ImageSet`.
    """
    if valid_label is None:
        labels = np.full(len(source.images), -1, np.int8)
    else:
        labels = (~np.isin(source.classes, valid_label)).astype(np.int8)
    names = np.array(source.names, object)[picked].tolist()
    return ImageSet(source.images[picked], names, labels[picked])


def answers(url, seconds):
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
