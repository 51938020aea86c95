"""All bytes on disk, in and out: what is written is whole or not there, what is read is checked."""

import csv
import hashlib
import importlib.metadata
import io
import json
import math
import os
import pickle
import platform
import shutil
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.safemodel import read_model
from pyimagesearch.safepickle import load_array

# Fixed, so that the same images give the same bytes under any Python.
PICKLE_PROTOCOL = 4
MANIFEST_FIELDS = ("index", "name", "label")


def check_targets(*paths):
    """Make sure that files can be written at these paths, before any long work is done for them.

    Args:
        *paths: Paths of files to come. Their folders are made if they are missing.

    Raises:
        InputError: If one is a folder, two are the same, or its folder can't be written to.
    """
    seen = set()
    for path in map(Path, paths):
        if path.is_dir():
            raise InputError(
                f"expected a file to write at {path}, found a folder: name a file in it"
            )
        if path.resolve() in seen:
            raise InputError(f"two results would both be written to {path}: name two files")
        seen.add(path.resolve())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as fault:
            raise InputError(
                f"cannot write to the folder {path.parent}: {fault.strerror}"
            ) from None


@contextmanager
def atomic_path(path):
    """Write a file as a whole: at the end it has replaced the old one, or nothing has happened.

    Args:
        path: The path that the file is to have.

    Yields:
        The path of an empty temporary file beside it, to be written.

    Raises:
        InputError: If the disk is full or the folder can't be written to.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        # The bytes have to be on the disk before the name points to them.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as fault:
        raise InputError(f"cannot write {path}: {fault.strerror or fault}") from None
    finally:
        temporary.unlink(missing_ok=True)


def move(made, path):
    """Put a finished file or folder into its place, whole or not at all.

    Args:
        made: Path of the finished thing, in a temporary folder beside the place.
        path: The place. What is there is replaced; a folder can only be replaced by a folder, and
            a file by a file.

    Raises:
        InputError: If the disk is full or the folder can't be written to.
    """
    made, path = Path(made), Path(path)
    earlier = made.with_name("earlier")
    try:
        for file in made.rglob("*") if made.is_dir() else [made]:
            if file.is_file():
                with file.open("rb+") as written:
                    os.fsync(written.fileno())
        # A folder takes no other's place while there is anything in that.
        if made.is_dir() and path.is_dir():
            path.replace(earlier)
        try:
            made.replace(path)
        except BaseException:
            if earlier.exists():
                earlier.replace(path)
            raise
    except OSError as fault:
        raise InputError(f"cannot write {path}: {fault.strerror or fault}") from None


def save_bytes(path, data):
    """Write bytes to a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def save_images(path, images):
    """Pickle images as the tutorial does: a bare array, readable by `pickle.load` anywhere.

    Args:
        path: Where to.
        images: float32 array `(N, H, W, C)`.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pickle.dump(np.ascontiguousarray(images), file, protocol=PICKLE_PROTOCOL)


def load_images(path):
    """Read an array of images from a pickle, and run nothing that it may hold.

    Returns:
        The array as it was pickled.

    Raises:
        InputError: If the file can't be read or is anything but a pickled array of numbers.
    """
    with opened(path) as file:
        return load_array(file, path)


@contextmanager
def opened(path):
    """Open a file for reading in binary; say in one line what stands against it."""
    try:
        with Path(path).open("rb") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise InputError(f"expected a file, found the folder {path}: name a file") from None
    except OSError as fault:
        raise InputError(f"cannot read {path}: {fault.strerror or fault}") from None


def fingerprint(images):
    """SHA-256 of images' shape and values, to recognise a set of them by.

    Args:
        images: float32 array `(N, H, W, C)`, or anything like it that is read by a slice.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(str(tuple(images.shape)).encode())
    for start in range(0, len(images), 256):
        digest.update(np.ascontiguousarray(images[start : start + 256], np.float32).data)
    return digest.hexdigest()


def mebibytes(images):
    """What images take as float32 in memory or in a pickle, in MiB."""
    return math.prod(images.shape) * 4 / 2**20


def remove(path):
    """Take a file away that earlier runs may have left."""
    Path(path).unlink(missing_ok=True)


def manifest_path(dataset):
    """Where the manifest of a pickle lies: beside it, with the suffix `.csv`."""
    return Path(dataset).with_suffix(".csv")


