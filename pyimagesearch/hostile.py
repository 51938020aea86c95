"""What would somebody send who wants to do harm, and what do people get wrong by accident?

Tables of files and of flags, for the tests and for `torture`. What can run code here leaves a
mark, a file, if it is run.
"""

import copy
import io
import json
import marshal
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import h5py
import numpy as np


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def by_name(module, name, argument):
    """A pickle that calls a function by its name, whether or not it exists here."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def stack_global(module, name):
    """A pickle of a name, as protocol 4 writes it."""
    names = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + names + b"\x93."


def tower(end):
    """A pickle with tuples of tuples, 60 high: to hash or to print them takes for ever."""
    floors = b"".join(b"h" + bytes([i]) + b"2\x86q" + bytes([i + 1]) + b"0" for i in range(60))
    return b"\x80\x02)q\x000" + floors + end


# Name -> function from a shell command that would leave a mark to a pickle.
PICKLES = {
    "os.system": lambda leave: pickle.dumps(Call(os.system, leave)),
    "posix.system": lambda leave: by_name("posix", "system", leave),
    "builtins.eval": lambda leave: pickle.dumps(Call(eval, f"__import__('os').system('{leave}')")),
    "builtins.exec": lambda leave: pickle.dumps(Call(exec, f"import os; os.system('{leave}')")),
    "builtins.getattr": lambda leave: by_name("builtins", "getattr", leave),
    "__builtin__.eval": lambda leave: by_name("__builtin__", "eval", leave),
    "numpy.load": lambda leave: by_name("numpy", "load", leave),
    "numpy.distutils.exec_command": lambda leave: by_name(
        "numpy.distutils.exec_command", "exec_command", leave
    ),
    "numpy.testing.runstring": lambda leave: by_name("numpy.testing", "runstring", leave),
    "subprocess.Popen": lambda leave: by_name("subprocess", "Popen", leave),
    "dotted name": lambda leave: stack_global("numpy", "ndarray.__class__"),
    "prefix of an allowed name": lambda leave: stack_global("numpy._core.multiarray", "fromfile"),
    "nested in a list": lambda leave: pickle.dumps([np.arange(3), Call(os.system, leave)]),
    "nested in a dict": lambda leave: pickle.dumps({"images": Call(os.system, leave)}),
    "nested in an object array": lambda leave: pickle.dumps(
        np.array([Call(os.system, leave)], object)
    ),
    "beside an array, through the memo": lambda leave: (
        pickle.dumps(np.arange(3), 0)[:-1]
        + b"p99\n0"
        + by_name("os", "system", leave)[:-1]
        + b"0g99\n."
    ),
    "INST": lambda leave: f"(V{leave}\nios\nsystem\n.".encode(),
    "OBJ": lambda leave: f"(cos\nsystem\nV{leave}\no.".encode(),
    "NEWOBJ": lambda leave: b"\x80\x02cos\nsystem\n)\x81.",
    "persistent id": lambda leave: b"Pid\n.",
    "binary persistent id": lambda leave: b"Nq\x00Q.",
    "copyreg extension": lambda leave: b"\x80\x02\x82\x7b.",
    "copyreg._reconstructor": lambda leave: by_name("copyreg", "_reconstructor", leave),
    "memory of ndarray": lambda leave: b"cnumpy\nndarray\n(I1000000000000\ntR.",
    "new ndarray": lambda leave: b"\x80\x02cnumpy\nndarray\n(J\x00\x00\x00\x7ft\x81.",
    "state for a function": lambda leave: b"cnumpy\nndarray\n(N}V__class__\nI1\nstb.",
    "attribute for a function": lambda leave: b"cnumpy\nndarray\n(N}Vcall\nI1\nstb.",
    "codec other than latin1": lambda leave: b"c_codecs\nencode\n(Vabc\nVzip\ntR.",
    "object": lambda leave: pickle.dumps(np.array([None])),
    "strings": lambda leave: pickle.dumps(np.array(["a"])),
    "dates": lambda leave: pickle.dumps(np.array(["2020-01-01"], "M8[D]")),
    "complex": lambda leave: pickle.dumps(np.array([1j])),
    "structured": lambda leave: pickle.dumps(np.zeros(2, [("a", "f4")])),
    "no array": lambda leave: pickle.dumps({"images": [1, 2]}),
    "a dtype": lambda leave: pickle.dumps(np.dtype("f4")),
    "just a name": lambda leave: b"cnumpy\nndarray\n.",
    "tower as a key": lambda leave: tower(b"}h\x3cNs."),
    "tower in a set": lambda leave: tower(b"\x8f(h\x3c\x90."),
    "tower as an encoding": lambda leave: tower(b"c_codecs\nencode\nVa\nh\x3c\x86R."),
    "tower as an element type": lambda leave: tower(
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02"
        b"\x85cnumpy\ndtype\nh\x3cK\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x02\x01\x02tb."
    ),
    # Each claims far more than the machine has, and is a few bytes long.
    "claim of bytes": lambda leave: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "claim of a bytearray": lambda leave: b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"x.",
    "claim of text": lambda leave: b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x.",
    "claim of a frame": lambda leave: b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"x.",
    "claim of a memo": lambda leave: b"Nr\xff\xff\xff\x7f.",
    "claim of a shape": lambda leave: pickle.dumps(np.zeros(7, np.uint8), 2).replace(
        b"K\x07\x85", b"J\xff\xff\xff\x7f\x85"
    ),
    "claim of a whole number": lambda leave: b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    # A long text to be encoded a thousand times.
    "copies of one text": lambda leave: (
        b"\x80\x02c_codecs\nencode\nq\x00X\x00\x00\x10\x00"
        + b"x" * 2**20
        + b"X\x06\x00\x00\x00latin1\x86q\x01"
        + b"h\x00h\x01R" * 1000
        + b"."
    ),
}


def packed(members, compression=zipfile.ZIP_STORED):
    """An archive, as bytes, of pairs of names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def members_of(model):
    """Names and contents in a `.keras` archive, given as bytes."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def repacked(model, **changes):
    """A `.keras` archive with other contents; `config` and `weights` are functions of the old."""
    members = members_of(model)
    if "config" in changes:
        config = changes["config"](json.loads(members["config.json"]))
        members["config.json"] = config if isinstance(config, bytes) else json.dumps(config)
    if "weights" in changes:
        members["model.weights.h5"] = changes["weights"](members["model.weights.h5"])
    return packed(members.items())


def with_layer(model, **layer):
    """The archive with its first inner layer turned into something else."""

    def change(config):
        layers = config["config"]["layers"]
        while "layers" in layers[1]["config"]:
            layers = layers[1]["config"]["layers"]
        layers[1].update(copy.deepcopy(layer))
        return config

    return repacked(model, config=change)


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


def zeros(megabytes):
    """So many MiB of next to nothing, once it is packed."""
    return bytes(megabytes * 2**20)


# Name -> function from the bytes of a sound model and a shell command to the bytes of another.
MODELS = {
    "HDF5": lambda model, leave: legacy_hdf5(model),
    "pickle": lambda model, leave: pickle.dumps(Call(os.system, leave)),
    "empty": lambda model, leave: b"",
    "empty archive": lambda model, leave: packed([]),
    "half": lambda model, leave: model[: len(model) // 2],
    "without its end": lambda model, leave: model[:-1],
    "without weights": lambda model, leave: packed(list(members_of(model).items())[:2]),
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
    "path up": lambda model, leave: packed([*members_of(model).items(), ("../evil", b"x")]),
    "path from the root": lambda model, leave: packed(
        [*members_of(model).items(), ("/tmp/evil", b"x")]
    ),
    "one member more": lambda model, leave: packed(
        [*members_of(model).items(), ("assets/evil.py", b"x")]
    ),
    "one member twice": lambda model, leave: packed(
        [*members_of(model).items(), ("config.jsoN", b"{}")]
    ).replace(b"config.jsoN", b"config.json"),
    "zip bomb as description": lambda model, leave: packed(
        [*list(members_of(model).items())[::2], ("config.json", zeros(4))], zipfile.ZIP_DEFLATED
    ),
    "zip bomb as weights": lambda model, leave: packed(
        [*list(members_of(model).items())[:2], ("model.weights.h5", zeros(4))], zipfile.ZIP_DEFLATED
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


def array_archive(**arrays):
    """A `.npz` file as bytes."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def mnist_like(**changes):
    """A tiny `.npz` file in the layout of Keras's MNIST, with some arrays changed."""
    x = np.zeros((4, 8, 8), np.uint8)
    y = np.array([1, 1, 3, 3])
    return array_archive(**{"x_train": x, "y_train": y, "x_test": x, "y_test": y, **changes})


