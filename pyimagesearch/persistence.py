"""What of images, models and notes goes to disk, and how is it checked when it comes back?"""

import csv
import hashlib
import importlib.metadata
import io
import json
import math
import pickle
import platform
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np

from pyimagesearch import InputError, ownership
from pyimagesearch.arrays import check_unpacked_sizes
from pyimagesearch.atomic import atomic_path, new_folder, save_bytes, temporary_beside
from pyimagesearch.safemodel import read_model
from pyimagesearch.safepickle import load_array
from pyimagesearch.streams import iterate_batches

# Fixed, so that the same images give the same bytes under any Python.
PICKLE_PROTOCOL = 4
# Bytes of a JSON file that are read at most; the settings beside a model take a few thousand.
MAX_JSON_BYTES = 2**26
# Bytes of one array that a score may know about normal images, and 256 more for each pixel.
MAX_REFERENCE_BYTES = 2**24
# A fourth of the bytes that OpenCV writes otherwise.
PNG_COMPRESSION = (cv2.IMWRITE_PNG_COMPRESSION, 9)
MANIFEST_FIELDS = ("index", "name", "label")


def save_images(path, images):
    """Pickle images as the tutorial does: a bare array, readable by `pickle.load` anywhere.

    Args:
        path: Where to.
        images: float32 array `(N, H, W, C)`.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pickle.dump(np.ascontiguousarray(images), file, protocol=PICKLE_PROTOCOL)
        # Whoever reads a pickle stops at its end.
        file.write(ownership.MARK)


def load_images(path):
    """Read an array of images from a pickle, and run nothing that it may hold.

    Returns:
        The array as it was pickled.

    Raises:
        InputError: If the file can't be read or is anything but a pickled array of numbers.
    """
    with open_for_reading(path) as file:
        return load_array(file, path)


@contextmanager
def open_for_reading(path):
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
        images: float32 array `(N, H, W, C)`, or anything that `streams.iterate_batches` takes.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(str(tuple(images.shape)).encode())
    for _, some in iterate_batches(images, np.arange(len(images)), 256):
        digest.update(np.ascontiguousarray(some, np.float32).data)
    return digest.hexdigest()


def size_in_mib(images):
    """What images take as float32 in memory or in a pickle, in MiB."""
    return math.prod(images.shape) * 4 / 2**20


def manifest_path(dataset):
    """Where the manifest of a pickle lies: beside it, with the suffix `.csv`."""
    return Path(dataset).with_suffix(".csv")


def save_csv(path, fields, rows):
    """Write a table as CSV in UTF-8, with a header line, marked by its line ends as the suite's."""
    records = []
    # Of these line ends, so that whatever has a part of one in it is quoted.
    writer = csv.writer(SimpleNamespace(write=records.append), lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows(rows)
    text = "".join(record.removesuffix("\r\n") + "\n" for record in records)
    save_bytes(path, ownership.mark_line_ends(text).encode("utf-8", "surrogateescape"))


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
    with open_for_reading(path) as file:
        try:
            text = file.read().decode("utf-8", "surrogateescape")
            rows = list(csv.DictReader(io.StringIO(text), strict=True))
            if not rows:
                raise ValueError("no rows")
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
    """Write a dict as JSON, marked as the suite's.

    NaN and infinity, which JSON does not have, are refused.
    """
    save_bytes(path, as_json(content).encode())


def as_json(content):
    """A dict as the text of a JSON object that begins with the mark of the suite.

    Example:
        >>> as_json({"seed": 1}).split()[1:3]
        ['"written_by":', '"written-by:pyimagesearch",']
    """
    marked = {**ownership.WRITTEN_BY, **content, **ownership.WRITTEN_BY}
    return json.dumps(marked, indent=2, allow_nan=False) + "\n"


def load_json(path):
    """Read a JSON object, such as the settings beside a model.

    Returns:
        Its content as a dict; an empty one where there is no such file.

    Raises:
        InputError: If the file is not a JSON object.
    """
    if not Path(path).exists():
        return {}
    with open_for_reading(path) as file:
        try:
            # Read only so far: one that is cut off there is no JSON either.
            content = json.loads(file.read(MAX_JSON_BYTES))
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
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
        ownership.mark_zip(temporary)


def load_reference(path, score, image_shape):
    """Read what a score knows about normal images.

    Args:
        path: Path of the `.npz` file.
        score: Which score's.
        image_shape: `(height, width, depth)` of the images that the model takes, from which
            follows how much there can be to know.

    Returns:
        A dict of finite arrays by their names; empty where there is nothing.

    Raises:
        InputError: If the file is broken or does not belong to such a model.
    """
    if not Path(path).exists():
        return {}
    with open_for_reading(path) as file:
        try:
            height, width, depth = image_shape
            most = MAX_REFERENCE_BYTES + 256 * depth**2 * height * width
            with np.load(file, allow_pickle=False) as archive:
                names = [name for name in archive.files if name.startswith(f"{score}/")]
                check_unpacked_sizes(archive, names, most)
                reference = {name.split("/", 1)[1]: archive[name] for name in names}
            if not all(np.isfinite(array).all() for array in reference.values()):
                raise ValueError("NaN or infinity")
            return reference
        except Exception as fault:
            # Whatever a broken archive trips over: there are too many kinds to list.
            raise InputError(
                f"{path} is not a whole .npz file that belongs to the model ({fault}): train "
                "again, or take it away and go without the scores that need it"
            ) from None


def checkpoint_path(model):
    """Where the state of an unfinished training lies: beside its model, hidden."""
    return Path(model).with_name(f".{Path(model).name}.resume")


def save_checkpoint(path, settings, state):
    """Write how far a training has got, so that it can go on after it was cut off.

    Args:
        path: Where to.
        settings: What it was started with: a dict for JSON.
        state: A dict of arrays by name; none is called `settings`.
    """
    text = np.frombuffer(json.dumps(settings).encode(), np.uint8)
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            np.savez(file, settings=text, **state)
        ownership.mark_zip(temporary)


def read_checkpoint(path):
    """The bytes that `save_checkpoint` wrote; none where there is no such file."""
    if not Path(path).exists():
        return b""
    with open_for_reading(path) as file:
        return file.read()


def parse_checkpoint(data, path, settings):
    """Check that a training can go on where another has ended.

    Args:
        data: What `read_checkpoint` returned.
        path: What to call it in messages.
        settings: What the training is started with now.

    Returns:
        The dict of arrays that was saved, to the bit.

    Raises:
        InputError: If the data are broken, or the settings are others.

    Example:
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = checkpoint_path(Path(folder.name, "a.model"))
        >>> save_checkpoint(path, {"seed": 1}, {"loss": np.array([0.5])})
        >>> parse_checkpoint(read_checkpoint(path), path, {"seed": 1})["loss"].tolist()
        [0.5]
        >>> parse_checkpoint(read_checkpoint(path), "it", {"seed": 2})
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: expected the settings of the training that it shall go on with, found seed 1 then and 2 now: give the same, or leave --resume out to begin anew
        >>> folder.cleanup()
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            check_unpacked_sizes(archive, archive.files)
            state = dict(archive)
        then = json.loads(state.pop("settings").tobytes())
        now = json.loads(json.dumps(settings))
        names = {*then, *now}
    except Exception as fault:
        # Whatever a broken archive trips over: there are too many kinds to list.
        raise InputError(
            f"{path} is not the whole state of a training ({fault}): leave --resume out to begin "
            "anew"
        ) from None
    others = sorted(name for name in names if then.get(name) != now.get(name))
    if others:
        found = ", ".join(
            f"{name} {then.get(name)} then and {now.get(name)} now" for name in others
        )
        raise InputError(
            f"expected the settings of the training that it shall go on with, found {found}: give "
            "the same, or leave --resume out to begin anew"
        )
    return state


def tensorboard_writer(folder):
    """Write the figures of each epoch where TensorBoard finds them.

    Args:
        folder: Where to; it is made if it is missing.

    Returns:
        A function `(epoch, **figures)`; a figure that is `None` is left out.

    Raises:
        InputError: If the folder can't be written to.
    """
    import tensorflow as tf

    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        writer = tf.summary.create_file_writer(str(folder))
    except (OSError, tf.errors.OpError) as fault:
        raise InputError(f"cannot write to the folder {folder}: {fault}") from None

    # `tf.summary.scalar` does just this, but only where TensorBoard itself is installed.
    kind = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"}, data_class=1)

    def write(epoch, **figures):
        with writer.as_default(step=epoch):
            for name, value in figures.items():
                if value is not None:
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)
        writer.flush()

    return write


def versions():
    """Versions of Python and of what the numbers depend on."""
    packages = ("tensorflow", "keras", "numpy", "opencv-python", "scikit-learn")
    return {
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def save_model(path, model):
    """Save a Keras model as a `.keras` archive, under exactly this name, whatever its suffix."""
    # Keras chooses the format by the suffix.
    with atomic_path(path, ".tmp.keras") as temporary:
        model.save(temporary)
        ownership.mark_zip(temporary)


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
    scratch = Path(tempfile.gettempdir(), "pyimagesearch")
    with open_for_reading(path) as file, temporary_beside(scratch, ".tmp", new_folder) as folder:
        model = read_model(file, path, folder / "model.weights.h5")
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
    """Write a picture as PNG, marked so that it is never read as one of somebody's images.

    Args:
        path: Where to; the format is PNG whatever the suffix.
        picture: uint8 array `(H, W, 3)`, RGB.
    """
    encoded = cv2.imencode(".png", picture[..., ::-1], PNG_COMPRESSION)[1].tobytes()
    save_bytes(path, ownership.mark_png(encoded))
