"""How are files made that no sound program would write, byte by byte?"""

import io
import struct
import zipfile
import zlib

import cv2
import numpy as np


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