def header(shape, dtype="|u1"):
    """A `.npy` file that claims a shape and has next to nothing of it."""
    described = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"
    described = described.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(described)) + described.encode() + b"x"


def false_size(data, name, size):
    """An archive whose table of contents claims another size for a member."""
    place = data.rindex(name.encode()) - 46  # in the table of contents
    return data[: place + 24] + struct.pack("<I", size) + data[place + 28 :]


def png_claim(side):
    """A PNG of a few bytes that claims so many pixels a side."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    start = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", start), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(suffix):
    """A small image file."""
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()


# Suffix and name -> function from a shell command to the bytes of a file that is no model.
OTHERS = {
    (".npz", "empty"): lambda leave: b"",
    (".npz", "half"): lambda leave: mnist_like()[:300],
    (".npz", "objects"): lambda leave: mnist_like(
        x_train=np.array([Call(os.system, leave)] * 4, object)
    ),
    (".npz", "text"): lambda leave: mnist_like(x_train=np.full((4, 8, 8), "a")),
    (".npz", "NaN"): lambda leave: mnist_like(x_train=np.full((4, 8, 8), np.nan)),
    (".npz", "no images"): lambda leave: mnist_like(x_train=np.zeros((0, 8, 8)), y_train=[]),
    (".npz", "other keys"): lambda leave: array_archive(a=np.zeros(3)),
    (".npz", "labels missing"): lambda leave: mnist_like(y_train=np.array([1])),
    (".npz", "claim of a shape"): lambda leave: packed(
        [(f"{k}.npy", header((2**40, 8, 8))) for k in ("x_train", "y_train", "x_test", "y_test")]
    ),
    (".npz", "claim of a size"): lambda leave: false_size(mnist_like(), "x_train.npy", 2**32 - 2),
    (".npy", "empty"): lambda leave: b"",
    (".npy", "a pickle"): lambda leave: pickle.dumps(Call(os.system, leave)),
    (".npy", "claim of a shape"): lambda leave: header((2**40, 8, 8)),
    (".npy", "objects"): lambda leave: header((1, 1, 1), "|O"),
    (".npy", "code as header"): lambda leave: header(f"__import__('os').system('{leave}')"),
    (".png", "empty"): lambda leave: b"",
    (".png", "half"): lambda leave: encoded(".png")[:60],
    (".jpg", "half"): lambda leave: encoded(".jpg")[:400],
    (".bmp", "half"): lambda leave: encoded(".bmp")[:400],
    (".png", "claim of 100,000 x 100,000"): lambda leave: png_claim(100_000),
    (".png", "claim of 30,000 x 30,000"): lambda leave: png_claim(30_000),
    (".png", "no image"): lambda leave: b"#!/bin/sh\n" + leave.encode(),
    (".csv", "no table"): lambda leave: b"\x00\xff\xfe",
    (".csv", "other columns"): lambda leave: b"rank,score\n0,1\n",
    (".csv", "labels from elsewhere"): lambda leave: b"index,name,label\n0,a.png,7\n",
    (".csv", "a long number"): lambda leave: b"index,name,label\n" + b"9" * 10_000 + b",a,0\n",
    (".csv", "a device"): lambda leave: b"index,name,label\n0,/dev/zero,0\n",
    (".json", "no JSON"): lambda leave: b"{",
    (".json", "a list"): lambda leave: b"[1]",
    (".json", "deeply nested"): lambda leave: b"[" * 100_000,
    (".json", "a list of scores"): lambda leave: b'{"scores": [1]}',
    (".json", "NaN"): lambda leave: (
        b'{"scores": {"mse": {"trained": {"n": 0}, "held_out": {"n": 0}, "threshold": NaN, '
        b'"pixel_threshold": 1}}}'
    ),
    (".json", "text for numbers"): lambda leave: b'{"scores": {"mse": {"trained": "a"}}}',
    (".json", "labels that are none"): lambda leave: b'{"command": {"valid_label": [[1]]}}',
}


def write(path, content):
    """Put a file there, and say where."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    return str(path)


