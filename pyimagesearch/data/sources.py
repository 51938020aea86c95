"""Sources of images: MNIST, the digits of scikit-learn, and arrays in .npz and .npy files."""

import os
import socket
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data.arrays import (
    MemmapImages,
    Numbers,
    as_images,
    describe_range,
    pixel_maximum,
)
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.data.image_quality import Quality
from pyimagesearch.data.masks import Mask
from pyimagesearch.storage.files import first_line, load_arrays, open_for_reading, read_npy_header

MNIST_SERVER = ("storage.googleapis.com", 443)
MNIST_HINT = (
    "to use MNIST, run once with a network, or put mnist.npz into ~/.keras/datasets, or name a "
    "copy with --source PATH/TO/mnist.npz"
)
# Bytes to which the arrays that are read of a `.npz` file may unpack together, at most: to so many
# times the size of the file, or to so many bytes of a small one, and never to more than the first.
MAX_NPZ_BYTES, MAX_PACKED_RATIO, MAX_PACKED_BYTES = 4_000_000_000, 16, 2**26
# Seconds without an answer after which each connection is given up.
DOWNLOAD_TIMEOUT = 5


@dataclass(frozen=True)
class Source:
    """Images as a source has them, with their classes or their labels.

    Attributes:
        name: Name of the source: `mnist`, `digits`, a path or `files`.
        images: Images as for `batches.iterate_batches`, `(N, H, W, C)` in [0, 1].
        classes: Array `(N,)` of class labels, of which some can be declared normal; `None` for a
            source without classes. Those of a folder are names of folders in it.
        names: N names; of image files, their paths.
        labels: int8 array `(N,)`: 0 normal, 1 anomaly, -1 unknown, where no class is declared
            normal; `None` for a source whose classes alone say what is.
        masks: N `Mask`s, `None` for each normal image; `None` for a source without masks.
        skipped: Paths of files that are passed over, with the reasons.
        own_pictures: Paths of pictures that the suite has written, which are left out too.
        quality: Of image files, a `Quality`; else `None`.
        remarks: Lines of text on what was taken for what.
    """

    name: str
    images: "np.ndarray | ImageFiles | MemmapImages"
    classes: np.ndarray | None
    names: list[str]
    labels: np.ndarray | None = None
    masks: list[Mask | None] | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    own_pictures: Sequence[str] = ()
    quality: Quality | None = None
    remarks: Sequence[str] = ()


class SourceUnavailable(InputError):
    """The source can't be downloaded."""


def load_digits(split="train"):
    """Load the 1,797 8x8 digits of scikit-learn, enlarged to 28x28; they have no splits."""
    from sklearn.datasets import load_digits as bundled

    digits = bundled()
    small = (digits.images / 16).astype(np.float32)  # (N, 8, 8), multiples of 1/16
    large = [cv2.resize(image, (28, 28), interpolation=cv2.INTER_CUBIC) for image in small]
    images = np.clip(large, 0, 1)[..., np.newaxis]
    return Source("digits", images, digits.target, [f"digits/{i}" for i in range(len(images))])


def load_mnist(split="train"):
    """Load MNIST from the cache of Keras, to which it is downloaded first if it is not there."""
    import keras

    cache = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "datasets", "mnist.npz")
    # A pipe of this name, which Keras would open, counts as none.
    if not cache.is_file() and (cache.exists() or not is_reachable(MNIST_SERVER, DOWNLOAD_TIMEOUT)):
        raise SourceUnavailable(
            f"MNIST is not in Keras's cache and can't be downloaded; {MNIST_HINT}"
        )
    try:
        # Keras prints while it downloads, and sets no timeout of its own.
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
    """Load MNIST, or the digits if it can't be downloaded; `Source.name` says which."""
    try:
        return load_mnist(split)
    except SourceUnavailable:
        return load_digits(split)


SOURCES = {"auto": load_auto, "mnist": load_mnist, "digits": load_digits}


def load_npz(path, split="train"):
    """Load images of a `.npz` file in the layout of Keras's MNIST; pickles in it are refused."""
    expected = [f"{key}_{part}" for part in parts_of(split) for key in ("x", "y")]

    def choose(names):
        if set(expected) <= set(names):
            return expected
        listed = ", ".join(name[:100] for name in names[:10]) or "none"
        raise InputError(
            f"expected the arrays {', '.join(expected)} in {path}, found {listed}: save them by "
            "these names with np.savez"
        )

    with open_for_reading(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            max_bytes = min(MAX_NPZ_BYTES, max(MAX_PACKED_BYTES, MAX_PACKED_RATIO * size))
            arrays = load_arrays(file, choose, max_bytes)
        except InputError:
            raise
        except Exception as fault:
            # A broken archive can raise any exception: there are too many kinds to list.
            raise InputError(
                f"{path} is not a whole .npz file of numeric arrays ({first_line(fault)}): get it "
                "again, or save it with np.savez"
            ) from None
    return from_arrays(str(path), arrays, split)


def load_npy(path):
    """Open a `.npy` file of images, which is checked once and then read when it is indexed.

    Args:
        path: Path of a `.npy` file with an array as for `as_images`.

    Returns:
        A `Source` with unknown labels.

    Raises:
        InputError: If there is no such file, or it has any other content.
    """
    with open_for_reading(path) as file:
        try:
            # Not `np.load`, which accepts other formats, and leaves a broken file open.
            shape, is_fortran, dtype = read_npy_header(file, os.fstat(file.fileno()).st_size)
            order = "F" if is_fortran else "C"
            array = np.memmap(file, dtype, "r", file.tell(), shape, order)
        except Exception as fault:
            raise InputError(
                f"{path} is not a whole .npy file of numbers ({first_line(fault)}): save it again "
                "with np.save"
            ) from None
    maximum = pixel_maximum(array, path)
    images = MemmapImages(array if array.ndim == 4 else array[..., np.newaxis], maximum)
    names = Numbers(len(images))
    remark = describe_range(array.dtype, maximum, path)
    remarks = [remark] if remark else []
    labels = np.full(len(images), -1, np.int8)
    return Source(str(path), images, None, names, labels, remarks=remarks)


def from_arrays(name, arrays, split):
    """Make a `Source` of arrays `x_train`, `y_train`, `x_test` and `y_test`, or of one split."""
    images, classes, names = [], [], []
    for part in parts_of(split):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if y.ndim == 2 and y.shape[1] == 1:  # labels in a column, as in Keras's CIFAR
            y = y[:, 0]
        if y.shape != x.shape[:1]:
            raise InputError(
                f"expected one label per image in {name}, found y_{part} of shape {y.shape} for "
                f"x_{part} of shape {x.shape}"
            )
        images.append(as_images(x, f"x_{part} in {name}")[0])
        classes.append(y)
        names += [f"{part}/{i}" for i in range(len(x))]
    return Source(name, np.concatenate(images), np.concatenate(classes), names)


def parts_of(split):
    """The parts of a source in a split."""
    return ("train", "test") if split == "all" else (split,)


def is_reachable(server, seconds):
    """Whether a server accepts a connection; with a proxy, it is assumed to.

    Only its first address is tried. Keras would try all of them, each until it times out.

    Args:
        server: A pair of host and port.
        seconds: Timeout of the connection.
    """
    if "https" in urllib.request.getproxies():
        return True
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(*server, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as connection:
            connection.settimeout(seconds)
            connection.connect(address)
    except OSError:
        return False
    return True


@contextmanager
def socket_timeout(seconds):
    """Set the timeout in seconds of the connections that are opened inside the block."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
