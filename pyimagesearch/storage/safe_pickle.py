"""Safe loading of arrays from pickles of unknown origin.

A pickle is a program: `pickle.load` calls any function that it names. Here it can name only the
few of which a NumPy array is made, and these are replaced by functions that only record their
arguments. The array is built at the end, after all parts have been checked. (For the exact list of
names, see "Restricting Globals" in Python's documentation of `pickle`.)
"""

import math
import pickle

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


class _Function:
    """The replacement of an allowed function. It can be called, and it can't be changed."""

    __slots__ = ("call",)

    def __init__(self, call):
        object.__setattr__(self, "call", call)

    def __call__(self, *args):
        return self.call(*args)

    def __setattr__(self, name, value):
        raise _Unsafe("a change to a function")

    __setstate__ = None


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


def _refuse_dict(_):
    # Hashing nested tuples, to put them into a dict or a set, can take forever.
    raise _Unsafe("a dict or a set, which no array has")


# The opcodes that put an item into a dict or a set.
_DICT_OPCODES = (
    *(pickle.DICT + pickle.SETITEM + pickle.SETITEMS),
    *(pickle.ADDITEMS + pickle.FROZENSET),
)


# The unpickler written in Python: the one in C allocates memory for any size that the file
# declares. Most bytes of a pickled array are one string, so that it is as fast.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise _Unsafe(f"{module[:100]}.{name[:100]}")
        return _Function(ALLOWED[module, name])

    def persistent_load(self, pid):
        raise _Unsafe("a persistent id")

    def get_extension(self, code):
        raise _Unsafe("a copyreg extension")

    dispatch = pickle._Unpickler.dispatch | dict.fromkeys(_DICT_OPCODES, _refuse_dict)


def load_array(file, name):
    """Read a pickled NumPy array, without running any code in the file.

    Args:
        file: Binary file, open for reading.
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
        # Python 2 wrote bytes as text; latin1 brings them back one to one.
        parts = _Unpickler(file, encoding="latin1").load()
        return _build(parts)
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
    if type(data) not in (bytes, bytearray) or math.prod(shape) * dtype.itemsize != len(data):
        raise _Unsafe(f"an array of shape {shape} with another number of bytes")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if parts.order == "F" else "C")
    if parts.axes is not None:
        array = array.transpose(parts.axes)
    return array.astype(dtype.newbyteorder("="), order="C")