def save_csv(path, fields, rows):
    """Write a table as CSV in UTF-8, with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows(rows)
    save_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def save_manifest(path, names, labels):
    """Write the names and hidden labels that belong to a pickle of images, in its order."""
    save_csv(path, MANIFEST_FIELDS, zip(range(len(names)), names, labels.tolist(), strict=True))


def load_manifest(path, n=None):
    """Read names and hidden labels, of the images in a pickle or of image files.

    Args:
        path: Path of the manifest.
        n: Number of images in the pickle beside it. Nothing is known about them where there is
            no manifest. `None`: the manifest stands for itself.

    Returns:
        A tuple of N names and the int8 array `(N,)` of labels: 0 normal, 1 anomaly, -1 unknown.

    Raises:
        InputError: If it is no manifest, or does not fit the pickle.
    """
    if n is not None and not Path(path).exists():
        return [str(i) for i in range(n)], np.full(n, -1, np.int8)
    with opened(path) as file:
        try:
            text = file.read().decode("utf-8", "surrogateescape")
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
            wanted = len(rows) if n is None else n
            if [int(row["index"]) for row in rows] != list(range(wanted)):
                raise ValueError(f"{len(rows)} rows for {wanted} images")
            labels = np.array([int(row["label"]) for row in rows])
            if not np.isin(labels, (-1, 0, 1)).all():
                raise ValueError("a label that is not 0, 1 or -1")
            return [row["name"] for row in rows], labels.astype(np.int8)
        except (ValueError, KeyError, TypeError, csv.Error) as fault:
            if n is None:
                raise InputError(
                    f"{path} is not a manifest of image files ({fault}): expected the columns "
                    f"{', '.join(MANIFEST_FIELDS)}, a row an image"
                ) from None
            raise InputError(
                f"the manifest {path} does not belong to the pickle beside it ({fault}): train "
                "again, or take the manifest away to go without names and labels"
            ) from None


def settings_path(model):
    """Where the settings of a model lie: beside it, with the suffix `.json`."""
    return Path(model).with_suffix(".json")


def save_json(path, content):
    """Write a dict as JSON. NaN and infinity, which JSON does not have, are refused."""
    save_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def load_json(path):
    """Read a JSON object, such as the settings beside a model.

    Returns:
        Its content as a dict; an empty one where there is no such file.

    Raises:
        InputError: If the file is not a JSON object.
    """
    if not Path(path).exists():
        return {}
    with opened(path) as file:
        try:
            content = json.load(file)
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object: train again, or take the file away")
    return content


def reference_path(model):
    """Where what a model's scores know about normal images lies: beside it, as `.npz`."""
    return Path(model).with_suffix(".npz")


def save_references(path, references):
    """Write what scores know about normal images: a dict by score of dicts of arrays."""
    arrays = {
        f"{score}/{name}": array
        for score, reference in references.items()
        for name, array in reference.items()
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_reference(path, score):
    """Read what a score knows about normal images; an empty dict where there is nothing."""
    if not Path(path).exists():
        return {}
    with opened(path) as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {
                    name.split("/", 1)[1]: archive[name]
                    for name in archive.files
                    if name.startswith(f"{score}/")
                }
        except Exception as fault:
            # Whatever a broken archive trips over: there are too many kinds to list.
            raise InputError(
                f"{path} is not a whole .npz file ({fault}): train again, or take it away and go "
                "without the scores that need it"
            ) from None


def versions():
    """Versions of Python and of what the numbers depend on."""
    packages = ("tensorflow", "keras", "numpy", "opencv-python", "scikit-learn")
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def save_model(path, model):
    """Save a Keras model as a `.keras` archive, under exactly this name, whatever its suffix."""
    with atomic_path(path) as temporary:
        # Keras chooses the format by the suffix.
        archive = temporary.with_name(temporary.name + ".keras")
        try:
            model.save(archive)
            archive.replace(temporary)
        finally:
            archive.unlink(missing_ok=True)


def load_model(path):
    """Load an autoencoder from a `.keras` archive of any name.

    Only the network is loaded, never code: see `safemodel.read_model`.

    Args:
        path: Where from.

    Returns:
        A Keras model from `(N, H, W, C)` to the same.

    Raises:
        InputError: If the file is missing, is no `.keras` archive, or holds no autoencoder.
    """
    if Path(path, "saved_model.pb").is_file():
        raise InputError(
            f"{path} is a SavedModel, which can hold code: expected a .keras archive; train again "
            "to get one"
        )
    with opened(path) as file:
        model = read_model(file, path)
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if not is_autoencoder(*shapes):
        raise InputError(
            f"expected an autoencoder, (N, H, W, C) to the same, in {path}, found a model from "
            f"{shapes[0]} to {shapes[1]}"
        )
    return model


def is_autoencoder(taken, given):
    """Whether a model that takes and gives these shapes goes from images to images of one size."""
    return (
        isinstance(taken, tuple)
        and len(taken) == 4
        and taken[0] is None
        and all(isinstance(size, int) for size in taken[1:])
        and taken == given
    )


def save_picture(path, picture):
    """Write a picture as PNG.

    Args:
        path: Where to; the format is PNG whatever the suffix.
        picture: uint8 array `(H, W, 3)`, RGB.
    """
    save_bytes(path, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
