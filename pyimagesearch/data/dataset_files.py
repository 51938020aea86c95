"""Files of a dataset: the pickle of its images, its manifest and its fingerprint."""

import hashlib
import math
import os
import pickle
import reprlib
from array import array
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.data.arrays import Numbers
from pyimagesearch.data.batches import iterate_batches
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.storage import ownership
from pyimagesearch.storage.files import open_for_reading, parse_csv, parse_whole_number, save_csv
from pyimagesearch.storage.safe_pickle import load_array

# Fixed, so that the same images give the same bytes under every version of Python.
PICKLE_PROTOCOL = 4
MANIFEST_FIELDS = ("index", "name", "label")
# Rows of a manifest of image files, at most.
MAX_IMAGES = 2**31


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


def contents(images):
    """What tells images of one worker from those of another, before any of them is scored.

    Args:
        images: Images as for `batches.iterate_batches`. Those in files are read, and not decoded.

    Returns:
        A dict for JSON, by names for messages.
    """
    digest = fingerprint(images) if not isinstance(images, ImageFiles) else files_digest(images)
    return {"number of images": len(images), "fingerprint of the images": digest}


def files_digest(images):
    """SHA-256 of how image files are read and of their bytes, as hexadecimal digits."""
    digest = hashlib.sha256(f"{images.shape}{images.preprocessing}".encode())
    for path in images.paths:
        digest.update(file_digest(path).encode())
    return digest.hexdigest()


def file_digest(path):
    """SHA-256 of the bytes of a file, as hexadecimal digits; `None` if there is no such file."""
    if not Path(path).exists():
        return None
    with open_for_reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def names_digest(names):
    """SHA-256 of the names of image files, to recognize a set by that is not read for it.

    Of each path the last two parts count, so that it does not matter from where it was typed.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> names_digest(["photos/1.png"]) == names_digest(["/home/me/photos/1.png"])
        True
    """
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode("/".join(Path(name).parts[-2:])) + b"\0")
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

    A manifest may have been through a spreadsheet: `files.parse_csv` says what it may look like. Its
    rows may be in any order, since each belongs to the image of its index.

    Args:
        path: Path of the manifest.
        n: Number of images in the pickle beside it; without a manifest, they are named by their
            index and their labels are unknown. `None` for a manifest of image files.

    Returns:
        A tuple of N names and the int8 array `(N,)` of labels: 0 normal, 1 anomaly, -1 unknown;
        both in the order of the indices.

    Raises:
        InputError: If it is not a manifest, or does not match the pickle.
    """
    if n is not None and not Path(path).exists():
        return Numbers(n), np.full(n, -1, np.int8)
    with open_for_reading(path) as file:
        data = file.read()
    try:
        return _parse_manifest(parse_csv(data, MANIFEST_FIELDS), n)
    except ValueError as fault:
        if n is None:
            raise InputError(
                f"{path} is not a manifest of image files ({fault}): correct it, so that it has "
                f"the columns {', '.join(MANIFEST_FIELDS)} and one row per image"
            ) from None
        raise InputError(
            f"the manifest {path} does not belong to the pickle beside it ({fault}): correct it, "
            "train again, or take the manifest away to go without names and labels"
        ) from None


def _parse_manifest(rows, n):
    """Names and labels by index, of the rows of `parse_csv`; `n` as for `load_manifest`.

    Raises:
        ValueError: If an index is missing, is there twice or is none, or if a label is none.
    """
    lines, indices, names, labels = array("q"), array("q"), [], array("b")
    seen, most = set(), MAX_IMAGES if n is None else n
    # Row by row, so that a table that is none is refused before all of it is in memory.
    for line, index, name, label in rows:
        i, value = parse_whole_number(index), parse_whole_number(label)
        if i is None or not 0 <= i < most or i in seen:
            raise _wrong_index(line, index, n)
        if value not in (-1, 0, 1):
            raise ValueError(
                f"line {line}: expected the label 0, 1 or -1, found {reprlib.repr(label)}"
            )
        seen.add(i)
        lines.append(line)
        indices.append(i)
        names.append(name)
        labels.append(value)
    if not names:
        raise ValueError("no rows")
    if n is not None and len(names) != n:
        raise ValueError(f"{len(names):,} rows for {n:,} images")
    # So many different indices below their number are all of them.
    highest = int(np.argmax(indices))
    if indices[highest] >= len(names):
        raise _wrong_index(lines[highest], str(indices[highest]), len(names))
    order = np.argsort(indices)
    return [names[i] for i in order], np.array(labels, np.int8)[order]


def _wrong_index(line, index, n):
    """The error of an index that is none, or is not in its place."""
    end = "" if n is None else f" to {n - 1}"
    return ValueError(
        f"line {line}: expected each index from 0{end} once, found {reprlib.repr(index)}"
    )
