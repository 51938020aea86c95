"""Safe loading of arrays from pickles of unknown origin.

A pickle is a program: `pickle.load` calls any function that it names. Here it can name only the
few of which a NumPy array is made, by only the few opcodes that pickled arrays have, and the
functions are replaced by others that only record their arguments. The array is built at the end,
after all parts have been checked. (For the exact list of names, see "Restricting Globals" in
Python's documentation of `pickle`.)
"""

import math
import os
import pickle
import pickletools

import numpy as np

from pyimagesearch import InputError

# NumPy's own bounds of the name of a dtype and of the number of dimensions.
MAX_DTYPE_LENGTH = 8
MAX_DIMENSIONS = 64


class _Unsafe(Exception):
    """The pickle contains something that no array needs."""


class _Parts:
    """The parts of an array, as recorded from the pickle."""

    __slots__ = ("shape", "dtype", "order", "axes", "data")

    def __setstate__(self, state):
        # (version, shape, dtype, Fortran order, bytes)
        _, self.shape, self.dtype, fortran, self.data = state
        self.order, self.axes = "F" if fortran else "C", None


class _Dtype:
    """A dtype, as recorded from the pickle."""

    __slots__ = ("name", "byteorder")

    def __setstate__(self, state):
        # (version, byte order, subarray, names, fields, size, alignment, flags)
        if len(state) < 7 or any(part is not None for part in state[2:5]):
            raise _Unsafe("a structured element type")
        self.byteorder = state[1]


def _ndarray(*args):
    # A direct call of numpy.ndarray could allocate any amount of memory.
    raise _Unsafe("a call of numpy.ndarray")


def _dtype(name, *_):
    dtype = _Dtype()
    dtype.name, dtype.byteorder = name, "|"
    return dtype


def _reconstruct(*_):
    return _Parts()


def _frombuffer(data, dtype, shape, order, axes=None):
    parts = _Parts()
    parts.shape, parts.dtype, parts.data = shape, dtype, data
    parts.order, parts.axes = order, axes
    return parts


def _encode(text, encoding):
    # Older protocols write bytes as text. They are encoded once, at the end: a pickle could repeat
    # the call, and take as much memory each time.
    if type(text) is not str or encoding != "latin1":
        raise _Unsafe("another encoding than latin1")
    return text


# NumPy 1 calls its inner package `core`, NumPy 2 `_core`. An exact list, never a prefix.
ALLOWED = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _dtype,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}

# The opcodes of which pickled arrays are made, by any protocol of Python 2 and 3. None makes a list,
# a dict or a set: hashing nested tuples, to put them into a dict, can take forever.
OPCODES = """
    PROTO FRAME MARK STOP GLOBAL STACK_GLOBAL REDUCE BUILD
    PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWTRUE NEWFALSE
    INT BININT BININT1 BININT2 LONG LONG1 UNICODE BINUNICODE SHORT_BINUNICODE
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8
"""
# An array of 64 dimensions, the most that NumPy has, takes some 130.
MAX_OPCODES = 1000


class _Handlers(dict):
    """The handlers of opcodes, which can be asked for `MAX_OPCODES` of them."""

    left = MAX_OPCODES

    def __getitem__(self, opcode):
        self.left -= 1
        if self.left < 0:
            raise _Unsafe(f"more than {MAX_OPCODES:,} opcodes")
        return super().__getitem__(opcode)

    def __missing__(self, opcode):
        raise _Unsafe(f"the opcode {pickletools.code2op[chr(opcode)].name}, which no array needs")


class _Reader:
    """A file that is never asked for more bytes than it has left: they would be allocated first."""

    def __init__(self, file):
        self.file, self.readline = file, file.readline
        start = file.tell()
        self.end = file.seek(0, os.SEEK_END)
        file.seek(start)

    def read(self, size):
        if size > self.end - self.file.tell():
            raise EOFError
        return self.file.read(size)


