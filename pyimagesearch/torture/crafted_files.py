"""Files beside a model with one thing wrong: each value, array or cell in turn, in every kind of way."""

import copy
import io
import itertools
import json

import numpy as np

from pyimagesearch.torture.malicious_files import array_archive

MISSING = object()
# What takes the place of a value of a JSON object, in turn.
WRONG_VALUES = (
    MISSING,
    *(None, True, -1, 0, 0.5, 1e308, 2**63, 10**400, float("nan"), float("-inf")),
    *("", "x", "\ud800", "x" * 10_000, [], [None], [[1]], {}, {"x": None}, [1] * 1000),
)


def wrong_values(content):
    """Yield copies of a JSON object, each with another of its values wrong or missing, and its name.

    Args:
        content: A dict of dicts and plain values; lists count as values.

    Example:
        >>> list(wrong_values({"a": {"b": 1}}))
        [('a: missing', {}), ('a.b: None', {'a': {'b': None}})]
    """
    for path, value in zip(_paths(content), itertools.cycle(WRONG_VALUES), strict=False):
        changed = copy.deepcopy(content)
        if value is MISSING:
            del _parent(changed, path)[path[-1]]
        else:
            _parent(changed, path)[path[-1]] = value
        said = "missing" if value is MISSING else ascii(value)[:20]
        yield f"{'.'.join(path)}: {said}", changed


def _paths(content, before=()):
    for key, value in content.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from _paths(value, (*before, key))


def _parent(content, path):
    for key in path[:-1]:
        content = content[key]
    return content


# Name -> function from an array to another that does not belong in its place.
WRONG_ARRAYS = {
    "empty": lambda a: a[:0] if a.ndim else np.zeros(0),
    "a scalar": lambda a: np.float32(1),
    "flat": lambda a: a.ravel(),
    "one more axis": lambda a: a[None],
    "twice as long": lambda a: np.concatenate([np.atleast_1d(a)] * 2),
    "not a number": lambda a: np.full(a.shape, np.nan),
    "infinite": lambda a: np.full(a.shape, -np.inf, np.float32),
    "text": lambda a: np.full(a.shape, "x"),
    "complex": lambda a: np.full(a.shape, 1j),
    "whole numbers": lambda a: np.full(a.shape, -1, np.int8),
    "huge": lambda a: np.full(a.shape, 1e300),
    "zeros": lambda a: np.zeros(a.shape),
    "40 million zeros": lambda a: np.zeros(40_000_000, np.uint8),
}


def wrong_arrays(data, of_each):
    """Yield the bytes of `.npz` files with one array wrong, missing or too many, each with its name.

    Args:
        data: The bytes of an intact one.
        of_each: In how many ways each array is wrong, in turn with the others.
    """
    with np.load(io.BytesIO(data)) as archive:
        arrays = dict(archive)
    turns = itertools.cycle(WRONG_ARRAYS.items())
    for name, array in arrays.items():
        for kind, change in itertools.islice(turns, of_each):
            yield f"{name}: {kind}", array_archive(**{**arrays, name: change(array)})
        yield f"{name} missing", array_archive(**{k: v for k, v in arrays.items() if k != name})
        yield f"{name} twice", array_archive(**arrays, **{name.upper(): array})


def json_bytes(content):
    """The bytes of a JSON object, which may have the numbers that JSON does not have."""
    return json.dumps(content).encode()
