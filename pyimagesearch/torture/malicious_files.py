"""Malicious files: what somebody would send who wants to do harm, and how it is crafted.

Tables of files, for the tests and for `torture`; models have a table of their own, in
`malicious_models`. What can run code here leaves a mark, a file, if it is run.
"""

import io
import os
import pickle
import struct
import zipfile
import zlib

import cv2
import numpy as np


def by_name(module, name, argument):
    """A pickle that calls a function by its name, whether or not it exists here."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def stack_global(module, name):
    """A pickle of a name, as protocol 4 writes it."""
    names = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + names + b"\x93."


def nested_tuples(end):
    """A pickle with tuples of tuples, 60 high: to hash or to print them takes for ever."""
    floors = b"".join(b"h" + bytes([i]) + b"2\x86q" + bytes([i + 1]) + b"0" for i in range(60))
    return b"\x80\x02)q\x000" + floors + end


# Name -> function from a shell command that would leave a mark to a pickle.
MALICIOUS_PICKLES = {
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
    "tower as a key": lambda leave: nested_tuples(b"}h\x3cNs."),
    "tower in a set": lambda leave: nested_tuples(b"\x8f(h\x3c\x90."),
    "tower as an encoding": lambda leave: nested_tuples(b"c_codecs\nencode\nVa\nh\x3c\x86R."),
    "tower as an element type": lambda leave: nested_tuples(
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


# Suffix and name -> function from a shell command to the bytes of a file that is no model.
MALICIOUS_FILES = {
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
    (".npz", "claim of a shape"): lambda leave: zip_archive(
        [
            (f"{k}.npy", npy_header((2**40, 8, 8)))
            for k in ("x_train", "y_train", "x_test", "y_test")
        ]
    ),
    (".npz", "claim of a size"): lambda leave: with_false_size(
        mnist_like(), "x_train.npy", 2**32 - 2
    ),
    (".npy", "empty"): lambda leave: b"",
    (".npy", "a pickle"): lambda leave: pickle.dumps(Call(os.system, leave)),
    (".npy", "claim of a shape"): lambda leave: npy_header((2**40, 8, 8)),
    (".npy", "objects"): lambda leave: npy_header((1, 1, 1), "|O"),
    (".npy", "code as header"): lambda leave: npy_header(f"__import__('os').system('{leave}')"),
    (".png", "empty"): lambda leave: b"",
    (".png", "half"): lambda leave: encoded_image(".png")[:60],
    (".jpg", "half"): lambda leave: encoded_image(".jpg")[:400],
    (".bmp", "half"): lambda leave: encoded_image(".bmp")[:400],
    (".png", "claim of 100,000 x 100,000"): lambda leave: png_claiming(100_000),
    (".png", "claim of 30,000 x 30,000"): lambda leave: png_claiming(30_000),
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


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def zip_archive(members, compression=zipfile.ZIP_STORED):
    """An archive, as bytes, of pairs of names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def zip_members(model):
    """Names and contents in a `.keras` archive, given as bytes."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


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


def npy_header(shape, dtype="|u1"):
    """A `.npy` file that claims a shape and has next to nothing of it."""
    described = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"
    described = described.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(described)) + described.encode() + b"x"


def with_false_size(data, name, size):
    """An archive whose table of contents claims another size for a member."""
    place = data.rindex(name.encode()) - 46  # in the table of contents
    return data[: place + 24] + struct.pack("<I", size) + data[place + 28 :]


def png_claiming(side):
    """A PNG of a few bytes that claims so many pixels a side."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    start = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", start), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded_image(suffix):
    """A small image file."""
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()
