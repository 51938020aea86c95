"""What would somebody send as a model who wants to do harm?

A table of files, for the tests and for `torture`. What can run code here leaves a mark, a file, if
it is run.
"""

import copy
import io
import json
import marshal
import os
import pickle
import zipfile

import h5py

from pyimagesearch.torture.malicious_files import Call, zip_archive, zip_members


def repacked(model, **changes):
    """A `.keras` archive with other contents; `config` and `weights` are functions of the old."""
    members = zip_members(model)
    if "config" in changes:
        config = changes["config"](json.loads(members["config.json"]))
        members["config.json"] = config if isinstance(config, bytes) else json.dumps(config)
    if "weights" in changes:
        members["model.weights.h5"] = changes["weights"](members["model.weights.h5"])
    return zip_archive(members.items())


def with_setting(model, name, value, of="Conv2D"):
    """The archive with one setting of its first layer of a kind changed."""

    def change(part):
        if isinstance(part, dict):
            if part.get("class_name") == of and not done:
                done.append(part["config"].update({name: value}))
            for item in list(part.values()):
                change(item)
        elif isinstance(part, list):
            for item in part:
                change(item)
        return part

    done = []
    return repacked(model, config=change)


def with_weights(model, change):
    """The archive with its weights file changed by a function of the open `h5py.File`."""

    def rewritten(data):
        buffer = io.BytesIO(data)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return repacked(model, weights=rewritten)


def replaced(file, **how):
    """Put another data set in the place of the first in an HDF5 file."""
    names = []
    file.visititems(lambda name, thing: names.append(name) if hasattr(thing, "nbytes") else None)
    shape, dtype = file[names[0]].shape, file[names[0]].dtype
    del file[names[0]]
    if "layout" in how:
        file.create_virtual_dataset(names[0], how["layout"](shape, dtype))
    elif "link" in how:
        file[names[0]] = how["link"]
    else:
        settings = {"shape": shape, "dtype": dtype, **how}
        file.create_dataset(names[0], **settings)


def virtual(shape, dtype):
    """A data set that takes its numbers from another file."""
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource("/etc/passwd", "all", shape)
    return layout


def legacy_hdf5(model):
    """A model as Keras 2 saved it, with a Lambda layer described in an attribute."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Lambda", "config": {}})
    return buffer.getvalue()


def code(leave):
    """A Lambda layer's function, as Keras writes it."""
    import codecs

    function = compile(f"lambda x: __import__('os').system({leave!r})", "", "eval").co_consts[0]
    return codecs.encode(marshal.dumps(function), "base64").decode()


