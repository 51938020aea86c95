"""Small files: CSV and JSON, and checks of .npz archives."""

import csv
import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pyimagesearch import InputError
from pyimagesearch.storage import ownership

# Bytes to which an array in a `.npz` file may unpack, at most.
MAX_ARRAY_BYTES = 4_000_000_000
# Bytes of a JSON file that are read, at most; the settings of a model take a few thousand.
MAX_JSON_BYTES = 2**26


def check_unpacked_sizes(archive, names, max_bytes=MAX_ARRAY_BYTES):
    """Check the sizes of arrays in a `.npz` file before any is unpacked.

    A few bytes on disk can unpack to a thousand times as many.

    Args:
        archive: The `numpy.lib.npyio.NpzFile`.
        names: Names of the arrays to check.
        max_bytes: Bytes to which each may unpack, at most.

    Raises:
        ValueError: If one would unpack to more.
    """
    for name in names:
        size = archive.zip.getinfo(f"{name}.npy").file_size
        if size > max_bytes:
            raise ValueError(f"{name} would unpack to {size:,} bytes; at most {max_bytes:,} may be")


@contextmanager
def open_for_reading(path):
    """Open a file for reading in binary, with an `InputError` if it can't be read."""
    try:
        with Path(path).open("rb") as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise InputError(f"expected a file, found the folder {path}: name a file") from None
    except OSError as fault:
        raise InputError(f"cannot read {path}: {fault.strerror or fault}") from None


def save_csv(path, fields, rows):
    """Write a table as CSV in UTF-8 with a header line, marked by its line ends."""
    records = []
    # With these line ends, so that a field with either character in it is quoted.
    writer = csv.writer(SimpleNamespace(write=records.append), lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows(rows)
    text = "".join(record.removesuffix("\r\n") + "\n" for record in records)
    Path(path).write_bytes(ownership.mark_line_ends(text).encode("utf-8", "surrogateescape"))


def save_json(path, content):
    """Write a dict as JSON with the mark of the suite.

    Raises:
        ValueError: If it contains NaN or infinity, which JSON does not have.
    """
    Path(path).write_bytes(as_json(content).encode())


def as_json(content):
    """Format a dict as a JSON object that begins with the mark of the suite.

    Example:
        >>> as_json({"seed": 1}).split()[1:3]
        ['"written_by":', '"written-by:pyimagesearch",']
    """
    marked = {**ownership.WRITTEN_BY, **content, **ownership.WRITTEN_BY}
    return json.dumps(marked, indent=2, allow_nan=False) + "\n"


def load_json(path):
    """Read a JSON object, such as the settings beside a model.

    Returns:
        Its content as a dict, empty if there is no such file.

    Raises:
        InputError: If the file is not a JSON object.
    """
    if not Path(path).exists():
        return {}
    with open_for_reading(path) as file:
        try:
            # A file that is cut off at this size is not valid JSON.
            content = json.loads(file.read(MAX_JSON_BYTES))
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object: train again, or remove the file")
    return content
