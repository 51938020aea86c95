"""Safe reading of tensors from PyTorch's format of before version 1.6, without PyTorch.

Such a file is five pickles one after the other (a magic number, the version of the format, the
sizes of C's types, the dict of tensors, and the list of the keys of the storages), and then, for
each key, the count of its numbers as int64 and the numbers. (PyTorch, `torch/serialization.py`,
`_legacy_save`.)

A pickle is a program. Here it has the few opcodes of which a dict of tensors is made, and can name
the four things of `ALLOWED` alone, each replaced by a value or function of ours that only records.
"""

import io
import math
import pickle
import pickletools
import struct
from typing import NamedTuple

import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage.safe_pickle import MAX_DIMENSIONS

# The magic number and the version, as every file of the format begins.
HEADER = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)


class _Unsafe(Exception):
    """The file contains something that no dict of tensors needs."""


class _Tensor(NamedTuple):
    """A tensor, as recorded from the pickle."""

    key: str
    offset: int
    shape: tuple
    strides: tuple


def _ordered_dict():
    # Without arguments: dict(pairs) would hash keys that nobody has checked.
    return {}


def _rebuild_tensor(storage, offset, shape, strides, *_):
    # What follows are flags and hooks of training.
    return _Tensor(storage, offset, shape, strides)


# An exact list, never a prefix. Types of storage stand for their dtypes.
ALLOWED = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}

# What protocol 2, which PyTorch uses, writes for such a dict. The three that change an object are
# replaced below; those that make one from a class are left out.
OPCODES = (
    *(pickle.PROTO + pickle.STOP + pickle.MARK + pickle.GLOBAL + pickle.REDUCE + pickle.BINPERSID),
    *(pickle.BINPUT + pickle.LONG_BINPUT + pickle.BINGET + pickle.LONG_BINGET),
    *(pickle.NONE + pickle.NEWTRUE + pickle.NEWFALSE + pickle.BINUNICODE),
    *(pickle.BININT + pickle.BININT1 + pickle.BININT2 + pickle.LONG1),
    *(pickle.EMPTY_TUPLE + pickle.TUPLE + pickle.TUPLE1 + pickle.TUPLE2 + pickle.TUPLE3),
    *(pickle.EMPTY_LIST + pickle.APPEND + pickle.APPENDS + pickle.EMPTY_DICT),
)


def _check_key(key):
    # Hashing nested tuples can take forever.
    if type(key) is not str:
        raise _Unsafe(f"a key of type {type(key).__name__.lstrip('_')}")


def _refuse(opcode):
    def refuse(_):
        raise _Unsafe(f"the opcode {opcode.name}")

    return refuse


# The unpickler written in Python: the one in C allocates memory for any size that the file
# declares.
class _Unpickler(pickle._Unpickler):
    def __init__(self, file):
        super().__init__(file)
        self.storages = {}  # key -> (dtype, declared count)

    def find_class(self, module, name):
        if (module, name) not in ALLOWED:
            raise _Unsafe(f"{module[:100]}.{name[:100]}")
        return ALLOWED[module, name]

    def persistent_load(self, pid):
        # ("storage", type, key, device, count, view)
        if type(pid) is not tuple or len(pid) != 6 or pid[0] != "storage":
            raise _Unsafe("a persistent id of another kind than storage")
        _, dtype, key, _, count, view = pid
        _check_key(key)
        # Compared by type first: nested tuples would take forever here as well.
        if not isinstance(dtype, np.dtype) or type(count) is not int or view is not None:
            raise _Unsafe("another kind of storage")
        if self.storages.setdefault(key, (dtype, count)) != (dtype, count):
            raise _Unsafe("one storage in two forms")
        return key

    def load_setitem(self):
        _check_key(self.stack[-2])
        super().load_setitem()

    def load_setitems(self):
        for key in self.stack[::2]:
            _check_key(key)
        super().load_setitems()

    def load_build(self):
        # Beside its items a state dict has the versions of its modules, which are not needed.
        if type(self.stack[-2]) is not dict:
            raise _Unsafe("a state of something else than a dict")
        self.stack.pop()

    dispatch = (
        {ord(opcode.code): _refuse(opcode) for opcode in pickletools.opcodes}
        | {opcode: pickle._Unpickler.dispatch[opcode] for opcode in OPCODES}
        | {
            pickle.SETITEM[0]: load_setitem,
            pickle.SETITEMS[0]: load_setitems,
            pickle.BUILD[0]: load_build,
        }
    )