def pickled(path, array):
    """Put a pickled array there, and say where."""
    return write(path, pickle.dumps(array))


def manifested(path, rows):
    """Put a pickle of two sound images there, with a manifest of so many rows; say where."""
    lines = ["index,name,label", *(f"{i},a,0" for i in range(rows))]
    write(path.with_suffix(".csv"), "\n".join(lines).encode())
    return pickled(path, np.zeros((2, 28, 28, 1), np.float32))


def folder(path):
    """Make an empty folder, and say where."""
    path.mkdir()
    return str(path)


def images(path, *contents):
    """Make a folder of image files, and say where."""
    for i, content in enumerate(contents):
        write(path / f"{i}.png", content)
    return str(path)


def of_sides(height, width, depth=1):
    """Two black images of a size."""
    return np.zeros((2, height, width, depth), np.float32)


# What people get wrong: name -> function from a folder to work in to flags for the training
# script, and a part of the one line that they are to be answered with.
TRAINING_INPUTS = {
    "source missing": (lambda w: ["--source", "no/such.npz"], "there is no file no/such.npz"),
    "source unknown": (lambda w: ["--source", "photos"], "expected auto, mnist, digits"),
    "source an empty folder": (lambda w: ["--source", folder(w / "e")], "files in"),
    "source an empty file": (lambda w: ["--source", write(w / "e.npz", b"")], "not a whole .npz"),
    "source cut short": (
        lambda w: ["--source", write(w / "c.npz", mnist_like()[:300])],
        "not a whole .npz",
    ),
    "source a folder called .npz": (lambda w: ["--source", folder(w / "f.npz")], "files in"),
    "source without images": (
        lambda w: ["--source", write(w / "n.npz", OTHERS[".npz", "no images"](""))],
        "at least one image",
    ),
    "source with NaN": (
        lambda w: ["--source", write(w / "n.npz", OTHERS[".npz", "NaN"](""))],
        "NaN or infinity",
    ),
    "source with text for pixels": (
        lambda w: ["--source", write(w / "t.npz", OTHERS[".npz", "text"](""))],
        "<U1",
    ),
    "source of broken images": (
        lambda w: ["--source", images(w / "b", b"", encoded(".png")[:60])],
        "can be decoded",
    ),
    "source unreadable": (lambda w: ["--source", "/proc/self/mem/x.npz"], "get it again"),
    "size for what is no folder": (lambda w: ["--image-size", "9"], "leave these flags out"),
    "size of 0": (lambda w: ["--image-size", "0"], "--image-size: expected a whole number"),
    "size beyond reason": (lambda w: ["--image-size", "1000000"], "at most 16384"),
    "three sizes": (lambda w: ["--image-size", "1", "2", "3"], "received 3 numbers"),
    "dataset a folder": (lambda w: ["-d", folder(w / "f")], "found a folder"),
    "model a folder": (lambda w: ["-m", folder(w / "f")], "found a folder"),
    "picture a folder": (lambda w: ["--vis", folder(w / "f")], "found a folder"),
    "dataset below a file": (
        lambda w: ["-d", write(w / "file", b"") + "/images.pickle"],
        "cannot write to the folder",
    ),
    "model where nobody can write": (lambda w: ["-m", "/proc/a.model"], "cannot write to"),
    "one name for two results": (lambda w: ["--vis", "a.png", "--plot", "a.png"], "name two files"),
    "contamination negative": (lambda w: ["--contam", "-0.1"], "--contam: expected a number"),
    "contamination beyond what there is": (lambda w: ["--contam", "2"], "and there are 183"),
    "contamination of a folder": (
        lambda w: ["--source", images(w / "b", encoded(".png")), "--contam", "0.1"],
        "leave --contam out",
    ),
    "label that does not exist": (lambda w: ["--valid-label", "12"], "no image has the label 12"),
    "anomaly that does not exist": (lambda w: ["--anomaly-label", "12"], "label 12: choose among"),
    "label on both sides": (lambda w: ["--anomaly-label", "1"], "can't be normal and an anomaly"),
    "no epochs": (lambda w: ["--epochs", "0"], "--epochs: expected a whole number, at least 1"),
    "no batch": (lambda w: ["--batch-size", "0"], "--batch-size: expected"),
    "no rate": (lambda w: ["--lr", "0"], "--lr: expected a number, above 0"),
    "rate that is no number": (lambda w: ["--lr", "nan"], "--lr: expected a number"),
    "no code": (lambda w: ["--latent-dim", "0"], "--latent-dim: expected"),
    "code beyond reason": (lambda w: ["--latent-dim", "1000000000"], "at most 65536"),
    "trim of all": (lambda w: ["--trim", "1"], "--trim: expected a number"),
    "seed negative": (lambda w: ["--seed", "-1"], "--seed: expected"),
    "corruption without a number": (lambda w: ["--corrupt", "noise"], "--corrupt: expected"),
    "corruption with a broken number": (lambda w: ["--corrupt", "noise:0.x"], "--corrupt"),
    "corruption unknown": (lambda w: ["--corrupt", "fog:1"], "--corrupt: expected"),
    "corruption beyond reason": (lambda w: ["--corrupt", "blur:1e9"], "at most 1000"),
    "architecture unknown": (lambda w: ["--arch", "cathedral"], "--arch"),
    "flag unknown": (lambda w: ["--cake"], "--cake"),
}

