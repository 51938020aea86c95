"""Safe reading of PyTorch's files; the malicious ones would create a file if any code in them ran.

The files are made here, by Python's own pickle with classes that are registered as PyTorch's.
"""

import collections
import io
import pickle
import pickletools
import re
import struct
import sys
import types

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.storage.safe_torch import ALLOWED, HEADER, OPCODES, read_state_dict
from pyimagesearch.torture.malicious_files import MALICIOUS_PICKLES, call_by_name

SIZES = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4, "long": 4}}


class Storage:
    """What a tensor's pickle names by a persistent id: `("storage", type, key, ...)`."""

    def __init__(self, kind, key, numbers, count=None, pid=None):
        self.numbers = np.asarray(numbers)
        count = len(self.numbers) if count is None else count
        self.key, self.pid = key, pid or ("storage", kind, key, "cpu", count, None)


class Tensor:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __reduce__(self):
        hooks = collections.OrderedDict()
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (*self.arguments, False, hooks)


@pytest.fixture
def torch(monkeypatch):
    """A module `torch` with the few names that its files have, and one that loads a file."""
    package = types.ModuleType("torch")
    package._utils = types.ModuleType("torch._utils")
    names = [(package, name) for name in ("FloatStorage", "LongStorage", "HalfStorage", "load")]
    for module, name in [*names, (package._utils, "_rebuild_tensor_v2")]:
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", package._utils)
    return package


def write(state, storages=(), sizes=SIZES, counts=None, end=b""):
    """The bytes of a file, as `torch.save` wrote it before version 1.6.

    Args:
        state: The dict of tensors, or the bytes of its pickle.
        storages: The `Storage`s of its tensors.
        sizes: The third pickle.
        counts: What stands before the numbers of each storage, by default how many they are.
        end: What follows the last storage.
    """
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 2)
    pickler.persistent_id = lambda value: value.pid if isinstance(value, Storage) else None
    if not isinstance(state, bytes):
        pickler.dump(state)
        state = file.getvalue()
    written = HEADER + pickle.dumps(sizes, 2) + state
    written += pickle.dumps([storage.key for storage in storages], 2)
    counts = counts or [len(storage.numbers) for storage in storages]
    for storage, count in zip(storages, counts, strict=True):
        written += struct.pack("<q", count) + storage.numbers.tobytes()
    return written + end


def one_tensor(torch, shape=(2, 3), strides=(3, 1), offset=0, **storage):
    """A state dict of one tensor, of a storage of six numbers, and that storage."""
    numbers = Storage(torch.FloatStorage, "7", np.arange(6, dtype="<f4"), **storage)
    return {"weight": Tensor(numbers, offset, shape, strides)}, numbers


def read(data):
    return read_state_dict(data, "weights.pth")


def test_state_dict_comes_back_in_its_order(torch):
    floats = Storage(torch.FloatStorage, "2", np.arange(24, dtype="<f4"))
    longs = Storage(torch.LongStorage, "1", np.array([2**40], "<i8"))
    state = collections.OrderedDict(
        whole=Tensor(floats, 0, (2, 3, 4), (12, 4, 1)),
        scalar=Tensor(longs, 0, (), ()),
        transposed=Tensor(floats, 12, (4, 3), (1, 4)),
        empty=Tensor(floats, 24, (0, 5), (5, 1)),
    )
    # As a module's state dict has it: the versions of its parts, beside the items.
    state._metadata = collections.OrderedDict({"": {"version": 1}, "bn": {"version": 2}})
    found = read(write(state, [longs, floats]))
    assert list(found) == ["whole", "scalar", "transposed", "empty"]
    np.testing.assert_array_equal(found["whole"], np.arange(24).reshape(2, 3, 4))
    np.testing.assert_array_equal(found["transposed"], np.arange(12, 24).reshape(3, 4).T)
    assert found["scalar"] == 2**40
    assert found["scalar"].dtype == np.int64
    assert found["whole"].dtype == np.float32
    assert found["empty"].shape == (0, 5)
    assert not found["whole"].flags.writeable


