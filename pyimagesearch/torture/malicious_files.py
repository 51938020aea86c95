"""Malicious pickles, arrays, images, tables and settings: recipes of files that try to do harm.

The tests and `python -m pyimagesearch.torture` run over both tables; models have a table of their
own in `malicious_models`. A recipe takes the shell command that its file tries to run. The command
makes a canary, a file whose presence proves that code was executed.
"""

import io
import os
import pickle
import struct
import zipfile
import zlib

import cv2
import numpy as np


def call_by_name(module, name, argument):
    """A pickle that calls a function by its name, which need not exist on this machine."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


def stack_global(module, name):
    """A pickle that loads a name, as protocol 4 writes it."""
    names = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + names + b"\x93."


def nested_tuples(end):
    """A pickle of tuples nested 60 deep: hashing or printing them takes 2**60 steps."""
    levels = b"".join(b"h" + bytes([i]) + b"2\x86q" + bytes([i + 1]) + b"0" for i in range(60))
    return b"\x80\x02)q\x000" + levels + end


# Name -> function from a shell command to the bytes of a pickle that tries to run it, or tries
# something else that loading an array never needs.
MALICIOUS_PICKLES = {
    "os.system": lambda command: pickle.dumps(Call(os.system, command)),
    "posix.system": lambda command: call_by_name("posix", "system", command),
    "builtins.eval": lambda command: pickle.dumps(
        Call(eval, f"__import__('os').system('{command}')")
    ),
    "builtins.exec": lambda command: pickle.dumps(Call(exec, f"import os; os.system('{command}')")),
    "builtins.getattr": lambda command: call_by_name("builtins", "getattr", command),
    "__builtin__.eval": lambda command: call_by_name("__builtin__", "eval", command),
    "numpy.load": lambda command: call_by_name("numpy", "load", command),
    "numpy.distutils.exec_command": lambda command: call_by_name(
        "numpy.distutils.exec_command", "exec_command", command
    ),
    "numpy.testing.runstring": lambda command: call_by_name("numpy.testing", "runstring", command),
    "subprocess.Popen": lambda command: call_by_name("subprocess", "Popen", command),
    "dotted name": lambda command: stack_global("numpy", "ndarray.__class__"),
    "prefix of an allowed name": lambda command: stack_global("numpy._core.multiarray", "fromfile"),
    "nested in a list": lambda command: pickle.dumps([np.arange(3), Call(os.system, command)]),
    "nested in a dict": lambda command: pickle.dumps({"images": Call(os.system, command)}),
    "nested in an object array": lambda command: pickle.dumps(
        np.array([Call(os.system, command)], object)
    ),
    "beside an array, through the memo": lambda command: (
        pickle.dumps(np.arange(3), 0)[:-1]
        + b"p99\n0"
        + call_by_name("os", "system", command)[:-1]
        + b"0g99\n."
    ),
    "INST": lambda command: f"(V{command}\nios\nsystem\n.".encode(),
    "OBJ": lambda command: f"(cos\nsystem\nV{command}\no.".encode(),
    "NEWOBJ": lambda command: b"\x80\x02cos\nsystem\n)\x81.",
    "persistent id": lambda command: b"Pid\n.",
    "binary persistent id": lambda command: b"Nq\x00Q.",
    "copyreg extension": lambda command: b"\x80\x02\x82\x7b.",
    "copyreg._reconstructor": lambda command: call_by_name("copyreg", "_reconstructor", command),
    "memory of ndarray": lambda command: b"cnumpy\nndarray\n(I1000000000000\ntR.",
    "new ndarray": lambda command: b"\x80\x02cnumpy\nndarray\n(J\x00\x00\x00\x7ft\x81.",
    "state for a function": lambda command: b"cnumpy\nndarray\n(N}V__class__\nI1\nstb.",
    "attribute for a function": lambda command: b"cnumpy\nndarray\n(N}Vcall\nI1\nstb.",
    "state of a function": lambda command: b"cnumpy\nndarray\n(NNtb.",
    "codec other than latin1": lambda command: b"c_codecs\nencode\n(Vabc\nVzip\ntR.",
    "object": lambda command: pickle.dumps(np.array([None])),
    "strings": lambda command: pickle.dumps(np.array(["a"])),
    "dates": lambda command: pickle.dumps(np.array(["2020-01-01"], "M8[D]")),
    "complex": lambda command: pickle.dumps(np.array([1j])),
    "structured": lambda command: pickle.dumps(np.zeros(2, [("a", "f4")])),
    "no array": lambda command: pickle.dumps({"images": [1, 2]}),
    "a dtype": lambda command: pickle.dumps(np.dtype("f4")),
    "just a name": lambda command: b"cnumpy\nndarray\n.",
    "nested tuples as a key": lambda command: nested_tuples(b"}h\x3cNs."),
    "nested tuples in a set": lambda command: nested_tuples(b"\x8f(h\x3c\x90."),
    "nested tuples as an encoding": lambda command: nested_tuples(
        b"c_codecs\nencode\nVa\nh\x3c\x86R."
    ),
    "nested tuples as a dtype": lambda command: nested_tuples(
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02"
        b"\x85cnumpy\ndtype\nh\x3cK\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x02\x01\x02tb."
    ),
    # Each is a few bytes long and claims more memory than any machine has.
    "claim of bytes": lambda command: b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "claim of a bytearray": lambda command: b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"x.",
    "claim of 4 GiB of a bytearray": lambda command: (
        b"\x80\x05\x96" + struct.pack("<Q", 2**32) + b"x."
    ),
    "claim of text": lambda command: b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x.",
    "claim of a frame": lambda command: b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"x.",
    "claim of a memo": lambda command: b"Nr\xff\xff\xff\x7f.",
    "claim of a shape": lambda command: pickle.dumps(np.zeros(7, np.uint8), 2).replace(
        b"K\x07\x85", b"J\xff\xff\xff\x7f\x85"
    ),
    "claim of an integer": lambda command: b"\x80\x02\x8b\xff\xff\xff\x7fx.",
    # A few hundred kilobytes that make as many objects as they have bytes.
    "100,000 names in the memo": lambda command: (
        pickle.dumps(np.arange(3), 2)[:-1]
        + b"".join(b"r" + struct.pack("<I", i) for i in range(100_000))
        + b"."
    ),
    "copies of nothing": lambda command: b"N" * 2**20 + b".",
    "copies of a mark": lambda command: b"(" * 2**20 + b".",
    "copies of a dict": lambda command: b"}" * 2**20 + b".",
    # One mebibyte of text, to be unpacked to a million arguments, a hundred times.
    "copies of arguments": lambda command: (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00X\x00\x00\x10\x00"
        + b"x" * 2**20
        + b"q\x01"
        + b"h\x00h\x01R" * 100
        + b"."
    ),
    "a name of several lines": lambda command: stack_global("a\nb\x1b[2J", "c"),
    # One mebibyte of text, to be encoded a thousand times.
    "copies of one text": lambda command: (
        b"\x80\x02c_codecs\nencode\nq\x00X\x00\x00\x10\x00"
        + b"x" * 2**20
        + b"X\x06\x00\x00\x00latin1\x86q\x01"
        + b"h\x00h\x01R" * 1000
        + b"."
    ),
}


# Other names of the member `x_train.npy`, for some reader or system.
SIMILAR_NAMES = (
    *("x_train", "X_Train.NPY", "./x_train.npy", "a/../x_train.npy", "/x_train.npy"),
    *("x_train.npy.npy", "a\\..\\x_train.npy", "\uff58_train.npy"),
)
# (suffix, name) -> function from a shell command to the bytes of a file.
MALICIOUS_FILES = {
    (".npz", "empty"): lambda command: b"",
    (".npz", "truncated"): lambda command: mnist_like()[:300],
    (".npz", "objects"): lambda command: mnist_like(
        x_train=np.array([Call(os.system, command)] * 4, object)
    ),
    (".npz", "text"): lambda command: mnist_like(x_train=np.full((4, 8, 8), "a")),
    (".npz", "NaN"): lambda command: mnist_like(x_train=np.full((4, 8, 8), np.nan)),
    (".npz", "no images"): lambda command: mnist_like(x_train=np.zeros((0, 8, 8)), y_train=[]),
    (".npz", "other keys"): lambda command: array_archive(a=np.zeros(3)),
    (".npz", "labels missing"): lambda command: mnist_like(y_train=np.array([1])),
    (".npz", "claim of a shape"): lambda command: zip_archive(
        [
            (f"{k}.npy", npy_header((2**40, 8, 8)))
            for k in ("x_train", "y_train", "x_test", "y_test")
        ]
    ),
    (".npz", "claim of a size"): lambda command: with_false_size(
        mnist_like(), "x_train.npy", 2**32 - 2
    ),
    # Whole datasets, but for a second member that passes for the first where its size is checked.
    **{
        (".npz", f"two names: {name}"): lambda command, name=name: zip_archive(
            [*zip_members(mnist_like()).items(), (name, npy_header((1, 1, 1)))]
        )
        for name in SIMILAR_NAMES
    },
    (".npz", "one name twice"): lambda command: zip_archive(
        [*zip_members(mnist_like()).items(), ("x_tra1n.npy", npy_header((1, 1, 1)))]
    ).replace(b"x_tra1n", b"x_train"),
    (".npz", "67 MB of zeros"): lambda command: mnist_like(
        x_train=np.zeros((2**16 + 1, 32, 32), np.uint8), y_train=np.zeros(2**16 + 1, np.uint8)
    ),
    (".npz", "packed by bzip2"): lambda command: zip_archive(
        zip_members(mnist_like()).items(), zipfile.ZIP_BZIP2
    ),
    (".npz", "claim of 4 GiB"): lambda command: zip_archive(
        (zip_members(mnist_like()) | {"x_train.npy": npy_header((4, 2**15, 2**15))}).items()
    ),
    (".npz", "a header of any length"): lambda command: zip_archive(
        (zip_members(mnist_like()) | {"x_train.npy": long_header(2**24)}).items(),
        zipfile.ZIP_DEFLATED,
    ),
    (".npy", "a header of any length"): lambda command: long_header(2**24),
    (".npy", "more than its header says"): lambda command: npy_header((1, 1, 1)) + b"x",
    (".npy", "empty"): lambda command: b"",
    (".npy", "a pickle"): lambda command: pickle.dumps(Call(os.system, command)),
    (".npy", "claim of a shape"): lambda command: npy_header((2**40, 8, 8)),
    (".npy", "objects"): lambda command: npy_header((1, 1, 1), "|O"),
    (".npy", "code as header"): lambda command: npy_header(f"__import__('os').system('{command}')"),
    (".png", "empty"): lambda command: b"",
    (".png", "truncated"): lambda command: encoded_image(".png")[:60],
    (".jpg", "truncated"): lambda command: encoded_image(".jpg")[:400],
    (".bmp", "truncated"): lambda command: encoded_image(".bmp")[:400],
    (".png", "claim of 100,000 x 100,000"): lambda command: png_claiming(100_000),
    (".png", "claim of 30,000 x 30,000"): lambda command: png_claiming(30_000),
    (".png", "no image"): lambda command: b"#!/bin/sh\n" + command.encode(),
    (".csv", "no table"): lambda command: b"\x00\xff\xfe",
    (".csv", "other columns"): lambda command: b"rank,score\n0,1\n",
    (".csv", "unknown label"): lambda command: b"index,name,label\n0,a.png,7\n",
    (".csv", "a long number"): lambda command: b"index,name,label\n" + b"9" * 10_000 + b",a,0\n",
    (".csv", "a device"): lambda command: b"index,name,label\n0,/dev/zero,0\n",
    (".json", "no JSON"): lambda command: b"{",
    (".json", "a list"): lambda command: b"[1]",
    (".json", "deeply nested"): lambda command: b"[" * 100_000,
    (".json", "a list of scores"): lambda command: b'{"scores": [1]}',
    (".json", "NaN"): lambda command: (
        b'{"scores": {"mse": {"trained": {"n": 0}, "held_out": {"n": 0}, "threshold": NaN, '
        b'"pixel_threshold": 1}}}'
    ),
    (".json", "text for numbers"): lambda command: b'{"scores": {"mse": {"trained": "a"}}}',
    (".json", "labels of another type"): lambda command: b'{"command": {"valid_label": [[1]]}}',
}


class Call:
    """An object that pickles as the call of a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def zip_archive(members, compression=zipfile.ZIP_STORED):
    """The bytes of a zip archive of pairs of names and contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def zip_members(model):
    """A dict of the members of a `.keras` archive, from the bytes of the archive."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def array_archive(**arrays):
    """The bytes of a `.npz` file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def mnist_like(**changes):
    """The bytes of a tiny `.npz` file in the layout of Keras's MNIST, with some arrays replaced."""
    x = np.zeros((4, 8, 8), np.uint8)
    y = np.array([1, 1, 3, 3])
    return array_archive(**{"x_train": x, "y_train": y, "x_test": x, "y_test": y, **changes})


def npy_header(shape, dtype="|u1"):
    """The bytes of a `.npy` file whose header claims a shape, followed by a single byte of data."""
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + b"x"


def long_header(length):
    """The bytes of a `.npy` file of version 2, whose header has this length."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", length) + b" " * length


def with_false_size(data, name, size):
    """An archive whose directory claims another size for one member."""
    entry = data.rindex(name.encode()) - 46  # in the central directory
    return data[: entry + 24] + struct.pack("<I", size) + data[entry + 28 :]


def png_claiming(side):
    """The bytes of a small PNG whose header claims `side` x `side` pixels."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded_image(suffix):
    """The bytes of a 16x16 image file of random pixels."""
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    return cv2.imencode(suffix, image)[1].tobytes()
