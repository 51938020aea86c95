"""Files of a dataset: the pickle of its images, its manifest and its fingerprint."""

import csv
import hashlib
import io
import math
import pickle
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.storage import ownership
from pyimagesearch.storage.files import open_for_reading, save_csv
from pyimagesearch.storage.safe_pickle import load_array

# Fixed, so that the same images give the same bytes under every version of Python.
PICKLE_PROTOCOL = 4
MANIFEST_FIELDS = ("index", "name", "label")


def save_images(path, images):
    """Pickle images as the tutorial does: a bare array, readable by `pickle.load` anywhere.

    Args:
        path: Path of the file.
        images: float32 array `(N, H, W, C)`.
    """
    with Path(path).open("wb") as file:
        pickle.dump(np.ascontiguousarray(images), file, protocol=PICKLE_PROTOCOL)
        # Readers of a pickle stop at its end, before the mark.
        file.write(ownership.MARK)


def load_images(path):
    """Read an array of images from a pickle, without running any code in it.

    Returns:
        The array as it was pickled.

    Raises:
        InputError: If the file can't be read or is anything but a pickled array of numbers.
    """
    with open_for_reading(path) as file:
        return load_array(file, path)


def fingerprint(images):
    """SHA-256 of the shape and the values of images, to recognize a dataset by.

    Args:
        images: float32 images `(N, H, W, C)`, as for `batches.iterate_batches`.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(str(tuple(images.shape)).encode())
    for _, batch in iterate_batches(images, np.arange(len(images)), 256):
        digest.update(np.ascontiguousarray(batch, np.float32).data)
    return digest.hexdigest()


def size_in_mib(images):
    """Size of images as float32, in memory or in a pickle, in MiB."""
    return math.prod(images.shape) * 4 / 2**20


def manifest_path(dataset):
    """Path of the manifest of a pickle: beside it, with the suffix `.csv`."""
    return Path(dataset).with_suffix(".csv")


def save_manifest(path, names, labels):
    """Write the names and hidden labels of the images in a pickle, in their order."""
    save_csv(path, MANIFEST_FIELDS, zip(range(len(names)), names, labels.tolist(), strict=True))


def load_manifest(path, n=None):
    """Read names and hidden labels, of the images in a pickle or of image files.

    Args:
        path: Path of the manifest.
        n: Number of images in the pickle beside it; without a manifest, they are named by their
            index and their labels are unknown. `None` for a manifest of image files.

    Returns:
        A tuple of N names and the int8 array `(N,)` of labels: 0 normal, 1 anomaly, -1 unknown.

    Raises:
        InputError: If it is not a manifest, or does not match the pickle.
    """
    if n is not None and not Path(path).exists():
        return [str(i) for i in range(n)], np.full(n, -1, np.int8)
    with open_for_reading(path) as file:
        try:
            text = file.read().decode("utf-8", "surrogateescape")
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
            if not rows:
                raise ValueError("no rows")
            expected = len(rows) if n is None else n
            if [int(row["index"]) for row in rows] != list(range(expected)):
                raise ValueError(f"{len(rows)} rows for {expected} images")
            labels = np.array([int(row["label"]) for row in rows])
            if not np.isin(labels, (-1, 0, 1)).all():
                raise ValueError("a label that is not 0, 1 or -1")
            return [row["name"] for row in rows], labels.astype(np.int8)
        except (ValueError, KeyError, TypeError, csv.Error) as fault:
            if n is None:
                raise InputError(
                    f"{path} is not a manifest of image files ({fault}): expected the columns "
                    f"{', '.join(MANIFEST_FIELDS)}, one row per image"
                ) from None
            raise InputError(
                f"the manifest {path} does not belong to the pickle beside it ({fault}): train "
                "again, or take the manifest away to go without names and labels"
            ) from None
