"""Malicious models: recipes of model files that try to run code, read files or fill the memory.

The tests and `python -m pyimagesearch.torture` run over the table. A recipe takes an intact model
and the shell command that its file tries to run; see `malicious_files`.
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


def replace_dataset(file, link=None, make_layout=None, **settings):
    """Replace the first dataset of an HDF5 file by a link, a virtual dataset or another dataset."""
    names = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "nbytes") else None)
    shape, dtype = file[names[0]].shape, file[names[0]].dtype
    del file[names[0]]
    if link is not None:
        file[names[0]] = link
    elif make_layout is not None:
        file.create_virtual_dataset(names[0], make_layout(shape, dtype))
    else:
        file.create_dataset(names[0], **{"shape": shape, "dtype": dtype, **settings})


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


# Name -> function from the bytes of an intact model and a shell command to the bytes of a malicious
# model.
MALICIOUS_MODELS = {
    "HDF5": lambda model, command: legacy_hdf5(),
    "pickle": lambda model, command: pickle.dumps(Call(os.system, command)),
    "empty": lambda model, command: b"",
    "empty archive": lambda model, command: zip_archive([]),
    "truncated": lambda model, command: model[: len(model) // 2],
    # The very last bytes are only the mark that the suite leaves in its archives.
    "truncated at its end": lambda model, command: model[:-100],
    "without weights": lambda model, command: zip_archive(list(zip_members(model).items())[:2]),
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
    "custom layer": lambda model, command: with_layer(
        model, **layer_config("evil.layers", "Evil", "evil>Evil")
    ),
    "known layer, other registered name": lambda model, command: with_layer(
        model, registered_name="evil>Evil"
    ),
    "os.system as activation": lambda model, command: with_setting(
        model, "activation", function_config("os", "system")
    ),
    "subprocess.Popen as layer": lambda model, command: with_layer(
        model, **layer_config("subprocess", "Popen", args=command, shell=True)
    ),
    "builtins.eval as activation": lambda model, command: with_setting(
        model, "activation", function_config("builtins", "eval")
    ),
    "numpy.load as layer": lambda model, command: with_layer(
        model, **layer_config("numpy", "load")
    ),
    "keras.utils.get_file": lambda model, command: with_setting(
        model, "activation", function_config("keras.utils", "get_file")
    ),
    "keras.saving.load_model": lambda model, command: with_setting(
        model, "activation", function_config("keras.saving", "load_model")
    ),
    "keras.config.enable_unsafe_deserialization": lambda model, command: with_setting(
        model, "activation", function_config("keras.config", "enable_unsafe_deserialization")
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
    "layer inside a layer": lambda model, command: with_layer(
        model,
        **layer_config(
            "keras.layers", "TimeDistributed", layer=layer_config("keras.layers", "Lambda")
        ),
    ),
    "initializer of another module": lambda model, command: with_setting(
        model, "kernel_initializer", layer_config("evil", "Zeros")
    ),
    "type of TensorFlow": lambda model, command: with_setting(
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
    "class name that is no text": lambda model, command: with_layer(model, class_name=["Dense"]),
    "not JSON": lambda model, command: repack(model, config=lambda old: b"{"),
    "a list": lambda model, command: repack(model, config=lambda old: [old]),
    "a single layer": lambda model, command: repack(
        model, config=lambda old: layer_config("keras.layers", "Flatten")
    ),
    "deeply nested": lambda model, command: repack(
        model, config=lambda old: b"[" * 200_000 + b"]" * 200_000
    ),
    "path up": lambda model, command: zip_archive([*zip_members(model).items(), ("../evil", b"x")]),
    "path from the root": lambda model, command: zip_archive(
        [*zip_members(model).items(), ("/tmp/evil", b"x")]
    ),
    "an extra member": lambda model, command: zip_archive(
        [*zip_members(model).items(), ("assets/evil.py", b"x")]
    ),
    "a member twice": lambda model, command: zip_archive(
        [*zip_members(model).items(), ("config.jsoN", b"{}")]
    ).replace(b"config.jsoN", b"config.json"),
    "zip bomb as config": lambda model, command: zip_archive(
        [*list(zip_members(model).items())[::2], ("config.json", bytes(4 * 2**20))],
        zipfile.ZIP_DEFLATED,
    ),
    "zip bomb as weights": lambda model, command: zip_archive(
        [*list(zip_members(model).items())[:2], ("model.weights.h5", bytes(4 * 2**20))],
        zipfile.ZIP_DEFLATED,
    ),
    "huge config": lambda model, command: repack(model, config=lambda old: b" " * (2**24 + 1)),
    "external link": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, link=h5py.ExternalLink("/etc/passwd", "/"))
    ),
    "soft link": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, link=h5py.SoftLink("/"))
    ),
    "external storage": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    ),
    "virtual dataset": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, make_layout=virtual_layout)
    ),
    "text for numbers": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, shape=(3,), dtype=h5py.string_dtype())
    ),
    "claim of huge weights": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, shape=(2**40,), dtype="f4", chunks=(2**20,))
    ),
    "compressed weights": lambda model, command: with_weights(
        model,
        lambda file: replace_dataset(
            file, shape=(2**22,), dtype="f4", chunks=(2**20,), compression="gzip", fillvalue=0
        ),
    ),
    "weights of another network": lambda model, command: with_weights(
        model, lambda file: replace_dataset(file, shape=(3, 1), dtype="f4")
    ),
    "weights that are no HDF5": lambda model, command: repack(model, weights=lambda old: b"x" * 99),
    "claim of a huge layer": lambda model, command: with_setting(
        model, "units", 2**40, class_name="Dense"
    ),
    "claim of a huge convolution": lambda model, command: with_setting(model, "filters", 2**30),
    "claim of a huge output": lambda model, command: with_layer(
        model, **layer_config("keras.layers", "UpSampling2D", size=[2**20, 2**20])
    ),
}