def test_allow_list_is_these_four_names():
    assert set(ALLOWED) == {
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch", "FloatStorage"),
        ("torch", "LongStorage"),
    }


def test_allowed_opcodes_are_these():
    """Written out: one more is a decision, to be seen here too."""
    names = {pickletools.code2op[chr(code)].name for code in OPCODES}
    assert len(names) == len(OPCODES)
    listed = (
        "PROTO STOP MARK GLOBAL REDUCE BINPERSID BINPUT LONG_BINPUT BINGET LONG_BINGET "
        "NONE NEWTRUE NEWFALSE BINUNICODE BININT BININT1 BININT2 LONG1 "
        "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT"
    )
    assert " ".join(sorted(names)) == " ".join(sorted(listed.split(" ")))


def refusal(data):
    """The message with which a file is refused, which is one line."""
    with pytest.raises(InputError, match=r"^weights\.pth ") as refused:
        read(data)
    assert "\n" not in str(refused.value)
    return str(refused.value)


REFUSED_NAMES = {
    "os.system": lambda mark: call_by_name("os", "system", f"touch {mark}"),
    "torch.load": lambda mark: call_by_name("torch", "load", mark),
    "torch.HalfStorage": lambda mark: call_by_name("torch", "HalfStorage", mark),
    "torch._utils._rebuild_parameter": lambda mark: call_by_name(
        "torch._utils", "_rebuild_parameter", mark
    ),
    "collections.OrderedDict.fromkeys": lambda mark: call_by_name(
        "collections", "OrderedDict.fromkeys", mark
    ),
}


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_pickle_that_names_anything_else_is_refused_by_that_name(name, torch, tmp_path):
    mark = tmp_path / "executed"
    message = refusal(write(REFUSED_NAMES[name](mark)))
    assert f"asks for {name}:" in message
    assert not mark.exists()


@pytest.mark.parametrize("place", ["sizes", "keys"])
def test_pickle_beside_the_dict_is_refused_by_the_same_list(place, tmp_path):
    mark = tmp_path / "executed"
    call = REFUSED_NAMES["os.system"](mark)
    empty = pickle.dumps(collections.OrderedDict(), 2)
    data = HEADER + (call if place == "sizes" else pickle.dumps(SIZES, 2) + empty + call)
    assert "asks for os.system:" in refusal(data)
    assert not mark.exists()


@pytest.mark.parametrize("malicious", MALICIOUS_PICKLES.values(), ids=MALICIOUS_PICKLES)
def test_malicious_pickle_is_refused_and_not_run(malicious, tmp_path):
    mark = tmp_path / "executed"
    refusal(write(malicious(f"touch {mark}")))
    assert not mark.exists()


PERSISTENT_IDS = {
    "module": ("module", None, "7", "cpu", 6, None),
    "no tuple": "7",
    "too short": ("storage", None, "7"),
}


@pytest.mark.parametrize("pid", PERSISTENT_IDS.values(), ids=PERSISTENT_IDS)
def test_persistent_id_of_another_kind_is_refused(pid, torch):
    state, storage = one_tensor(torch, pid=pid)
    message = refusal(write(state, [storage]))
    assert "asks for a persistent id of another kind than storage" in message


@pytest.mark.parametrize("wrong", [{"view": ("8", 0, 6)}, {"count": "6"}, {"kind": "<f4"}])
def test_storage_of_another_kind_is_refused(wrong, torch):
    parts = {"kind": torch.FloatStorage, "key": "7", "device": "cpu", "count": 6, "view": None}
    state, storage = one_tensor(torch, pid=("storage", *(parts | wrong).values()))
    assert "asks for another kind of storage" in refusal(write(state, [storage]))


@pytest.mark.parametrize("count", [7, 2**40, 2**62, -1])
def test_storage_longer_than_the_bytes_is_refused(count, torch):
    state, storage = one_tensor(torch, count=count)
    message = refusal(write(state, [storage], counts=[count]))
    assert f"asks for a storage of {count} numbers in 24 bytes" in message


