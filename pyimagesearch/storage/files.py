"""Small files: CSV and JSON, and checks of .npz archives."""

import codecs
import csv
import io
import json
import re
import reprlib
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from pyimagesearch import InputError
from pyimagesearch.storage import ownership

# Bytes to which an array in a `.npz` file may unpack, at most.
MAX_ARRAY_BYTES = 4_000_000_000
# Bytes of a JSON file that are read, at most; the settings of a model take a few thousand.
MAX_JSON_BYTES = 2**26
# Between the columns of a table: spreadsheets take what their country or the format asks for.
SEPARATORS = ",;\t"
# A whole number, which a spreadsheet may pad with zeros behind the point of any country.
WHOLE_NUMBER = re.compile(r"\s*([+-]?\d{1,18})(?:[.,]0*)?\s*")


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


def parse_csv(data, columns):
    """Read columns of a table in CSV, written by `save_csv` or by a spreadsheet.

    It may be in UTF-8 or UTF-16, and its columns in any order, among others, and separated by
    commas, semicolons or tabs: the header line decides. Empty rows are passed over.

    Args:
        data: The bytes of the table.
        columns: Names of the columns to read.

    Returns:
        A list of one tuple per row: the number of its line in the file, counted from 1, and the
        text of each of the columns.

    Raises:
        ValueError: If it is no such table, lacks one of the columns or has it twice, or if a row
            is too short or too long.

    Example:
        >>> table = 'name;label;note\\n\\n"a, b";1;\\n'
        >>> parse_csv(table.encode("utf-16"), ("label", "name"))
        [(3, '1', 'a, b')]
    """
    text = _decode(data)
    for separator in SEPARATORS:
        rows = _filled_rows(text, separator)
        try:
            header = [cell.strip() for cell in next(rows)[1]]
        except (StopIteration, ValueError):  # no rows, or none with this separator
            continue
        if all(header.count(column) == 1 for column in columns):
            break
    else:
        first = text.partition("\n")[0]
        raise ValueError(
            f"expected a first line with the columns {', '.join(columns)}, separated by commas, "
            f"semicolons or tabs, found {reprlib.repr(first.strip())}"
        )
    places = [header.index(column) for column in columns]
    table = []
    for line, cells in rows:
        # Spreadsheets may leave out empty cells at the end of a row, or add some.
        if len(cells) <= max(places) or any(map(str.strip, cells[len(header) :])):
            raise ValueError(f"line {line}: expected {len(header)} cells, found {len(cells)}")
        table.append((line, *(cells[place] for place in places)))
    return table


def _decode(data):
    """Decode the bytes of a table; in UTF-8, names that are not survive as surrogates."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig", "surrogateescape")


def _filled_rows(text, separator):
    """Yield the number of the first line and the cells of each row that is not empty."""
    # Without a translation of line ends, which would change those in quotes.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as fault:
        raise ValueError(f"line {line}: {fault}") from None


def parse_whole_number(text):
    """Read a whole number as a spreadsheet may write it, `None` if it is none.

    Example:
        >>> [parse_whole_number(text) for text in ("1", " -1", "1.0", "0,00", "1.5", "")]
        [1, -1, 1, 0, None, None]
    """
    found = WHOLE_NUMBER.fullmatch(text)
    return int(found[1]) if found else None


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