def function(module, name):
    """What Keras writes for a function."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def layer(module, class_name, registered_name=None, /, **config):
    """What Keras writes for a layer."""
    return {
        "module": module,
        "class_name": class_name,
        "registered_name": registered_name,
        "config": {"name": "evil", **config},
    }


def with_layer(model, **layer):
    """The archive with its first inner layer turned into something else."""

    def change(config):
        layers = config["config"]["layers"]
        while "layers" in layers[1]["config"]:
            layers = layers[1]["config"]["layers"]
        layers[1].update(copy.deepcopy(layer))
        return config

    return repacked(model, config=change)


def zeros(megabytes):
    """So many MiB of next to nothing, once it is packed."""
    return bytes(megabytes * 2**20)


# Name -> function from the bytes of a sound model and a shell command to the bytes of another.
MALICIOUS_MODELS = {
    "HDF5": lambda model, leave: legacy_hdf5(model),
    "pickle": lambda model, leave: pickle.dumps(Call(os.system, leave)),
    "empty": lambda model, leave: b"",
    "empty archive": lambda model, leave: zip_archive([]),
    "half": lambda model, leave: model[: len(model) // 2],
    # The very last bytes are but the mark of the suite.
    "without its end": lambda model, leave: model[:-100],
    "without weights": lambda model, leave: zip_archive(list(zip_members(model).items())[:2]),
    "Lambda layer": lambda model, leave: with_layer(
        model,
        **layer(
            "keras.layers",
            "Lambda",
            function={
                "class_name": "__lambda__",
                "config": {"code": code(leave), "defaults": None, "closure": None},
            },
        ),
    ),
    "lambda as activation": lambda model, leave: with_setting(
        model, "activation", {"class_name": "__lambda__", "config": {"value": [code(leave), 0, 0]}}
    ),
    "custom layer": lambda model, leave: with_layer(
        model, **layer("evil.layers", "Evil", "evil>Evil")
    ),
    "known layer, other registered name": lambda model, leave: with_layer(
        model, registered_name="evil>Evil"
    ),
    "os.system as activation": lambda model, leave: with_setting(
        model, "activation", function("os", "system")
    ),
    "subprocess.Popen as layer": lambda model, leave: with_layer(
        model, **layer("subprocess", "Popen", args=leave, shell=True)
    ),
    "builtins.eval as activation": lambda model, leave: with_setting(
        model, "activation", function("builtins", "eval")
    ),
    "numpy.load as layer": lambda model, leave: with_layer(model, **layer("numpy", "load")),
    "keras.utils.get_file": lambda model, leave: with_setting(
        model, "activation", function("keras.utils", "get_file")
    ),
    "keras.saving.load_model": lambda model, leave: with_setting(
        model, "activation", function("keras.saving", "load_model")
    ),
    "keras.config.enable_unsafe_deserialization": lambda model, leave: with_setting(
        model, "activation", function("keras.config", "enable_unsafe_deserialization")
    ),
    "TFSMLayer": lambda model, leave: with_layer(
        model, **layer("keras.layers", "TFSMLayer", filepath="/tmp/evil")
    ),
    "TorchModuleWrapper": lambda model, leave: with_layer(
        model, **layer("keras.layers", "TorchModuleWrapper", module="gASVevil")
    ),
    "StringLookup of a file": lambda model, leave: with_layer(
        model, **layer("keras.layers", "StringLookup", vocabulary="/etc/passwd")
    ),
    "layer inside a layer": lambda model, leave: with_layer(
        model,
        **layer("keras.layers", "TimeDistributed", layer=layer("keras.layers", "Lambda")),
    ),
    "initializer from elsewhere": lambda model, leave: with_setting(
        model, "kernel_initializer", layer("evil", "Zeros")
    ),
    "type of TensorFlow": lambda model, leave: with_setting(
        model,
        "dtype",
        {
            "module": "tensorflow",
            "class_name": "__typespec__",
            "spec_name": "TensorSpec",
            "registered_name": None,
            "config": [[1], "float32"],
        },
    ),
    "name that is no text": lambda model, leave: with_layer(model, class_name=["Dense"]),
    "not JSON": lambda model, leave: repacked(model, config=lambda old: b"{"),
    "a list": lambda model, leave: repacked(model, config=lambda old: [old]),
    "a single layer": lambda model, leave: repacked(
        model, config=lambda old: layer("keras.layers", "Flatten")
    ),
    "deeply nested": lambda model, leave: repacked(
        model, config=lambda old: b"[" * 200_000 + b"]" * 200_000
    ),
    "path up": lambda model, leave: zip_archive([*zip_members(model).items(), ("../evil", b"x")]),
    "path from the root": lambda model, leave: zip_archive(
        [*zip_members(model).items(), ("/tmp/evil", b"x")]
    ),
    "one member more": lambda model, leave: zip_archive(
        [*zip_members(model).items(), ("assets/evil.py", b"x")]
    ),
    "one member twice": lambda model, leave: zip_archive(
        [*zip_members(model).items(), ("config.jsoN", b"{}")]
    ).replace(b"config.jsoN", b"config.json"),
    "zip bomb as description": lambda model, leave: zip_archive(
        [*list(zip_members(model).items())[::2], ("config.json", zeros(4))], zipfile.ZIP_DEFLATED
    ),
    "zip bomb as weights": lambda model, leave: zip_archive(
        [*list(zip_members(model).items())[:2], ("model.weights.h5", zeros(4))],
        zipfile.ZIP_DEFLATED,
    ),
    "huge description": lambda model, leave: repacked(model, config=lambda old: b" " * (2**24 + 1)),
    "external link": lambda model, leave: with_weights(
        model, lambda file: replaced(file, link=h5py.ExternalLink("/etc/passwd", "/"))
    ),
    "soft link": lambda model, leave: with_weights(
        model, lambda file: replaced(file, link=h5py.SoftLink("/"))
    ),
    "numbers in another file": lambda model, leave: with_weights(
        model, lambda file: replaced(file, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    ),
    "virtual numbers": lambda model, leave: with_weights(
        model, lambda file: replaced(file, layout=virtual)
    ),
    "text for numbers": lambda model, leave: with_weights(
        model, lambda file: replaced(file, shape=(3,), dtype=h5py.string_dtype())
    ),
    "claim of weights": lambda model, leave: with_weights(
        model, lambda file: replaced(file, shape=(2**40,), dtype="f4", chunks=(2**20,))
    ),
    "packed weights": lambda model, leave: with_weights(
        model,
        lambda file: replaced(
            file, shape=(2**22,), dtype="f4", chunks=(2**20,), compression="gzip", fillvalue=0
        ),
    ),
    "weights of another network": lambda model, leave: with_weights(
        model, lambda file: replaced(file, shape=(3, 1), dtype="f4")
    ),
    "weights that are no HDF5": lambda model, leave: repacked(model, weights=lambda old: b"x" * 99),
    "claim of a layer": lambda model, leave: with_setting(model, "units", 2**40, of="Dense"),
    "claim of a convolution": lambda model, leave: with_setting(model, "filters", 2**30),
    "claim of an output": lambda model, leave: with_layer(
        model, **layer("keras.layers", "UpSampling2D", size=[2**20, 2**20])
    ),
}
