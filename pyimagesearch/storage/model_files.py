"""Files of a model: the network, its settings and its references."""

import importlib.metadata
import os
import platform
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage import ownership
from pyimagesearch.storage.atomic import new_folder, temporary_beside
from pyimagesearch.storage.files import (
    first_line,
    load_arrays,
    open_for_reading,
    temporary_root,
)
from pyimagesearch.storage.model_weights import check_format, read_weights

# Bytes of the arrays of a score's reference, at most, apart from those that it has for each pixel.
MAX_REFERENCE_BYTES = 2**24


def settings_path(model):
    """Path of the settings of a model: beside it, with the suffix `.json`."""
    return Path(model).with_suffix(".json")


def reference_path(model):
    """Path of the references of a model: beside it, with the suffix `.npz`."""
    return Path(model).with_suffix(".npz")


def save_references(path, references):
    """Write the references of scores, fitted on normal images: a dict by score of dicts of arrays."""
    arrays = {
        f"{score}/{name}": array
        for score, reference in references.items()
        for name, array in reference.items()
    }
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **arrays)
    ownership.mark_zip(path)


def reference_bytes(image_shape):
    """Bytes of the reference of a score of pixels `(height, width, depth)`, at most."""
    height, width, depth = image_shape
    # At each pixel, the mean and the precision of 8 features per channel, as float32.
    per_pixel = 4 * (8 * depth) + 4 * (8 * depth) ** 2
    return MAX_REFERENCE_BYTES + height * width * per_pixel


def load_reference(path, score, max_bytes):
    """Read the reference of a score.

    Args:
        path: Path of the `.npz` file.
        score: Name of the score.
        max_bytes: Bytes of its arrays, at most.

    Returns:
        A dict of finite arrays by name, empty if there is no reference.

    Raises:
        InputError: If the file is broken or too large for such a model.
    """
    if not Path(path).exists():
        return {}
    with open_for_reading(path) as file:
        try:
            arrays = load_arrays(
                file,
                lambda names: [name for name in names if name.startswith(f"{score}/")],
                max_bytes,
            )
            reference = {name.split("/", 1)[1]: array for name, array in arrays.items()}
            if not all(np.isfinite(array).all() for array in reference.values()):
                raise ValueError("NaN or infinity")
            return reference
        except Exception as fault:
            # A broken archive can raise any exception: there are too many kinds to list.
            raise InputError(
                f"{path} is not a whole .npz file that belongs to the model ({first_line(fault)}): "
                "train again, or remove it to go without the scores that need it"
            ) from None


def versions():
    """Versions of Python and of the packages on which results depend."""
    packages = ("tensorflow", "keras", "numpy", "opencv-python", "scikit-learn")
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def save_model(path, model):
    """Save a Keras model as a `.keras` archive.

    Args:
        path: Path of the file. It has to end with `.keras`, by which Keras chooses the format; it
            can be given any other name afterwards.
        model: The Keras model.
    """
    model.save(path)
    ownership.mark_zip(path)


def archive_size(path):
    """The number of bytes of a `.keras` archive.

    Raises:
        InputError: If the file is missing, or is no `.keras` archive.
    """
    with _open_archive(path) as (file, _):
        check_format(file, path)
        return file.seek(0, os.SEEK_END)


def load_weights(path, model, with_constants=False):
    """Load the weights of a network that our own builder has made: see `model_weights`.

    Args:
        path: Path of the `.keras` archive, of any name.
        model: The Keras model, whose weights are set.
        with_constants: Whether the constants of its Rescaling layers are set too.

    Raises:
        InputError: If the file is missing, or has not exactly the weights of this model.
    """
    with _open_archive(path) as (file, folder):
        read_weights(file, path, model, folder, with_constants)


@contextmanager
def _open_archive(path):
    """Open a `.keras` archive, and make a folder for temporary files; both for the block."""
    if Path(path, "saved_model.pb").is_file():
        raise InputError(
            f"{path} is a SavedModel, which can hold code: expected a .keras archive; train again "
            "to get one"
        )
    scratch = temporary_root() / "pyimagesearch"
    with open_for_reading(path) as file, temporary_beside(scratch, ".tmp", new_folder) as folder:
        yield file, folder
