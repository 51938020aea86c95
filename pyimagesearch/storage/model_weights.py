"""Weights from a `.keras` archive of unknown origin, for a network that our own builder has made.

Of the archive, only the weights file is read, and of that only what Keras would have written for
this very network: the same groups and arrays, of the same shapes and types, and nothing else. What
is expected is never looked up in the archive: our own network is saved, and both files are compared
from the top down. The mean image of a network of pixels is not among the weights: of the description
of the network, those numbers can be read too, in their places and of their shapes.
"""

import json
import os
import shutil
import zipfile

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage.files import first_line

HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS = "model.weights.h5"
# Bytes of the member `metadata.json`, at most.
MAX_METADATA_BYTES = 2**16
# A member of an archive may have as many bytes as ours has, times this: other versions of Keras and
# HDF5 lay out the same content in another way, and numbers as text have more digits or fewer.
MAX_GROWTH = {WEIGHTS: 2, "config.json": 8}
# A group without numbers, which Keras leaves out of a network that shares its input with the network
# around it. Whether it does has changed with the time; what is in this group is never looked up.
INPUT_LAYER = "input_layer"
# Beyond it, a constant is infinite in the precision of the network.
MAX_CONSTANT = float(np.finfo(np.float32).max)


class _Refused(Exception):
    """The archive holds something else than Keras would have written."""


def read_weights(file, name, model, scratch, with_constants):
    """Read the weights of a network from a `.keras` archive.

    Args:
        file: Binary file, open for reading.
        name: Name of the file in messages.
        model: The Keras model, as our own builder makes it; its weights are set.
        scratch: Path of a new folder, a `pathlib.Path`, for temporary files.
        with_constants: Whether the constants of its Rescaling layers, which Keras writes into the
            description of the network, are set too.

    Raises:
        InputError: If the file is no `.keras` archive, or if its weights file differs in anything
            but the numbers from what Keras writes of this model.
    """
    check_format(file, name)
    ours, theirs = scratch / "ours.weights.h5", scratch / "theirs.weights.h5"
    try:
        model.save_weights(ours)
    except OSError as fault:
        raise InputError(f"cannot write {ours}: {fault.strerror or fault}: make room") from None
    try:
        most = {
            "metadata.json": MAX_METADATA_BYTES,
            "config.json": MAX_GROWTH["config.json"] * len(model.to_json()),
            WEIGHTS: MAX_GROWTH[WEIGHTS] * ours.stat().st_size,
        }
        # Before a byte is read: the table of contents can be as long as the file.
        _check_size("it", file.seek(0, os.SEEK_END), sum(most.values()))
        with zipfile.ZipFile(file) as archive:
            _check_members(archive.infolist(), most)
            with archive.open(WEIGHTS) as packed:
                _unpack(packed, theirs)
            _copy_numbers(theirs, ours)
            constants = []
            if with_constants:
                constants += _constants(json.loads(archive.read("config.json")), model)
        model.load_weights(ours)
        for layer, attribute, value in constants:
            setattr(layer, attribute, value)
    except InputError:
        raise
    except _Refused as reason:
        raise InputError(
            f"expected in {name} the weights of the network that the settings beside it describe, "
            f"but {reason}: train again"
        ) from None
    except Exception as fault:
        # A broken archive can raise any exception: there are too many kinds to list.
        raise InputError(
            f"{name} can't be loaded as a Keras model ({first_line(fault)}): train again"
        ) from None


def check_format(file, name):
    """Raise an `InputError` if an open file is no zip archive, as `.keras` archives are."""
    if file.read(len(HDF5)) == HDF5:
        raise InputError(
            f"{name} is an HDF5 file, which can hide code: expected a .keras archive; train "
            "again to get one"
        )
    if not zipfile.is_zipfile(file):
        raise InputError(
            f"{name} is not a whole .keras archive: train again with "
            "train_unsupervised_autoencoder.py"
        )