# The unpickler written in Python can be restricted to some opcodes. Most bytes of a pickled array
# are one string, so that it is as fast as the one in C.
class _Unpickler(pickle._Unpickler):
    def __init__(self, file):
        # Python 2 wrote bytes as text; latin1 brings them back one to one.
        super().__init__(_Reader(file), encoding="latin1")
        self.dispatch = _Handlers(HANDLERS)

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise _Unsafe(ascii(f"{module[:100]}.{name[:100]}")[1:-1])
        return ALLOWED[module, name]

    def load_reduce(self):
        # Text of any length would be unpacked to as many arguments, again at each call.
        if type(self.stack[-1]) is not tuple:
            raise _Unsafe("a call without a tuple of arguments")
        super().load_reduce()

    def load_build(self):
        if type(self.stack[-2]) not in (_Parts, _Dtype):
            raise _Unsafe("a change to something else than an array")
        super().load_build()


HANDLERS = {
    **{
        code: pickle._Unpickler.dispatch[code]
        for name in OPCODES.split()
        for code in getattr(pickle, name)
    },
    pickle.REDUCE[0]: _Unpickler.load_reduce,
    pickle.BUILD[0]: _Unpickler.load_build,
    # The handler of bytearrays takes memory for any length before it reads.
    pickle.BYTEARRAY8[0]: _Unpickler.load_binbytes8,
}


def load_array(file, name):
    """Read a pickled NumPy array, without running any code in the file.

    Args:
        file: Binary file, open for reading, that can be sought in.
        name: Name of the file in messages.

    Returns:
        The array, of a boolean, integer or floating dtype in native byte order, writable. Its size
        is bounded by the size of the file.

    Raises:
        InputError: If the file is not a pickle, is truncated, names a function that no array
            needs, or contains anything but one array of numbers.

    Example:
        >>> import io
        >>> load_array(io.BytesIO(pickle.dumps(np.arange(3))), "three.pickle")
        array([0, 1, 2])
        >>> load_array(io.BytesIO(pickle.dumps(print)), "print.pickle")
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: print.pickle refused: ... it asks for builtins.print
    """
    try:
        return _build(_Unpickler(file).load())
    except _Unsafe as reason:
        raise InputError(
            f"{name} refused: expected a pickle of one NumPy array of numbers, but it asks for "
            f"{reason}"
        ) from None
    except (MemoryError, RecursionError):
        raise InputError(f"{name} refused: reading it would take too much memory") from None
    except Exception as fault:
        # A broken pickle can raise any exception: there are too many kinds to list.
        raise InputError(
            f"{name} is not a whole pickle of a NumPy array ({type(fault).__name__}): write it "
            "again with train_unsupervised_autoencoder.py or pickle.dump(array, file)"
        ) from None


def _build(parts):
    """Check the recorded parts and build the array."""
    if type(parts) is not _Parts:
        raise _Unsafe(f"a value of type {type(parts).__name__.lstrip('_')}")
    if type(parts.dtype) is not _Dtype or parts.dtype.byteorder not in ("<", ">", "|", "="):
        raise _Unsafe("an unknown element type")
    # Checked before use: in a malicious pickle the name can be anything, even nested tuples.
    if type(parts.dtype.name) is not str or len(parts.dtype.name) > MAX_DTYPE_LENGTH:
        raise _Unsafe("an unknown element type")
    dtype = np.dtype(parts.dtype.name)
    if dtype.kind not in "buif":
        raise _Unsafe(f"elements of type {dtype}")
    if parts.dtype.byteorder != "|":
        dtype = dtype.newbyteorder(parts.dtype.byteorder)
    shape = parts.shape
    if (
        type(shape) is not tuple
        or len(shape) > MAX_DIMENSIONS
        or any(type(size) is not int or not 0 <= size < 2**63 for size in shape)
    ):
        raise _Unsafe("a shape that is no tuple of sizes")
    data = parts.data.encode("latin1") if type(parts.data) is str else parts.data
    if type(data) is not bytes or math.prod(shape) * dtype.itemsize != len(data):
        raise _Unsafe(f"an array of shape {shape} with another number of bytes")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if parts.order == "F" else "C")
    if parts.axes is not None:
        array = array.transpose(parts.axes)
    return array.astype(dtype.newbyteorder("="), order="C")