# The same for the detection script; `of(model)` are functions of the bytes of a sound model.
DETECTION_INPUTS = {
    "dataset missing": (lambda w: ["-d", "no.pickle"], "there is no file"),
    "dataset an empty folder": (lambda w: ["-d", folder(w / "e")], "files in"),
    "dataset empty": (lambda w: ["-d", write(w / "e.pickle", b"")], "not a whole pickle"),
    "dataset cut short": (
        lambda w: ["-d", write(w / "c.pickle", pickle.dumps(of_sides(28, 28))[:-9])],
        "not a whole pickle",
    ),
    "dataset that runs code": (
        lambda w: ["-d", write(w / "x.pickle", PICKLES["posix.system"](f"touch {w}/executed"))],
        "asks for posix.system",
    ),
    "dataset without images": (
        lambda w: ["-d", pickled(w / "n.pickle", np.zeros((0, 28, 28, 1)))],
        "at least one image",
    ),
    "dataset with NaN": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), np.nan))],
        "NaN or infinity",
    ),
    "dataset with infinities": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), np.inf))],
        "NaN or infinity",
    ),
    "dataset below 0": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), -1.0))],
        "scale or clip them",
    ),
    "dataset above 255": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((2, 28, 28), 256.0))],
        "scale or clip them",
    ),
    "dataset of text": (lambda w: ["-d", pickled(w / "n.pickle", np.array(["a"]))], "refused"),
    "dataset of complex numbers": (
        lambda w: ["-d", pickled(w / "n.pickle", np.full((1, 28, 28), 1j))],
        "complex128",
    ),
    "dataset of one dimension": (
        lambda w: ["-d", pickled(w / "n.pickle", np.zeros(9))],
        "of shape (9,)",
    ),
    "images of another size": (
        lambda w: ["-d", pickled(w / "n.pickle", of_sides(28, 32))],
        "(28, 28, 1) and these are of shape (28, 32, 1)",
    ),
    "images of other channels": (
        lambda w: ["-d", pickled(w / "n.pickle", of_sides(28, 28, 3))],
        "(28, 28, 1) and these are of shape (28, 28, 3)",
    ),
    "images of 1x1": (lambda w: ["-d", pickled(w / "n.pickle", of_sides(1, 1))], "(1, 1, 1)"),
    "manifest too short": (lambda w: ["-d", manifested(w / "m.pickle", 1)], "does not belong"),
    "manifest too long": (lambda w: ["-d", manifested(w / "m.pickle", 3)], "does not belong"),
    "manifest of files that are gone": (
        lambda w: ["-d", write(w / "m.csv", b"index,name,label\n0,gone.png,0\n")],
        "found no such file",
    ),
    "array cut short": (lambda w: ["-d", write(w / "a.npy", header((9, 28, 28)))], "not a whole"),
    "folder of broken images": (lambda w: ["-d", images(w / "b", b"")], "can be decoded"),
    "model missing": (lambda w: ["-m", "no.model"], "there is no file"),
    "model a folder": (lambda w: ["-m", folder(w / "f")], "expected a file, found the folder"),
    "model a SavedModel": (
        lambda w: ["-m", str(Path(write(w / "s" / "saved_model.pb", b"x")).parent)],
        "is a SavedModel",
    ),
    "model HDF5": (lambda w: ["-m", write(w / "a.keras", legacy_hdf5(b""))], "is an HDF5 file"),
    "model empty": (lambda w: ["-m", write(w / "a.keras", b"")], "not a whole .keras archive"),
    "model a pickle": (
        lambda w: ["-m", pickled(w / "a.keras", of_sides(1, 1))],
        "not a whole .keras archive",
    ),
    "output a file": (lambda w: ["--output", write(w / "file", b"")], "cannot write to the folder"),
    "output where nobody can write": (lambda w: ["--output", "/proc/x"], "cannot write to"),
    "report a folder": (
        lambda w: ["--output", str(Path(folder(w / "o"), folder(w / "o" / "report.json")).parent)],
        "found a folder",
    ),
    "quantile above 1": (lambda w: ["-q", "1.1"], "--quantile: expected a number, at least 0"),
    "quantile below 0": (lambda w: ["-q", "-0.1"], "--quantile: expected a number, at least 0"),
    "no standard deviations": (lambda w: ["--std", "0"], "--std: expected a number, above 0"),
    "share of nothing": (lambda w: ["--contamination", "0"], "--contamination: expected"),
    "share of all": (lambda w: ["--contamination", "1"], "--contamination: expected"),
    "threshold in words": (lambda w: ["--threshold", "high"], "--threshold: "),
    "two rules at once": (lambda w: ["--std", "3", "--auto"], "not allowed with"),
    "quantile and threshold": (lambda w: ["-q", "0.9", "--threshold", "1"], "not allowed with"),
    "none on top": (lambda w: ["--top", "0"], "--top: expected a whole number"),
    "score unknown": (lambda w: ["--score", "cake"], "--score"),
    "corruption with a broken number": (lambda w: ["--corrupt", "noise:"], "--corrupt"),
    "corruption of nothing": (lambda w: ["--corrupt-fraction", "0"], "--corrupt-fraction"),
}