def read_state_dict(data, name):
    """Read a dict of tensors, without running any code in the file.

    Args:
        data: The bytes of the file.
        name: Name of the file in messages.

    Returns:
        A dict from the names of tensors to arrays, float32 or int64 in little-endian order, in the
        order of the file. They are read-only views of `data` and take no memory of their own; each
        has at most as many numbers as its storage.

    Raises:
        InputError: If the bytes are not such a file, are truncated or go on after the last
            storage, or ask for anything but tensors of the two dtypes.

    Example:
        >>> read_state_dict(HEADER + pickle.dumps(print, 2), "weights.pth")
        Traceback (most recent call last):
        ...
        pyimagesearch.InputError: weights.pth refused: ... it asks for __builtin__.print
    """
    try:
        if not data.startswith(HEADER):
            raise ValueError("another header")
        return _read(data)
    except _Unsafe as reason:
        raise InputError(
            f"{name} refused: expected a dict of PyTorch tensors, but it asks for {reason}: take "
            "the file from where it was published"
        ) from None
    except Exception as fault:
        # A broken pickle can raise any exception: there are too many kinds to list.
        raise InputError(
            f"{name} is not a whole file of tensors in PyTorch's format of before version 1.6 "
            f"({type(fault).__name__}): take it from where it was published"
        ) from None


def _read(data):
    file = io.BytesIO(data)
    file.seek(len(HEADER))
    sizes = _Unpickler(file).load()
    if type(sizes) is not dict or sizes.get("little_endian") is not True:
        raise _Unsafe("another order of bytes")
    unpickler = _Unpickler(file)
    tensors = unpickler.load()
    if unpickler.stack:
        raise _Unsafe("more than one value")
    if type(tensors) is not dict:
        raise _Unsafe(f"a value of type {type(tensors).__name__.lstrip('_')}")
    storages = _read_storages(data, _Unpickler(file).load(), file.tell(), unpickler.storages)
    return {name: _build(tensor, storages) for name, tensor in tensors.items()}


def _read_storages(data, keys, position, declared):
    """The numbers of each storage, arrays `(count,)`."""
    storages = {}
    for key in keys:
        _check_key(key)
        dtype, declared_count = declared[key]
        (count,) = struct.unpack_from("<q", data, position)
        position += 8
        if count != declared_count:
            raise _Unsafe("a storage of another size than declared")
        if not 0 <= count * dtype.itemsize <= len(data) - position:
            raise _Unsafe(f"a storage of {count} numbers in {len(data) - position} bytes")
        storages[key] = np.frombuffer(data, dtype, count, position)
        position += count * dtype.itemsize
    if position != len(data):
        raise ValueError("bytes after the last storage")
    return storages


def _build(tensor, storages):
    """Check a recorded tensor and build its array."""
    if type(tensor) is not _Tensor:
        raise _Unsafe(f"a value of type {type(tensor).__name__}")
    key, offset, shape, strides = tensor
    _check_key(key)
    if (
        type(shape) is not tuple
        or type(strides) is not tuple
        or len(shape) != len(strides)
        or len(shape) > MAX_DIMENSIONS
        or any(type(size) is not int or size < 0 for size in (offset, *shape, *strides))
    ):
        raise _Unsafe("a tensor of another form")
    numbers = storages[key]
    # Reckoned here, in integers of any size: NumPy's own test of strides can overflow.
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    count = math.prod(shape)
    if count > numbers.size or (count and last >= numbers.size):
        raise _Unsafe(f"a tensor beyond the {numbers.size} numbers of its storage")
    return np.lib.stride_tricks.as_strided(
        numbers[offset:], shape, [step * numbers.itemsize for step in strides]
    )
