"""Small files: CSV, JSON and checked .npz archives, opened with care."""

import csv
import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pyimagesearch import InputError
from pyimagesearch.storage import ownership

# Bytes that an array in a `.npz` file may unpack to.
MAX_ARRAY_BYTES = 4_000_000_000
# Bytes of a JSON file that are read at most; the settings beside a model take a few thousand.
MAX_JSON_BYTES = 2**26


def check_unpacked_sizes(archive, names, most=MAX_ARRAY_BYTES):
    """See that arrays in a `.npz` file are not too large, before any is unpacked.

    A few bytes on disk can unpack to a thousand times as many.

    Args:
        archive: What `numpy.load` made of the file.
        names: Which of its arrays.
        most: Bytes that each may take.

    Raises:
        ValueError: If one claims more.
    """
    for name in names:
        claimed = archive.zip.getinfo(f"{name}.npy").file_size
        if claimed > most:
            raise ValueError(f"{name} would unpack to {claimed:,} bytes; at most {most:,} may be")


@contextmanager
def open_for_reading(path):
    """Open a file for reading in binary; say in one line what stands against it."""
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
    """Write a table as CSV in UTF-8, with a header line, marked by its line ends as the suite's."""
    records = []
    # Of these line ends, so that whatever has a part of one in it is quoted.
    writer = csv.writer(SimpleNamespace(write=records.append), lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows(rows)
    text = "".join(record.removesuffix("\r\n") + "\n" for record in records)
    Path(path).write_bytes(ownership.mark_line_ends(text).encode("utf-8", "surrogateescape"))


def save_json(path, content):
    """Write a dict as JSON, marked as the suite's.

    NaN and infinity, which JSON does not have, are refused.
    """
    Path(path).write_bytes(as_json(content).encode())


def as_json(content):
    """A dict as the text of a JSON object that begins with the mark of the suite.

    Example:
        >>> as_json({"seed": 1}).split()[1:3]
        ['"written_by":', '"written-by:pyimagesearch",']
    """
    marked = {**ownership.WRITTEN_BY, **content, **ownership.WRITTEN_BY}
    return json.dumps(marked, indent=2, allow_nan=False) + "\n"


def load_json(path):
    """Read a JSON object, such as the settings beside a model.

    Returns:
        Its content as a dict; an empty one where there is no such file.

    Raises:
        InputError: If the file is not a JSON object.
    """
    if not Path(path).exists():
        return {}
    with open_for_reading(path) as file:
        try:
            # Read only so far: one that is cut off there is no JSON either.
            content = json.loads(file.read(MAX_JSON_BYTES))
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object: train again, or take the file away")
    return content