def _unpack(packed, path):
    """Copy an open member of an archive to a file."""
    try:
        with path.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    except OSError as fault:
        raise InputError(
            f"cannot write {path} to unpack the model there: {fault.strerror or fault}"
        ) from None


def _check_size(what, size, most):
    """Check a number of bytes."""
    if size > most:
        raise _Refused(f"{what} has {size:,} bytes, and at most {most:,} are needed")


def _check_members(members, most):
    """Check that an archive has the members that Keras writes, stored as they are."""
    names = sorted(member.filename for member in members)
    if names != sorted(most):
        raise _Refused(f"its members are {', '.join(names)[:100] or 'none'}")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise _Refused(f"{member.filename} is packed")
        _check_size(member.filename, member.file_size, most[member.filename])


def _constants(description, model):
    """Yield layer, attribute and value of the constants that are described, if they are like ours."""
    import keras

    described = description["config"]["layers"]
    for layer, other in zip(model.layers, described, strict=True):
        if isinstance(layer, keras.Model):
            yield from _constants(other, layer)
        elif isinstance(layer, keras.layers.Rescaling):
            for attribute in ("scale", "offset"):
                value = other["config"][attribute]
                numbers, shape = np.asarray(value), np.shape(getattr(layer, attribute))
                if numbers.dtype.kind not in "if" or numbers.shape != shape:
                    raise _Refused(f"the {attribute} of {layer.name} is no array of shape {shape}")
                if not np.all(np.abs(numbers) <= MAX_CONSTANT):  # NaN is not
                    raise _Refused(
                        f"the {attribute} of {layer.name} has numbers that are not finite"
                    )
                yield layer, attribute, value


def _copy_numbers(source, target):
    """Copy the numbers of one weights file over those of another, which has to be alike."""
    import h5py

    with h5py.File(source, "r") as theirs, h5py.File(target, "r+") as ours:
        _copy_group(theirs, ours)


def _copy_group(theirs, ours):
    """Copy the numbers of a group: only names that are expected are ever looked up."""
    import h5py

    _check_attributes(theirs, ours)
    links, expected = theirs.id.links, sorted({*ours} - {INPUT_LAYER})
    found = len(theirs) - links.exists(INPUT_LAYER.encode())
    if found != len(expected):
        raise _Refused(f"{ours.name} has {found} entries, not {len(expected)}")
    for name in expected:
        own = ours[name]
        if not links.exists(name.encode()):
            raise _Refused(f"{own.name} is missing")
        # A link of another kind can lead into any file: it is not followed.
        if links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise _Refused(f"{own.name} is only a link")
        item = theirs[name]
        if type(item) is not type(own):
            raise _Refused(f"{own.name} is a {type(item).__name__}, not a {type(own).__name__}")
        if isinstance(own, h5py.Group):
            _copy_group(item, own)
        else:
            _copy_dataset(item, own)


def _check_attributes(theirs, ours):
    """Check the number of attributes: their values, the names of the layers, are never read."""
    if len(theirs.attrs) != len(ours.attrs):
        raise _Refused(f"{ours.name} has {len(theirs.attrs)} attributes, not {len(ours.attrs)}")


def _copy_dataset(theirs, ours):
    """Copy the numbers of an array, after all that can be known of it without reading it."""
    _check_attributes(theirs, ours)
    if theirs.shape != ours.shape:
        raise _Refused(f"{ours.name} has the shape {theirs.shape}, not {ours.shape}")
    if not theirs.id.get_type().equal(ours.id.get_type()):
        raise _Refused(f"{ours.name} has another type than {ours.dtype}")
    # Only an array of which all numbers lie in this file, in one piece and as they are, has an
    # address: none that is chunked, compressed, external, virtual, or was never written.
    if theirs.id.get_offset() is None:
        raise _Refused(f"{ours.name} is not stored in one piece")
    numbers = theirs[()]
    if not np.isfinite(numbers).all():
        raise _Refused(f"{ours.name} has numbers that are not finite")
    ours[...] = numbers
