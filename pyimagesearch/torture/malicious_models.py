"""Malicious models: recipes of model files that try to run code, read files or fill the memory.

The tests and `python -m pyimagesearch.torture` run over the tables. A recipe takes an intact model.
"""

import codecs
import copy
import io
import json
import marshal
import os
import pickle
import zipfile

import h5py
import numpy as np

from pyimagesearch.torture.malicious_files import Call, zip_archive, zip_members


def repack(model, config=None, weights=None):
    """A `.keras` archive with its config or its weights replaced by a function of the old ones."""
    members = zip_members(model)
    if config is not None:
        changed = config(json.loads(members["config.json"]))
        members["config.json"] = changed if isinstance(changed, bytes) else json.dumps(changed)
    if weights is not None:
        members["model.weights.h5"] = weights(members["model.weights.h5"])
    return zip_archive(members.items())


def with_setting(model, name, value, class_name="Conv2D"):
    """The archive with one setting of its first layer of a class replaced."""

    def layers_in(part):
        if isinstance(part, dict):
            if part.get("class_name") == class_name:
                yield part
            part = list(part.values())
        if isinstance(part, list):
            for item in part:
                yield from layers_in(item)

    def change(config):
        next(layers_in(config))["config"][name] = value
        return config

    return repack(model, config=change)


def with_layer(model, **fields):
    """The archive with fields of its first inner layer replaced."""

    def change(config):
        layers = config["config"]["layers"]
        while "layers" in layers[1]["config"]:
            layers = layers[1]["config"]["layers"]
        layers[1].update(copy.deepcopy(fields))
        return config

    return repack(model, config=change)


def with_weights(model, change):
    """The archive with its weights changed by a function of the open `h5py.File`."""

    def rewrite(data):
        buffer = io.BytesIO(data)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return repack(model, weights=rewrite)


def first_dataset(file):
    """The name of the first dataset of an HDF5 file."""
    names = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "nbytes") else None)
    return names[0]


def replace_dataset(file, link=None, make_layout=None, change=None, **settings):
    """Replace the first dataset of an HDF5 file.

    Args:
        file: An `h5py.File`, open for writing.
        link: A link, type or group to put in its place, or
        make_layout: a function from its shape and dtype to the layout of a virtual dataset, or
        change: a function from its numbers to those of another dataset; otherwise
        **settings: what differs from it in another, empty dataset.
    """
    name = first_dataset(file)
    numbers = file[name][()]
    del file[name]
    if link is not None:
        file[name] = link
    elif make_layout is not None:
        file.create_virtual_dataset(name, make_layout(numbers.shape, numbers.dtype))
    elif change is not None:
        file.create_dataset(name, data=change(numbers), **settings)
    else:
        file.create_dataset(name, **{"shape": numbers.shape, "dtype": numbers.dtype, **settings})


def add_beside(file, name, what=(1.0,), levels=1):
    """Add a dataset, or with `None` a group, some levels above the first dataset."""
    parent = file[first_dataset(file)]
    for _ in range(levels):
        parent = parent.parent
    if what is None:
        parent.create_group(name)
    else:
        parent[name] = what


def make_compact(file):
    """Store the numbers of the first dataset in its header."""
    name = first_dataset(file)
    numbers, parent = file[name][()], file[name].parent
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    del file[name]
    space = h5py.h5s.create_simple(numbers.shape)
    made = h5py.h5d.create(
        parent.id, name.split("/")[-1].encode(), h5py.h5t.IEEE_F32LE, space, properties
    )
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, numbers)


def make_cycle(file):
    """Put the outermost group in place of the layer of the first dataset."""
    layer = file[first_dataset(file)].parent.parent.name
    del file[layer]
    file[layer] = file["layers"]


def set_number(file, value):
    """Set one number of the first dataset."""
    dataset = file[first_dataset(file)]
    dataset[(0,) * dataset.ndim] = value


