"""Sources of images: MNIST, scikit-learn's digits, arrays in .npz and .npy files."""

import http.client
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
from pyimagesearch.data.arrays import MemmapImages, as_images, pixel_maximum
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.storage.files import check_unpacked_sizes

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_HINT = (
    "to use MNIST, run once with a network, or put mnist.npz into ~/.keras/datasets, or name a "
    "copy with --source PATH/TO/mnist.npz"
)
# Seconds of silence after which a network is given up; twice of it at most go by.
DOWNLOAD_TIMEOUT = 8


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


class SourceUnavailable(InputError):
    """The data can't be had from here just now; others may do instead."""


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