def test_storage_of_another_size_than_declared_is_refused(torch):
    state, storage = one_tensor(torch)
    message = refusal(write(state, [storage], counts=[5]))
    assert "asks for a storage of another size than declared" in message


def test_one_storage_declared_twice_differently_is_refused(torch):
    state, storage = one_tensor(torch)
    other, _ = one_tensor(torch, count=5)
    message = refusal(write({**state, "other": other["weight"]}, [storage]))
    assert "asks for one storage in two forms" in message


BEYOND = {
    "shape": {"shape": (3, 3)},
    "offset": {"offset": 1},
    "strides": {"strides": (4, 1)},
    "strides that overflow": {"shape": (5,), "strides": (2**60,)},
    "one number many times": {"shape": (2**40,), "strides": (0,)},
}


@pytest.mark.parametrize("form", BEYOND.values(), ids=BEYOND)
def test_tensor_beyond_its_storage_is_refused(form, torch):
    state, storage = one_tensor(torch, **{"shape": (2, 3), "strides": (3, 1), **form})
    message = refusal(write(state, [storage]))
    assert "asks for a tensor beyond the 6 numbers of its storage" in message


@pytest.mark.parametrize(
    "form",
    [
        {"shape": (-1, 3)},
        {"strides": (-1, 1)},
        {"offset": -1},
        {"shape": (True, 3)},
        {"strides": (3,)},
        {"shape": (1,) * 65, "strides": (1,) * 65},
    ],
)
def test_tensor_of_sizes_that_are_none_is_refused(form, torch):
    state, storage = one_tensor(torch, **{"shape": (2, 3), "strides": (3, 1), **form})
    assert "asks for a tensor of another form" in refusal(write(state, [storage]))


# Tuples nested 60 deep, made without the opcode POP: hashing or printing them takes 2**60 steps.
NESTED = b"\x80\x02)q\x00" + b"".join(
    bytes([*b"h", i, *b"h", i, *b"\x86q", i + 1]) for i in range(60)
)
NO_STATE_DICTS = {
    "a list": (pickle.dumps([1], 2), "a value of type list"),
    "a number": (pickle.dumps({"weight": 1}, 2), "a value of type int"),
    "a key that is no name": (pickle.dumps({1: 1, 2: 2}, 2), "a key of type int"),
    "a key of nested tuples": (NESTED + b"}h\x3cNs.", "a key of type tuple"),
    "keys of nested tuples": (NESTED + b"}(h\x3cNh\x3cNu.", "a key of type tuple"),
    "a storage of nested tuples": (
        NESTED + b"(X\x07\x00\x00\x00storageh\x3ch\x3ch\x3ch\x3cNtQ.",
        "a key of type tuple",
    ),
    "a changed function": (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aNsb.",
        "a state of something else than a dict",
    ),
    "another protocol": (pickle.dumps([print], 4), "the opcode FRAME"),
}


@pytest.mark.parametrize(("state", "reason"), NO_STATE_DICTS.values(), ids=NO_STATE_DICTS)
def test_what_is_no_state_dict_is_refused_by_its_reason(state, reason):
    assert f"asks for {reason}" in refusal(write(state))


def test_file_in_another_order_of_bytes_is_refused(torch):
    state, storage = one_tensor(torch)
    data = write(state, [storage], sizes={**SIZES, "little_endian": False})
    assert "asks for another order of bytes" in refusal(data)


def test_file_truncated_anywhere_or_with_more_behind_it_is_refused(torch):
    state, storage = one_tensor(torch)
    data = write(state, [storage])
    assert list(read(data)) == ["weight"]
    for length in range(len(data)):
        assert re.search(r"whole file|refused", refusal(data[:length]))
    assert "is not a whole file" in refusal(data + b"\0")


def test_file_begins_as_pytorch_has_written_it_since_its_first_version():
    """Its magic number and version 1001, each a pickle of protocol 2."""
    assert HEADER == b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