def virtual_layout(shape, dtype):
    """The layout of a dataset that takes its numbers from another file."""
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("/etc/passwd", "all", shape)
    return layout


def legacy_hdf5():
    """A model as Keras 2 saved it, with a Lambda layer described in an attribute."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda", "config": {}})
    return buffer.getvalue()


def lambda_code(command):
    """The function of a Lambda layer that runs a shell command, as Keras writes it."""
    function = compile(f"lambda x: __import__('os').system({command!r})", "", "eval").co_consts[0]
    return codecs.encode(marshal.dumps(function), "base64").decode()


def function_config(module, name):
    """What Keras writes for a function."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def layer_config(module, class_name, registered_name=None, /, **config):
    """What Keras writes for a layer."""
    return {
        "module": module,
        "class_name": class_name,
        "registered_name": registered_name,
        "config": {"name": "evil", **config},
    }


# Name -> function from the bytes of an intact model to those of a malicious one, which is to be
# refused beside the settings of the intact one.
MALICIOUS_MODELS = {
    "HDF5": lambda model: legacy_hdf5(),
    "pickle": lambda model: pickle.dumps(Call(os.system, "true")),
    "empty": lambda model: b"",
    "empty archive": lambda model: zip_archive([]),
    "truncated": lambda model: model[: len(model) // 2],
    # The very last bytes are only the mark that the suite leaves in its archives.
    "truncated at its end": lambda model: model[:-100],
    "without weights": lambda model: zip_archive(list(zip_members(model).items())[:2]),
    "path up": lambda model: zip_archive([*zip_members(model).items(), ("../evil", b"x")]),
    "path from the root": lambda model: zip_archive(
        [*zip_members(model).items(), ("/tmp/evil", b"x")]
    ),
    "an extra member": lambda model: zip_archive(
        [*zip_members(model).items(), ("assets/evil.py", b"x")]
    ),
    "a member twice": lambda model: zip_archive(
        [*zip_members(model).items(), ("config.jsoN", b"{}")]
    ).replace(b"config.jsoN", b"config.json"),
    "zip bomb as config": lambda model: zip_archive(
        [*list(zip_members(model).items())[::2], ("config.json", bytes(4 * 2**20))],
        zipfile.ZIP_DEFLATED,
    ),
    "zip bomb as weights": lambda model: zip_archive(
        [*list(zip_members(model).items())[:2], ("model.weights.h5", bytes(4 * 2**20))],
        zipfile.ZIP_DEFLATED,
    ),
    "huge config": lambda model: repack(model, config=lambda old: b" " * (2**24 + 1)),
    "weights that are no HDF5": lambda model: repack(model, weights=lambda old: b"x" * 99),
    "not JSON": lambda model: repack(model, config=lambda old: b"{"),
    "a list": lambda model: repack(model, config=lambda old: [old]),
    "deeply nested": lambda model: repack(
        model, config=lambda old: b"[" * 200_000 + b"]" * 200_000
    ),
}

# Name -> function from the bytes of an intact model and a shell command to those of a model whose
# description of its layers runs that command, or reads files, if Keras builds it.
MALICIOUS_DESCRIPTIONS = {
    "Lambda layer": lambda model, command: with_layer(
        model,
        **layer_config(
            "keras.layers",
            "Lambda",
            function={
                "class_name": "__lambda__",
                "config": {"code": lambda_code(command), "defaults": None, "closure": None},
            },
        ),
    ),
    "lambda as activation": lambda model, command: with_setting(
        model,
        "activation",
        {"class_name": "__lambda__", "config": {"value": [lambda_code(command), 0, 0]}},
    ),
    "os.system as activation": lambda model, command: with_setting(
        model, "activation", function_config("os", "system")
    ),
    "subprocess.Popen as layer": lambda model, command: with_layer(
        model, **layer_config("subprocess", "Popen", args=command, shell=True)
    ),
    "keras.utils.get_file": lambda model, command: with_setting(
        model, "activation", function_config("keras.utils", "get_file")
    ),
    "custom layer": lambda model, command: with_layer(
        model, **layer_config("evil.layers", "Evil", "evil>Evil")
    ),
    "TFSMLayer": lambda model, command: with_layer(
        model, **layer_config("keras.layers", "TFSMLayer", filepath="/tmp/evil")
    ),
    "TorchModuleWrapper": lambda model, command: with_layer(
        model, **layer_config("keras.layers", "TorchModuleWrapper", module="gASVevil")
    ),
    "StringLookup of a file": lambda model, command: with_layer(
        model, **layer_config("keras.layers", "StringLookup", vocabulary="/etc/passwd")
    ),
    "claim of a huge layer": lambda model, command: with_setting(
        model, "units", 2**40, class_name="Dense"
    ),
    "claim of a huge convolution": lambda model, command: with_setting(model, "filters", 2**30),
}

# Name -> function that changes the weights file of an intact model, which is an open `h5py.File`.
# Beside the settings of that model, each is to be refused.
MALICIOUS_WEIGHTS = {
    "another array": lambda file: add_beside(file, "99"),
    "another array at the top": lambda file: file.create_dataset("99", data=[1.0]),
    "another group": lambda file: add_beside(file, "99", None),
    "another layer": lambda file: add_beside(file, "evil/vars", None, levels=3),
    "a missing array": lambda file: file.__delitem__(first_dataset(file)),
    "an array by another name": lambda file: file.move(
        first_dataset(file), f"{first_dataset(file)}0"
    ),
    "no layers": lambda file: file.__delitem__("layers"),
    "a part of an array": lambda file: replace_dataset(file, change=lambda numbers: numbers[:1]),
    "an array of one axis": lambda file: replace_dataset(file, change=lambda a: a.ravel()),
    "an array of 2^60 numbers": lambda file: replace_dataset(
        file, shape=(2**20,) * 3, chunks=(1, 1, 1)
    ),
    "float64": lambda file: replace_dataset(file, change=lambda a: a.astype("f8")),
    "big-endian": lambda file: replace_dataset(file, change=lambda a: a.astype(">f4")),
    "whole numbers": lambda file: replace_dataset(file, change=lambda a: a.astype("i4")),
    "texts": lambda file: replace_dataset(file, dtype=h5py.string_dtype()),
    "references": lambda file: replace_dataset(file, dtype=h5py.ref_dtype),
    "chunks": lambda file: replace_dataset(file, change=lambda a: a, chunks=True),
    "compressed chunks": lambda file: replace_dataset(file, change=lambda a: a, compression="gzip"),
    "chunks with checksums": lambda file: replace_dataset(
        file, change=lambda a: a, fletcher32=True
    ),
    "an array without end": lambda file: replace_dataset(
        file, change=lambda a: a, maxshape=(None, None, None, None)
    ),
    "numbers in another file": lambda file: replace_dataset(
        file, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    ),
    "a virtual dataset": lambda file: replace_dataset(file, make_layout=virtual_layout),
    "numbers in a header": make_compact,
    "numbers that are not there": replace_dataset,
    "an external link": lambda file: replace_dataset(
        file, link=h5py.ExternalLink("/etc/passwd", "/")
    ),
    "a soft link": lambda file: replace_dataset(file, link=h5py.SoftLink("/layers")),
    "a type for an array": lambda file: replace_dataset(file, link=np.dtype("f4")),
    "a group for an array": lambda file: replace_dataset(file, link=file["layers"]),
    "a cycle": make_cycle,
    "an attribute of the file": lambda file: file.attrs.update(code="evil"),
    "an attribute of a group": lambda file: file["layers"].attrs.update(code="evil"),
    "an attribute of an array": lambda file: file[first_dataset(file)].attrs.update(code="evil"),
    "not a number": lambda file: set_number(file, float("nan")),
    "infinity": lambda file: set_number(file, float("-inf")),
}
