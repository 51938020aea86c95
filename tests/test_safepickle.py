"""Hostile pickles here would leave a file behind if anything in them were run."""

import copyreg
import io
import os
import pickle
import pickletools
import struct

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.safepickle import ALLOWED, load_array

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def load(data):
    return load_array(io.BytesIO(data), "some.pickle")


ARRAYS = {
    "images": np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1),
    "bytes": np.arange(256, dtype=np.uint8),
    "big-endian": np.arange(5, dtype=">i2"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": np.arange(16.0).reshape(4, 4)[::2, ::-1],
    "scalar": np.array(3.0),
    "bools": np.array([True, False]),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_of_every_protocol_come_back(array, protocol):
    loaded = load(pickle.dumps(array, protocol))
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype.newbyteorder("=")
    loaded[...] = 0  # writable


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_spelling_of_numpy_1_is_read_too(protocol):
    data = pickle.dumps(np.arange(3), protocol)
    # The older name is two bytes shorter, and protocol 4 and up write down the lengths.
    for module in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        older = module.replace(b"_core", b"core")
        data = data.replace(bytes([len(module)]) + module, bytes([len(older)]) + older)
        data = data.replace(module, older)
    assert b"_core" not in data
    if protocol >= 4:  # The frame has become shorter.
        data = data[:3] + struct.pack("<Q", len(data) - 11) + data[11:]
    np.testing.assert_array_equal(load(data), np.arange(3))


def test_pickle_of_python_2_is_read():
    # pickle.dumps(numpy.array([1, 2], "u1"), 2) under Python 2.7 and NumPy 1.16
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b"
        b"\x87Rq\x03(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ"
        b"\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x02\x01\x02tb."
    )
    np.testing.assert_array_equal(load(data), np.array([1, 2], np.uint8))


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
    names = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    return b"\x80\x04" + names + b"\x93."


HOSTILE = {
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
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickle_is_refused_and_not_run(hostile, tmp_path):
    mark = tmp_path / "executed"
    copyreg.add_extension("os", "system", 0x7B)
    try:
        with pytest.raises(InputError, match=r"^some\.pickle ") as refusal:
            load(hostile(f"touch {mark}"))
    finally:
        copyreg.remove_extension("os", "system", 0x7B)
    assert not mark.exists()
    assert "\n" not in str(refusal.value)


def test_payloads_of_these_tests_would_do_harm_if_they_were_run(tmp_path):
    mark = tmp_path / "executed"
    pickle.loads(HOSTILE["os.system"](f"touch {mark}"))  # noqa: S301
    assert mark.exists()


@pytest.mark.parametrize(
    ("name", "module_and_function"),
    [
        ("os.system", f"{os.name}.system"),
        ("numpy.load", "numpy.load"),
        ("builtins.eval", "builtins.eval"),
    ],
)
def test_refusal_names_what_was_asked_for(name, module_and_function):
    with pytest.raises(InputError, match=module_and_function.replace(".", r"\.")):
        load(HOSTILE[name]("true"))


def test_refused_pickle_leaves_the_reader_as_it_was():
    for hostile in HOSTILE.values():
        with pytest.raises(InputError):
            load(hostile("true"))
    np.testing.assert_array_equal(load(pickle.dumps(np.arange(3))), np.arange(3))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickle_cut_short_anywhere_is_refused(protocol):
    data = pickle.dumps(np.arange(6, dtype=np.float32).reshape(2, 3), protocol)
    for length in range(len(data) - 1):
        with pytest.raises(InputError):
            load(data[:length])


# Each claims far more than the machine has; each is a few bytes long.
CLAIMS = {
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"x.",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"x.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"x.",
    "memo": b"Nr\xff\xff\xff\x7f.",
    "shape": pickle.dumps(np.zeros(7, np.uint8), 2).replace(b"K\x07\x85", b"J\xff\xff\xff\x7f\x85"),
    "whole number": b"\x80\x02\x8b\xff\xff\xff\x7fx.",
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_huge_claim_of_a_small_file_takes_no_memory(claim):
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            load(claim)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_every_allowed_name_is_one_that_numpy_writes():
    """The list grows with NumPy's own pickles and with nothing else."""
    written = set()
    for protocol in PROTOCOLS:
        for array in ARRAYS.values():
            strings = []
            for opcode, argument, _ in pickletools.genops(pickle.dumps(array, protocol)):
                if opcode.name == "GLOBAL":
                    written.add(tuple(argument.split(" ")))
                elif opcode.name == "STACK_GLOBAL":
                    written.add(tuple(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    names = {(module.replace("_core", "core"), name) for module, name in ALLOWED}
    assert {name for _, name in written} == {name for _, name in names}
